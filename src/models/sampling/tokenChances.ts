import { exponential } from '../exponential';
import { largestOf } from './largest';

/** A token and its log-probability. */
export interface TokenChance {
  readonly id: number;
  readonly logprob: number;
}

/** The log-probability of a token under the model itself, and the most likely tokens. */
export function tokenChances(
  logits: Float32Array,
  id: number,
  count: number,
): { readonly chosen: TokenChance; readonly top: readonly TokenChance[] } {
  const most = logits[largestOf(logits)]!;
  let total = 0;
  for (const z of logits) total += exponential(z - most);
  const chance = (own: number) => ({ id: own, logprob: logits[own]! - most - Math.log(total) });
  const top: number[] = [];
  for (let i = 0; i < logits.length && count > 0; i++) {
    if (top.length === count && logits[i]! <= logits[top.at(-1)!]!) continue;
    const at = top.findIndex((own) => logits[i]! > logits[own]!);
    top.splice(at < 0 ? top.length : at, 0, i);
    if (top.length > count) top.pop();
  }
  return { chosen: chance(id), top: top.map(chance) };
}
