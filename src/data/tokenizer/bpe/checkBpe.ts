import { LoraError } from '../../../shared/errors';
import { isObject } from '../../../shared/values';
import { pairsOf } from './bpeModel';

/**
 * Refuses a BPE model that the Rust library does not load: the tokens of a text would be lost, not
 * unknown. Other models pass.
 *
 * @param source Named in errors.
 * @throws LoraError('tokenizer') naming the key.
 */
export function checkBpe(model: unknown, source: string): void {
  if (!isObject(model) || model['type'] !== 'BPE') return;
  const refused = (key: string, problem: string) =>
    new LoraError('tokenizer', `The tokenizer cannot be used: ${problem}.`, {
      place: { file: source, key: `model.${key}` },
      fix: 'Download the model again from its publisher.',
    });
  const { vocab, merges, continuing_subword_prefix: prefix } = model;
  if (!isObject(vocab)) throw refused('vocab', 'its vocabulary is not an object of tokens and ids');
  const pairs = pairsOf(merges);
  if (pairs === null) throw refused('merges', 'its merges are not a list of pairs of tokens');
  const skipped = typeof prefix === 'string' ? prefix.length : 0;
  for (const [i, [left, right]] of pairs.entries()) {
    const merged = left + right.slice(skipped);
    const missing = [left, right, merged].find((token) => !Object.hasOwn(vocab, token));
    if (missing === undefined) continue;
    const problem = `the merge of ${JSON.stringify([left, right])} needs the token ${JSON.stringify(missing)}, which the vocabulary lacks`;
    throw refused(`merges.${i}`, problem);
  }
}
