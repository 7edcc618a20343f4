import type { ModelInput } from '../model';
import type { Ops, Tensor } from '../ops/ops';
import type { BlockRange } from './queryBlocks';
import type { BiasGradient } from './scoreBias';

/** A block of queries and the keys that they can see. */
export interface RowBlock extends BlockRange {
  /** Added to the scores. */
  readonly mask: Tensor | null; // [1 or batch, 1, end - start, to - from]
  /** Learned, and added too. */
  readonly bias?: Tensor; // [1, heads, end - start, to - from]
  /** Collects the gradient of `bias` where that trains. */
  readonly biasGradient?: BiasGradient | null;
}

export interface AttentionWindow {
  readonly causal: boolean;
  /** Keys that a query sees to each side, including its own; null: all. */
  readonly window: number | null;
}

/** Queries per block. If attention is causal, keys after the last query are never computed. */
export const BLOCK_ROWS = 128;

/**
 * Added to a hidden score. It absorbs any score, and the row of a query that sees no key becomes
 * uniform instead of NaN.
 */
const HIDDEN = -1e30;

/** What decides which tokens see each other. */
export type Batch = Omit<ModelInput, 'input_ids'>;

/** Whether a query of one sequence sees a key. */
export type IsVisible = (query: number, key: number) => boolean;

/**
 * The row blocks of attention over a batch, for the queries from `first` on, which they count from
 * 0. The caller frees their masks.
 */
export function planRowBlocks(
  ops: Ops,
  input: Batch,
  attentionWindow: AttentionWindow,
  first = 0,
): RowBlock[] {
  const { length } = input;
  const sequences = visibilityOf(input, attentionWindow);
  const blocks: RowBlock[] = [];
  for (let start = first; start < length; start += BLOCK_ROWS) {
    const block = { ...keyRange(attentionWindow, start, length), mask: null };
    const mask = sequences && uploadMask(ops, sequences, block);
    blocks.push({ ...block, start: block.start - first, end: block.end - first, mask });
  }
  return blocks;
}

/** The block of queries at `start`, and the keys that any of them can see. */
export function keyRange(
  { causal, window }: AttentionWindow,
  start: number,
  length: number,
  rows = BLOCK_ROWS,
): BlockRange {
  const end = Math.min(length, start + rows);
  const from = window === null ? 0 : Math.max(0, start - window + 1);
  if (causal) return { start, end, from, to: end };
  const to = window === null ? length : Math.min(length, end + window - 1);
  return { start, end, from, to };
}

/**
 * One function for all sequences if padding needs no mask, else one per sequence; null if every
 * query sees every key.
 */
export function visibilityOf(
  input: Batch,
  { causal, window }: AttentionWindow,
): IsVisible[] | null {
  const isInWindow: IsVisible = (query, key) =>
    (!causal || key <= query) && (window === null || Math.abs(query - key) < window);
  const { batch, length, attention_mask, segment_ids } = input;
  if (segment_ids === undefined && !isPaddingVisible(input, causal)) {
    return causal || window !== null ? [isInWindow] : null;
  }
  return Array.from({ length: batch }, (_, row): IsVisible => {
    const at = row * length;
    return (query, key) =>
      isInWindow(query, key) &&
      attention_mask[at + key] === 1 &&
      (!segment_ids || segment_ids[at + key] === segment_ids[at + query]);
  });
}

/** Whether a token would see padding, unless that is hidden. */
export const isPaddingVisible = (input: Batch, causal: boolean): boolean =>
  causal ? hasLeftPadding(input) : input.attention_mask.includes(0);

/** Causal attention hides padding on the right from every real token, but not on the left. */
function hasLeftPadding({ batch, length, attention_mask }: Batch): boolean {
  return Array.from({ length: batch }, (_, row) =>
    attention_mask.subarray(row * length, (row + 1) * length),
  ).some((row) => row.lastIndexOf(1) > row.indexOf(0) && row.includes(0));
}

export function uploadMask(
  ops: Ops,
  sequences: readonly IsVisible[],
  { start, end, from, to }: BlockRange,
): Tensor {
  const mask = new Float32Array(sequences.length * (end - start) * (to - from));
  let at = 0;
  for (const isVisible of sequences) {
    for (let query = start; query < end; query++) {
      for (let key = from; key < to; key++, at++) {
        if (!isVisible(query, key)) mask[at] = HIDDEN;
      }
    }
  }
  return ops.upload(mask, [sequences.length, 1, end - start, to - from]);
}
