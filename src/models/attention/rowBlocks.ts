import type { RowBlock } from './attention';
import type { Ops } from '../ops/ops';
import type { ModelInput } from '../model';

/**
 * Rows of queries that are worked on together: the keys after the last of them are never touched
 * where attention is causal.
 */
const BLOCK_ROWS = 128;

/**
 * Added where a query may not look: it swallows every score, and a row with nothing to see becomes
 * uniform instead of NaN.
 */
const HIDDEN = -1e30;

export interface AttentionWindow {
  readonly causal: boolean;
  /** Keys a query sees to each side, itself included; null: all. */
  readonly window: number | null;
}

/** Who sees whom in one row of the batch. */
type Sees = (query: number, key: number) => boolean;

/** The blocks of attention over a batch. Their masks are the caller's to free. */
export function planRowBlocks(ops: Ops, input: ModelInput, reach: AttentionWindow): RowBlock[] {
  const { length } = input;
  const rows = sightOf(input, reach);
  const blocks: RowBlock[] = [];
  for (let start = 0; start < length; start += BLOCK_ROWS) {
    const end = Math.min(length, start + BLOCK_ROWS);
    const from = reach.window === null ? 0 : Math.max(0, start - reach.window + 1);
    const to = reach.causal
      ? end
      : reach.window === null
        ? length
        : Math.min(length, end + reach.window - 1);
    const mask =
      rows &&
      ops.upload(maskOf(rows, start, end, from, to), [rows.length, 1, end - start, to - from]);
    blocks.push({ start, end, from, to, mask });
  }
  return blocks;
}

/**
 * One function for all rows where padding needs no mask, else one a row; null: everyone sees
 * everyone.
 */
function sightOf(input: ModelInput, { causal, window }: AttentionWindow): Sees[] | null {
  const near: Sees = (query, key) =>
    (!causal || key <= query) && (window === null || Math.abs(query - key) < window);
  const { batch, length, attention_mask, segment_ids } = input;
  const hides =
    segment_ids !== undefined || (causal ? hasLeftPadding(input) : attention_mask.includes(0));
  if (!hides) return causal || window !== null ? [near] : null;
  return Array.from({ length: batch }, (_, row): Sees => {
    const at = row * length;
    return (query, key) =>
      near(query, key) &&
      attention_mask[at + key] === 1 &&
      (!segment_ids || segment_ids[at + key] === segment_ids[at + query]);
  });
}

/**
 * Padding on the right needs no mask where attention is causal: that already hides it from every
 * real token.
 */
function hasLeftPadding({ batch, length, attention_mask }: ModelInput): boolean {
  return Array.from({ length: batch }, (_, row) =>
    attention_mask.subarray(row * length, (row + 1) * length),
  ).some((row) => row.lastIndexOf(1) > row.indexOf(0) && row.includes(0));
}

function maskOf(
  rows: readonly Sees[],
  start: number,
  end: number,
  from: number,
  to: number,
): Float32Array {
  const mask = new Float32Array(rows.length * (end - start) * (to - from));
  let at = 0;
  for (const sees of rows) {
    for (let query = start; query < end; query++) {
      for (let key = from; key < to; key++, at++) if (!sees(query, key)) mask[at] = HIDDEN;
    }
  }
  return mask;
}
