import { expect, it } from 'vitest';
import { sortedTensors } from '../../../../webview/inspect/tensors';

const tensor = (name: string, bytes: number) => ({
  name,
  dtype: 'F32',
  shape: [bytes / 4],
  bytes,
});
const all = [tensor('layers.10.up', 8), tensor('layers.9.up', 16), tensor('layers.9.down', 4)];

it('filters tensors by words and sorts them by any column, layers numerically', () => {
  expect(
    sortedTensors(all, { column: null, descending: false }, '9 UP').map(({ name }) => name),
  ).toEqual(['layers.9.up']);
  expect(
    sortedTensors(all, { column: null, descending: false }, '').map(({ name }) => name),
  ).toEqual(['layers.9.up', 'layers.9.down', 'layers.10.up']);
  expect(
    sortedTensors(all, { column: 'name', descending: false }, '').map(({ name }) => name),
  ).toEqual(['layers.9.down', 'layers.9.up', 'layers.10.up']);
  expect(
    sortedTensors(all, { column: 'bytes', descending: true }, '').map(({ bytes }) => bytes),
  ).toEqual([16, 8, 4]);
});
