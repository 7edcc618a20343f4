import type { TreeRow } from './treeRow';

/** A row as it was drawn last. Times are in milliseconds since 1970. */
export interface DrawnRow {
  readonly row: TreeRow;
  readonly at: number;
  /** When its card was opened; null: not since it was drawn, or it is known to be closed. */
  readonly hovered: number | null;
}

/**
 * VS Code closes the card of a row that it draws again. It says when a card is opened, but not when
 * it is closed: `hovered` is how long a row stands still if nothing else tells.
 */
const REDRAW_MS = { running: 3_000, hovered: 120_000 } as const;

/**
 * Whether a row must be drawn again. Changes that matter are drawn at once; the numbers of a run
 * that trains, and ages, now and then, and later while the user may be reading the card.
 */
export function isDue({ row, at, hovered }: DrawnRow, next: TreeRow, now: number): boolean {
  if (row.fixed !== next.fixed) return true;
  if (row.description === next.description) return false;
  return now - at >= REDRAW_MS.running && (hovered === null || now - hovered >= REDRAW_MS.hovered);
}
