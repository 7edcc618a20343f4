import type { Products } from '../../shared/products';
import { applySoftcap } from '../layers/activation';
import { linearForward, savedTensors, type Computation } from '../layers/linear';
import { castAndFree, type Ops, type Tensor } from '../ops/ops';
import { chunkRows, headInput, type LmHead } from './lmHead';
import { topTokens, type TeacherSettings, type TopTokens } from './teacher';

/** Logits [n, vocab] of all rows of h [n, d], which is not freed. */
export async function lmLogits(
  ops: Ops,
  head: LmHead,
  h: Tensor,
  products: Products = 'exact',
): Promise<Float32Array> {
  const n = h.shape[0]!;
  const vocab = head.output.weight.shape[0]!;
  const all = new Float32Array(n * vocab);
  const step = chunkRows(head.output);
  for (let start = 0; start < n; start += step) {
    const z = logitsOf({ ops, dropout: null, products }, head, h, { start, count: step });
    all.set(await ops.download(z), start * vocab);
    ops.free(z);
    await ops.yieldPoint();
  }
  return all;
}

/** The most probable tokens after the first `n` rows of h [at least n, d], which is not freed. */
export async function lmTopTokens(
  ops: Ops,
  head: LmHead,
  { h, n }: { readonly h: Tensor; readonly n: number },
  settings: Pick<TeacherSettings, 'temperature' | 'top_k'>,
): Promise<TopTokens> {
  const ids = new Int32Array(n * settings.top_k);
  const logps = new Float32Array(n * settings.top_k);
  const step = chunkRows(head.output);
  for (let start = 0; start < n; start += step) {
    const count = Math.min(step, n - start);
    const scores = logitsOf({ ops, dropout: null }, head, h, { start, count });
    const z = castAndFree(ops, scores, 'f32');
    const chunk = await topTokens(ops, z, settings);
    ids.set(chunk.ids, start * settings.top_k);
    logps.set(chunk.logps, start * settings.top_k);
    ops.free(z);
    await ops.yieldPoint();
  }
  return { ids, logps };
}

/** The logits of up to `count` rows of h from `start` on, after the softcap. */
function logitsOf(
  computation: Computation,
  head: LmHead,
  h: Tensor,
  chunk: { readonly start: number; readonly count: number },
): Tensor {
  const { ops } = computation;
  const rows = headInput(ops, head, h, chunk);
  const { y, saved } = linearForward(computation, head.output, rows);
  ops.free(rows, ...savedTensors(saved));
  return head.softcap === null ? y : applySoftcap(ops, y, head.softcap);
}
