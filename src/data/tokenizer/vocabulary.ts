import { quote } from '../rows/describe';
import type { Tokenizer } from './tokenizer';
import { countOf } from '../../shared/values';

/** Says that the embedding has no row for a token of the tokenizer. */
export function outsideFault(id: number, vocab_size: number, tokenizer: Tokenizer): string {
  const token = [...tokenizer.added_tokens].find(([, own]) => own === id)?.[0];
  const named = token === undefined ? `The token id ${id}` : `The token ${quote(token)} (id ${id})`;
  return (
    `${named} is beyond the ${countOf(vocab_size, 'row')} of the model's embedding: ` +
    'take it out of the text or the chat template, or use the tokenizer that belongs to the model.'
  );
}
