import type { SourceInput } from '../model';
import type { Ops, Tensor } from '../ops/ops';
import type { SequenceShape } from './headLayout';
import { BLOCK_ROWS, uploadMask, type RowBlock } from './rowBlocks';

/** The encoder output that the layers of a decoder read in one pass, and its gradient. */
export interface SourcePass {
  /** The encoder's output, which its own pass owns. */
  readonly h: Tensor; // [batch · length, d]
  readonly shape: SequenceShape;
  /** The decoder's queries, each of which sees all of its source. */
  readonly blocks: readonly RowBlock[];
  readonly wantsGradient: boolean;
  /** So far; null: none. `freeSource` frees it, unless it was taken. */
  gradient: Tensor | null; // [batch · length, d]
}

/** Uploads the masks for a decoder's batch of so many tokens in a row. */
export function openSource(
  ops: Ops,
  { h, input, wantsGradient }: { h: Tensor; input: SourceInput; wantsGradient: boolean },
  queries: number,
): SourcePass {
  const { batch, length, attention_mask } = input;
  const visible = attention_mask.includes(0)
    ? Array.from(
        { length: batch },
        (_, row) => (_query: number, key: number) => attention_mask[row * length + key] === 1,
      )
    : null;
  const blocks: RowBlock[] = [];
  for (let start = 0; start < queries; start += BLOCK_ROWS) {
    const block = { start, end: Math.min(queries, start + BLOCK_ROWS), from: 0, to: length };
    blocks.push({ ...block, mask: visible && uploadMask(ops, visible, block) });
  }
  return { h, shape: { batch, length }, blocks, wantsGradient, gradient: null };
}

export function freeSource(ops: Ops, { blocks, gradient }: SourcePass): void {
  for (const { mask } of blocks) if (mask) ops.free(mask);
  if (gradient) ops.free(gradient);
}
