import { expect, test } from 'vitest';
import { Formatter } from '../../../webview/shared/format';

const format = new Formatter('en');

test('formats values with significant digits', () => {
  expect([2.345678, 0.0123456, 12.34567, 123.456, 0, -1.5].map((v) => format.value(v))).toEqual([
    '2.3457',
    '0.01235',
    '12.346',
    '123.5',
    '0',
    '-1.5',
  ]);
});

test('formats very small and very large values with an exponent', () => {
  expect([0.00000123456, 4.56e9, 9.999e-7].map((v) => format.value(v))).toEqual([
    '1.23e-6',
    '4.56e9',
    '1e-6',
  ]);
});

test('formats learning rates in short scientific notation', () => {
  expect([2e-4, 1.97e-4, 0, 0.5].map((v) => format.rate(v))).toEqual([
    '2e-4',
    '1.97e-4',
    '0',
    '0.5',
  ]);
});

test('formats a missing number as a dash', () => {
  expect([
    format.value(NaN),
    format.bytes(NaN),
    format.rate(NaN),
    format.count(Infinity),
    format.duration(NaN),
    format.percent(NaN),
  ]).toEqual(Array(6).fill('–'));
});

test('formats bytes in a fitting unit', () => {
  expect(
    [0, 500, 1024, 1.5 * 2 ** 30, 12.34 * 2 ** 20, 250 * 2 ** 20, 2 ** 60].map((v) =>
      format.bytes(v),
    ),
  ).toEqual(['0 B', '500 B', '1 KiB', '1.5 GiB', '12.3 MiB', '250 MiB', '1,048,576 TiB']);
});

test('formats durations with their two largest units', () => {
  expect([0, 45, 80, 3600, 3725, 90_000].map((v) => format.duration(v))).toEqual([
    '0 sec',
    '45 sec',
    '1 min 20 sec',
    '1 hr',
    '1 hr 2 min',
    '1 day 1 hr',
  ]);
});

test('formats fractions as percentages', () => {
  expect([0.00342, 0.0182, 0.5, 1].map((v) => format.percent(v))).toEqual([
    '0.34%',
    '1.8%',
    '50%',
    '100%',
  ]);
});

test('formats counts for the locale', () => {
  expect(new Formatter('de').count(134_515_008)).toBe('134.515.008');
  expect(format.compact(134_515_008)).toBe('134.5M');
});

test('shows an invalid time unchanged', () => {
  expect(format.time('soon')).toBe('soon');
});
