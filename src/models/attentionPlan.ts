import type { AttentionBlock } from './attention';
import type { Ops } from './ops/types';
import type { ModelInput } from './types';

/** Rows of queries that are worked on together: the keys after the last of them are never touched. */
const BLOCK_ROWS = 128;

/** Added where a query may not look: it swallows every score, and a row with nothing to see becomes uniform instead of NaN. */
const HIDDEN = -1e30;

/** The blocks of causal attention, with a window or without. Their masks are the caller's to free. */
export function planAttention(ops: Ops, input: ModelInput, window: number | null): AttentionBlock[] {
  const { length } = input;
  const keyMasks = hasLeftPadding(input) ? rowsOf(input) : [null];
  const blocks: AttentionBlock[] = [];
  for (let start = 0; start < length; start += BLOCK_ROWS) {
    const end = Math.min(length, start + BLOCK_ROWS);
    const from = window === null ? 0 : Math.max(0, start - window + 1);
    const mask = ops.upload(maskOf(keyMasks, start, end, from, window), [keyMasks.length, 1, end - start, end - from]);
    blocks.push({ start, end, from, to: end, mask });
  }
  return blocks;
}

/** Padding on the right needs no mask: causality already hides it from every real token. */
function hasLeftPadding(input: ModelInput): boolean {
  return rowsOf(input).some((row) => row.lastIndexOf(1) > row.indexOf(0) && row.includes(0));
}

function rowsOf({ batch, length, attention_mask }: ModelInput): Int32Array[] {
  return Array.from({ length: batch }, (_, row) => attention_mask.subarray(row * length, (row + 1) * length));
}

function maskOf(keyMasks: readonly (Int32Array | null)[], start: number, end: number, from: number, window: number | null): Float32Array {
  const keys = end - from;
  const mask = new Float32Array(keyMasks.length * (end - start) * keys);
  let at = 0;
  for (const visible of keyMasks) {
    for (let query = start; query < end; query++) {
      for (let key = from; key < end; key++, at++) {
        const seen = key <= query && (window === null || query - key < window) && (!visible || visible[key] === 1);
        if (!seen) mask[at] = HIDDEN;
      }
    }
  }
  return mask;
}
