/** Sizes of a batch of heads. */
export interface RuleSize {
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  readonly key: number;
  readonly value: number;
}

/** Of all tokens: [batch · length, heads · width], rates and decays [batch · length, heads]. */
export interface RuleNumbers {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly rate: Float64Array;
  readonly decay: Float64Array;
}

/**
 * The gated delta rule token by token in f64: S ← exp(g) (S - β k (kᵀ S)) + β k vᵀ, o = qᵀ S.
 * `starts` says where the state is zero again.
 */
export function ruleByToken(
  { batch, length, heads, key, value }: RuleSize,
  { q, k, v, rate, decay }: RuleNumbers,
  starts: (row: number, token: number) => boolean,
): Float64Array {
  const o = new Float64Array(batch * length * heads * value);
  for (let row = 0; row < batch; row++)
    for (let head = 0; head < heads; head++) {
      const S = new Float64Array(key * value);
      for (let token = 0; token < length; token++) {
        if (starts(row, token)) S.fill(0);
        const at = (row * length + token) * heads + head;
        const factor = Math.exp(decay[at]!);
        for (let j = 0; j < value; j++) {
          let read = 0;
          for (let i = 0; i < key; i++) {
            S[i * value + j]! *= factor;
            read += k[at * key + i]! * S[i * value + j]!;
          }
          const change = rate[at]! * (v[at * value + j]! - read);
          for (let i = 0; i < key; i++) {
            S[i * value + j]! += k[at * key + i]! * change;
            o[at * value + j]! += q[at * key + i]! * S[i * value + j]!;
          }
        }
      }
    }
  return o;
}
