import * as v from 'valibot';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import { hasLoneSurrogate } from '../../../shared/surrogates';
import { badField } from './apiError';
import { knownFields } from './fields';
import { mixOf } from './modelNames';
import type { WritingModels } from './prepare';
import { isTokenIds, parseBody } from './requests';
import { readFields } from './settings';

const TextSchema = v.object({
  model: v.optional(v.string()),
  prompt: v.string(),
  add_special_tokens: v.optional(v.boolean(), true),
});
const IdsSchema = v.object({ model: v.optional(v.string()) });

/** The tokens of a text, in vLLM's form. @throws ApiError */
export function tokenize({ models: { tokenizer }, names }: WritingModels, body: string): object {
  const fields = knownFields(parseBody(body).plain, Object.keys(TextSchema.entries));
  const { model, prompt, add_special_tokens } = readFields(TextSchema, fields);
  if (model !== undefined) mixOf(model, names);
  if (hasLoneSurrogate(prompt)) throw badField('prompt', 'has half of a surrogate pair');
  const tokens = tokenizer.encode(prompt, add_special_tokens);
  return { count: tokens.length, tokens };
}

/** The text of tokens, in vLLM's form. @throws ApiError */
export function detokenize({ models: { tokenizer }, names }: WritingModels, body: string): object {
  const fields = knownFields(parseBody(body).plain, ['model', 'tokens']);
  const { model } = readFields(IdsSchema, fields);
  if (model !== undefined) mixOf(model, names);
  const { tokens } = fields;
  if (!isTokenIds(tokens, tokenizer.vocab_size))
    throw badField('tokens', 'must be a list of token ids of the vocabulary');
  return { prompt: tokenizer.decode(tokens, false) };
}

/** What clients must know of a tokenizer that they do not have, in vLLM's form. */
export function tokenizerInfo(tokenizer: Tokenizer): object {
  const named = (id: number | null) =>
    [...tokenizer.added_tokens].find(([, own]) => own === id)?.[0] ?? null;
  return {
    bos_token: named(tokenizer.bos_token_id),
    eos_token: named(tokenizer.eos_token_id),
    pad_token: named(tokenizer.pad_token_id),
    chat_template: tokenizer.chat_template,
  };
}
