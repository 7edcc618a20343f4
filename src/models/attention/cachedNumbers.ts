import type { AttentionSpec } from '../../formats/architecture/spec';

/** What is kept of so many tokens in a layer. */
export function cachedNumbers(attention: AttentionSpec, length: number): number {
  const { convolution, delta, num_kv_heads, head_dim, keys_of } = attention;
  if (keys_of !== undefined) return 0;
  if (delta) {
    const { value_heads, key_dim, value_dim, convolution: own } = delta;
    return value_heads * key_dim * value_dim + (own.kernel - 1) * own.channels;
  }
  return length * (convolution ? convolution.channels : 2 * num_kv_heads * head_dim);
}
