import { isObject } from '../../shared/values';
import type { TokenizerFiles } from '../../formats/baseModel';

type Tokenizer = Pick<TokenizerFiles, 'tokenizer'>;

/** A difference between the tokens of two models, as a clause; null: their ids mean the same. */
export function tokenDifference(a: Tokenizer, b: Tokenizer): string | null {
  const [own, other] = [tokensOf(a), tokensOf(b)];
  if (own.size !== other.size) return `${own.size} tokens, and not ${other.size}`;
  for (const [id, token] of own)
    if (other.get(id) !== token)
      return `${JSON.stringify(token)} as token ${id}, and not ${JSON.stringify(other.get(id) ?? null)}`;
  const [merges, others] = [mergesOf(a), mergesOf(b)];
  if (merges.length === others.length && merges.every((merge, i) => merge === others[i]))
    return null;
  return 'the same tokens, but divides words into them otherwise (merges)';
}

/** The tokens by their ids, added ones included. */
function tokensOf({ tokenizer }: Tokenizer): ReadonlyMap<number, string> {
  const { model, added_tokens } = tokenizer;
  const vocab = isObject(model) ? model['vocab'] : undefined;
  const tokens = new Map<number, string>();
  if (Array.isArray(vocab))
    // Unigram: tokens and their scores
    vocab.forEach((entry: unknown, id) => tokens.set(id, String([entry].flat()[0])));
  else if (isObject(vocab))
    for (const [token, id] of Object.entries(vocab)) tokens.set(Number(id), token);
  for (const added of Array.isArray(added_tokens) ? (added_tokens as unknown[]) : [])
    if (isObject(added)) tokens.set(Number(added['id']), String(added['content']));
  return tokens;
}

/** The merges of BPE in their order; older files join the two parts by a space. */
function mergesOf({ tokenizer: { model } }: Tokenizer): readonly string[] {
  const merges = isObject(model) ? model['merges'] : undefined;
  return Array.isArray(merges)
    ? merges.map((merge: unknown) => (Array.isArray(merge) ? merge.join(' ') : String(merge)))
    : [];
}
