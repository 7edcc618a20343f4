import type { Range } from './decimate';
import type { KeyAction } from './gestures';
import { nearest, stepAway, zoomed } from './zoom';

/** What is on screen while the cursor moves by keyboard. */
export interface Walk {
  /** x of the values; rising. */
  readonly places: Float64Array;
  readonly cursor: number | null;
  readonly range: Range;
  /** The whole x axis. */
  readonly extent: Range;
}

/** The cursor after a key, or the part of the x axis that is shown then (null: all of it). */
export type Walked = { readonly cursor: number | null } | { readonly zoom: Range | null };

export function walk(action: KeyAction, { places, cursor, range, extent }: Walk): Walked {
  const at = cursor ?? range.to;
  const away = (count: number) => ({
    cursor: cursor === null ? nearest(places, at) : stepAway(places, at, count),
  });
  const far = Math.max(1, Math.round((range.to - range.from) / 20));
  switch (action) {
    case 'left':
      return away(-1);
    case 'right':
      return away(1);
    case 'farLeft':
      return { cursor: nearest(places, at - far) };
    case 'farRight':
      return { cursor: nearest(places, at + far) };
    case 'first':
      return { cursor: nearest(places, range.from) };
    case 'last':
      return { cursor: nearest(places, range.to) };
    case 'all':
      return { zoom: null };
    case 'zoomIn':
      return { zoom: zoomed(range, extent, at, 0.5) };
    case 'zoomOut':
      return { zoom: zoomed(range, extent, at, 2) };
  }
}
