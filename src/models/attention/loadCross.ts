import type { CrossAttentionSpec, NormSpec } from '../../formats/architecture/spec';
import type { Linear } from '../layers/linear';
import type { Norm } from '../layers/norm';
import { allRows, type LinearRows } from '../productRows';
import type { CrossWeights } from './crossAttention';

/** The part of the weight loader that it needs. */
interface Loader {
  readonly norm: (spec: NormSpec) => Promise<Norm>;
  readonly linear: (parts: readonly LinearRows[]) => Promise<Linear>;
}

/** A layer's attention to an encoder's output; null: it has none. */
export async function loadCross(
  loader: Loader,
  spec: CrossAttentionSpec | undefined,
): Promise<CrossWeights | null> {
  if (!spec) return null;
  const { norm_in, q, k, v, o, num_heads, head_dim } = spec;
  return {
    norm_in: await loader.norm(norm_in),
    q: await loader.linear([allRows(q)]),
    kv: await loader.linear([allRows(k), allRows(v)]),
    o: await loader.linear([allRows(o)]),
    num_heads,
    head_dim,
  };
}
