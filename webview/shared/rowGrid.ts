import {
  barHeight,
  placeAfterKey,
  scrolledTo,
  scrollingAt,
  type Extent,
  type RowRange,
  type Scrolling,
} from './scroll';

/** As in grid.css. */
export const ROW_HEIGHT = 46;
const HEAD_HEIGHT = 28;
/** Rows that are drawn beyond the visible ones. */
const BEYOND = 3;

/** Where a grid stands, and which of its rows is the active one. */
export interface GridPlace {
  readonly scrolling: Scrolling;
  /** Height of the visible rows, in pixels. */
  readonly visible: number;
  readonly place: number;
}

/** A grid of which only the rows in view exist, with what a page does about them. */
export interface RowGrid {
  readonly place: () => GridPlace;
  /** Number of rows. */
  readonly total: () => number;
  readonly change: (part: Partial<GridPlace>) => void;
  /** Other rows may be visible now. */
  readonly moved: () => void;
}

const extentOf = (grid: RowGrid): Extent => {
  const { visible } = grid.place();
  return { whole: Math.max(visible, ROW_HEIGHT * grid.total()), visible };
};

/** The rows that are drawn. */
export function drawnRows({ scrolling, visible }: GridPlace, total: number): RowRange {
  const from = Math.max(0, Math.floor(scrolling.top / ROW_HEIGHT) - BEYOND);
  const end = Math.ceil((scrolling.top + visible) / ROW_HEIGHT) + BEYOND;
  return { from, count: Math.max(0, Math.min(total, end) - from) };
}

export const isDrawn = (place: number, { from, count }: RowRange): boolean =>
  place >= from && place < from + count;

/** Follows the height of a grid from its first drawing on. */
const followed = new WeakSet<Element>();
export function followGrid(grid: RowGrid, element: Element | undefined): void {
  if (!(element instanceof HTMLElement)) return;
  const { bar } = grid.place().scrolling;
  if (Math.abs(element.scrollTop - bar) >= 1) element.scrollTop = bar;
  if (followed.has(element)) return;
  followed.add(element);
  new ResizeObserver(() => {
    grid.change({ visible: Math.max(0, element.clientHeight - HEAD_HEIGHT) });
    grid.moved();
  }).observe(element);
}

/** Gives the scrolled element its height. */
export function setHeight(grid: RowGrid, element: Element | undefined): void {
  if (element instanceof HTMLElement) element.style.height = `${barHeight(extentOf(grid))}px`;
}

/** Puts the drawn rows where they are seen. */
export function setPlace(grid: RowGrid, element: Element | undefined): void {
  if (!(element instanceof HTMLElement)) return;
  const place = grid.place();
  const { top, bar } = place.scrolling;
  const at = drawnRows(place, grid.total()).from * ROW_HEIGHT - top + bar;
  element.style.transform = `translateY(${at}px)`;
}

export function scrolled(grid: RowGrid, target: EventTarget | null): void {
  const { scrolling } = grid.place();
  if (!(target instanceof HTMLElement) || Math.abs(target.scrollTop - scrolling.bar) < 1) return;
  grid.change({ scrolling: scrolledTo(target.scrollTop, scrolling, extentOf(grid)) });
  grid.moved();
}

/** Puts the bar where the rows are, which it is not after many small steps. */
export function settle(grid: RowGrid): void {
  grid.change({ scrolling: scrollingAt(grid.place().scrolling.top, extentOf(grid)) });
}

/** Moves by a key of the grid; false: it is another key. */
export function movedByKey(grid: RowGrid, key: string): boolean {
  const { place, visible } = grid.place();
  const page = Math.max(1, Math.floor(visible / ROW_HEIGHT) - 1);
  const next = placeAfterKey(key, place, { total: grid.total(), page });
  if (next !== null) moveTo(grid, next);
  return next !== null;
}

/** Makes a row the active one, and visible. */
export function moveTo(grid: RowGrid, place: number): void {
  const { scrolling, visible } = grid.place();
  const at = place * ROW_HEIGHT;
  const top = Math.min(at, Math.max(scrolling.top, at + ROW_HEIGHT - visible));
  grid.change({ place, scrolling: scrollingAt(top, extentOf(grid)) });
  grid.moved();
}
