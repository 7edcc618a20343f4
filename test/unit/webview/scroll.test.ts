import { describe, expect, test } from 'vitest';
import {
  barHeight,
  placeAfterKey,
  SCROLL_START,
  scrolledTo,
  scrollingAt,
} from '../../../webview/shared/scroll';

const SMALL = { whole: 10_000, visible: 500 };
const LARGE = { whole: 46_000_000, visible: 500 };

describe('a grid that a scroll bar can show', () => {
  test('is where the bar is', () => {
    expect(barHeight(SMALL)).toBe(10_000);
    expect(scrolledTo(120, SCROLL_START, SMALL)).toEqual({ top: 120, bar: 120 });
    expect(scrolledTo(9_500, { top: 120, bar: 120 }, SMALL).top).toBe(9_500);
    expect(scrollingAt(9_999, SMALL)).toEqual({ top: 9_500, bar: 9_500 });
    expect(scrollingAt(10, { whole: 500, visible: 500 })).toEqual({ top: 0, bar: 0 });
  });
});

describe('a larger grid', () => {
  test('moves by small steps as the wheel does', () => {
    expect(barHeight(LARGE)).toBe(8_000_000);
    let place = scrollingAt(20_000_000, LARGE);
    const before = place.top;
    for (let i = 0; i < 10; i++) place = scrolledTo(place.bar + 53, place, LARGE);
    expect(place.top).toBe(before + 530);
  });

  test('goes where the bar is dragged, and to both ends', () => {
    const middle = scrolledTo(4_000_000, SCROLL_START, LARGE);
    expect(middle.top / LARGE.whole).toBeCloseTo(0.5, 3);
    expect(scrolledTo(8_000_000 - 500, middle, LARGE).top).toBe(46_000_000 - 500);
    expect(scrolledTo(0, { top: 90_000, bar: 300 }, LARGE).top).toBe(0);
  });

  test('every row can be reached, with the bar within its way', () => {
    for (const top of [0, 1, 46, 23_000_000, 45_999_454, 45_999_500]) {
      const place = scrollingAt(top, LARGE);
      expect(place.top).toBe(top);
      expect(place.bar).toBeGreaterThanOrEqual(0);
      expect(place.bar).toBeLessThanOrEqual(8_000_000 - 500);
    }
  });
});

test('keys move within the rows', () => {
  const grid = { total: 100, page: 10 };
  const moved = ['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Home', 'End', 'x'].map((key) =>
    placeAfterKey(key, 5, grid),
  );
  expect(moved).toEqual([6, 4, 15, 0, 0, 99, null]);
  expect(placeAfterKey('End', 0, { total: 0, page: 1 })).toBe(0);
});
