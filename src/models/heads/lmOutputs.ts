import type { Products } from '../../shared/products';
import { applySoftcap } from '../layers/activation';
import { linearForward, savedTensors, type Computation } from '../layers/linear';
import type { NextLogits } from '../model';
import { castAndFree, type Ops, type Tensor } from '../ops/ops';
import { logitBlocks } from '../sampling/logitBlocks';
import { chunkRows, headInput, type LmHead } from './lmHead';
import { topTokens, type TeacherSettings, type TopTokens } from './teacher';

/** Logits [n, vocab] of all rows of h [n, d], which is not freed. */
export async function lmLogits(
  ops: Ops,
  head: LmHead,
  h: Tensor,
  products: Products = 'exact',
): Promise<Float32Array> {
  const vocab = head.output.weight.shape[0]!;
  const all = new Float32Array(h.shape[0]! * vocab);
  await inChunks({ ops, dropout: null, products }, head, h, async (z, start) => {
    all.set(await ops.download(z), start * vocab);
  });
  return all;
}

/** The same as rows. `temperatures`: those of the rows, whose blocks are wanted. */
export async function lmNextLogits(
  computation: Computation,
  head: LmHead,
  h: Tensor,
  temperatures: readonly number[] | null,
): Promise<NextLogits[]> {
  const all: NextLogits[] = [];
  await inChunks(computation, head, h, async (z, start) => {
    const own = temperatures?.slice(start, start + z.shape[0]!) ?? null;
    all.push(...(await nextLogits(computation.ops, z, own)));
  });
  return all;
}

/** The rows of z [m, vocab], which is not freed. */
export async function nextLogits(
  ops: Ops,
  z: Tensor,
  temperatures: readonly number[] | null,
): Promise<NextLogits[]> {
  const { fused } = ops;
  const blocks =
    temperatures && fused && z.dtype === 'f32'
      ? await logitBlocks(ops, fused, z, temperatures)
      : null;
  const numbers = await ops.download(z);
  const [rows, vocab] = [z.shape[0]!, z.shape[1]!];
  return Array.from({ length: rows }, (_, i) => ({
    logits: numbers.subarray(i * vocab, (i + 1) * vocab),
    blocks: blocks?.[i] ?? null,
  }));
}

/** Calls `take` with the logits [at most n, vocab] of rows of h [n, d], which is not freed. */
async function inChunks(
  computation: Computation,
  head: LmHead,
  h: Tensor,
  take: (z: Tensor, start: number) => Promise<void>,
): Promise<void> {
  const { ops } = computation;
  const step = chunkRows(head.output);
  for (let start = 0; start < h.shape[0]!; start += step) {
    const z = logitsOf(computation, head, h, { start, count: step });
    await take(z, start);
    ops.free(z);
    await ops.yieldPoint();
  }
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
