import type { AttentionSpec } from '../../formats/architecture/spec';
import type { Ops, Tensor } from '../ops/ops';
import type { SeenKeys } from './attentionPass';
import { isPaddingVisible, planRowBlocks, type Batch } from './rowBlocks';
import { BiasGradient, type ScoreBias } from './scoreBias';

interface SeenOptions {
  readonly causal: boolean;
  /** The position of the first query. */
  readonly first: number;
  readonly bias: ScoreBias | null;
}

/** Which keys the queries of a batch see in a layer. `freeSeenKeys` frees what it uploads. */
export function seenKeys(
  ops: Ops,
  input: Batch,
  { window, head_dim, distances }: AttentionSpec,
  { causal, first, bias }: SeenOptions,
): SeenKeys {
  if (ops.fused && !bias && !distances && head_dim % 2 === 0)
    return { kind: 'kernel', form: { causal, window, ids: uploadIds(ops, input, causal) } };
  const isLong = first === 0 && input.length >= ops.attentionBlocks.from;
  if (!ops.fused && !distances && isLong && !bias?.trains)
    return { kind: 'blocks', plan: { input, causal, window, bias, ...ops.attentionBlocks } };
  const blocks = planRowBlocks(ops, input, { causal, window }, first);
  if (!bias) return { kind: 'rows', blocks };
  return {
    kind: 'rows',
    blocks: blocks.map((own) => ({
      ...own,
      bias: bias.ofBlock(own, first),
      biasGradient: bias.trains ? new BiasGradient(ops, input.batch) : null,
    })),
  };
}

/** Adds the gradients of biases, which the layers have collected, to that of their table. */
export async function accumulateBias(seen: SeenKeys, bias: ScoreBias): Promise<void> {
  if (seen.kind !== 'rows' || !bias.trains) return;
  const blocks = seen.blocks.flatMap((block) =>
    block.biasGradient ? [{ block, gradient: block.biasGradient }] : [],
  );
  await bias.accumulate(blocks, 0);
}

export function freeSeenKeys(ops: Ops, seen: SeenKeys): void {
  if (seen.kind === 'kernel' && seen.form.ids) ops.free(seen.form.ids);
  if (seen.kind !== 'rows') return;
  for (const { mask, bias, biasGradient } of seen.blocks)
    for (const own of [mask, bias, biasGradient?.take()]) if (own) ops.free(own);
}

/** The id of padding as a key, which no query has. */
const PADDING = -1;

/** The ids of `AttentionForm`; null if windows alone decide what queries see. */
function uploadIds(ops: Ops, input: Batch, causal: boolean): Tensor | null {
  const { batch, length, attention_mask, segment_ids } = input;
  if (!segment_ids && !isPaddingVisible(input, causal)) return null;
  const n = batch * length;
  const ids = new Int32Array(2 * n);
  if (segment_ids) ids.set(segment_ids);
  for (let i = 0; i < n; i++) ids[n + i] = attention_mask[i] === 1 ? ids[i]! : PADDING;
  return ops.upload(ids, [2, batch, length]);
}
