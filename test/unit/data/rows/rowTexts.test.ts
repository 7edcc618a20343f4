import { expect, it } from 'vitest';
import { comparedText, rowTexts } from '../../../../src/data/rows/rowTexts';

const row = (image: string) => ({
  kind: 'messages' as const,
  line: 1,
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text' as const, text: 'First ' },
        { type: 'image' as const, image },
        { type: 'text' as const, text: ', then what?' },
      ],
    },
  ],
});

it.each([
  ['images/a.png', 'First [a.png], then what?'],
  ['data:image/png;base64,AAAA', 'First [image], then what?'],
])('shows where the image %s stands in a message', (image, text) => {
  expect(rowTexts(row(image))).toEqual([{ role: 'user', text }]);
});

it('compares rows without the paths of their images', () => {
  expect(comparedText(row('a.png'))).toBe(comparedText(row('b.png')));
});
