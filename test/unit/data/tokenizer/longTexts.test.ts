import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeInPieces } from '../../../../src/data/tokenizer/longTexts';
import { smallTokenizer } from '../../../support/datasets';

const encode = (text: string) => smallTokenizerOnce.encode(text, false);
const smallTokenizerOnce = smallTokenizer();

it('encodes a text in pieces as it does the whole', () => {
  const part = fc.constantFrom(
    ...[
      'the ',
      'old',
      ' mill',
      '. ',
      'Grüße',
      '你好世界',
      '，',
      '\n\n',
      "don't ",
      '1234',
      '  ',
      '🙂',
    ],
  );
  fc.assert(
    fc.property(fc.array(part, { minLength: 50, maxLength: 200 }), (parts) => {
      const text = parts.join('');
      expect(encodeInPieces(text, encode, 60)).toEqual(encode(text));
    }),
    { numRuns: 50 },
  );
});

it('cuts a long text, so that no piece is much longer than asked for', () => {
  const lengths: number[] = [];
  const watched = (text: string) => {
    lengths.push(text.length);
    return encode(text);
  };
  encodeInPieces('the old mill by the river. '.repeat(400), watched, 500);
  expect(lengths.length).toBeGreaterThan(20);
  expect(Math.max(...lengths)).toBeLessThan(600);
});

it('does not cut where a token spans the place, nor without such places', () => {
  const joined = (text: string) => (text.includes('a b') ? [1] : [2, 3]);
  expect(encodeInPieces('a b'.repeat(100), joined, 30)).toEqual([1]);
  const lengths: number[] = [];
  encodeInPieces(
    'x'.repeat(1000),
    (text) => {
      lengths.push(text.length);
      return [];
    },
    100,
  );
  expect(lengths).toEqual([1000]);
});
