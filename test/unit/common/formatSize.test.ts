import { expect, it } from 'vitest';
import { formatSize } from '../../../src/common/formatSize';

it.each([
  [0, '0 MB'],
  [1, '1 MB'],
  [1e6, '1 MB'],
  [1e6 + 1, '2 MB'],
  [999e6, '999 MB'],
  [1e9, '1.0 GB'],
  [1.25e9, '1.3 GB'],
  [123_456_789_012, '123.5 GB'],
])('%d bytes are %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));
