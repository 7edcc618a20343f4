import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { pastedImage } from '../../../../src/host/playground/pastedImage';

const file = path.resolve(import.meta.dirname, '../../../fixtures/qwen3-vl-images/chats/wide.png');

it('reads a PNG or JPEG by its content, whatever its address says', () => {
  const png = readFileSync(file);
  const url = `data:image/jpeg;base64,${png.toString('base64')}`;
  expect(pastedImage(url)).toEqual({ bytes: png, extension: 'png' });
  const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xd9]);
  expect(pastedImage(`data:image/png;base64,${jpeg.toString('base64')}`)).toEqual({
    bytes: jpeg,
    extension: 'jpg',
  });
});

it.each([
  'data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=',
  'data:text/html,<p>',
  'data:image/png,iVBOR',
  'https://example.com/a.png',
  '',
])('is none of %s', (url) => {
  expect(pastedImage(url)).toBeNull();
});
