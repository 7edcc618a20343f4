/** Browsers place nothing beyond some 17 million pixels (Firefox) or 33 million (Chromium). */
const MOST_PIXELS = 8_000_000;

/** Where a grid with more rows than a scroll bar has pixels stands, in pixels. */
export interface Scrolling {
  /** Of the first visible pixel, as if there were no limit. */
  readonly top: number;
  /** What the scroll bar says: `scrollTop`. */
  readonly bar: number;
}

/** Of a grid: how high all rows are together, and what is visible of them. */
export interface Extent {
  readonly whole: number;
  readonly visible: number;
}

export const SCROLL_START: Scrolling = { top: 0, bar: 0 };

/** How high the scrolled element is. */
export const barHeight = ({ whole }: Extent): number => Math.min(whole, MOST_PIXELS);

/** The place that the scroll bar says by itself, as after it was dragged. */
function placeOf(bar: number, extent: Extent): number {
  const way = barHeight(extent) - extent.visible;
  return way <= 0 ? 0 : (bar / way) * (extent.whole - extent.visible);
}

/**
 * After the scroll bar has moved: small steps move by as many pixels, even where the bar stands for
 * more; larger ones go to the place that the bar says, and so do both ends.
 */
export function scrolledTo(bar: number, before: Scrolling, extent: Extent): Scrolling {
  const step = bar - before.bar;
  const isEnd = bar <= 0 || bar >= barHeight(extent) - extent.visible - 1;
  if (isEnd || Math.abs(step) > extent.visible) return { top: placeOf(bar, extent), bar };
  return { top: within(before.top + step, extent), bar };
}

/** A place, with the bar where it belongs. */
export function scrollingAt(top: number, extent: Extent): Scrolling {
  const place = within(top, extent);
  const way = extent.whole - extent.visible;
  const bar = way <= 0 ? 0 : (place / way) * (barHeight(extent) - extent.visible);
  return { top: place, bar: Math.round(bar) };
}

const within = (top: number, { whole, visible }: Extent): number =>
  Math.max(0, Math.min(top, whole - visible));

/** Some rows that follow each other. */
export interface RowRange {
  readonly from: number;
  readonly count: number;
}

/** The place that a key moves to from another one; null: it is no key of the grid. */
export function placeAfterKey(
  key: string,
  place: number,
  { total, page }: { readonly total: number; readonly page: number },
): number | null {
  const steps: Readonly<Record<string, number>> = {
    ArrowDown: 1,
    ArrowUp: -1,
    PageDown: page,
    PageUp: -page,
    Home: -Infinity,
    End: Infinity,
  };
  const step = steps[key];
  return step === undefined ? null : Math.max(0, Math.min(total - 1, place + step));
}
