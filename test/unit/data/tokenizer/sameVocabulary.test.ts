import { expect, it } from 'vitest';
import { tokenDifference } from '../../../../src/data/tokenizer/sameVocabulary';

const bpe = (vocab: object, merges: unknown[] = [], added_tokens: object[] = []) => ({
  tokenizer: { model: { type: 'BPE', vocab, merges }, added_tokens },
});
const AB = { a: 0, b: 1 };

it.each([
  [bpe(AB), bpe({ b: 1, a: 0 })],
  [bpe(AB, [['a', 'b']]), bpe(AB, ['a b'])],
  [bpe(AB, [], [{ id: 2, content: '<s>' }]), bpe({ ...AB, '<s>': 2 })],
  [
    {
      tokenizer: {
        model: {
          vocab: [
            ['a', -1],
            ['b', -2],
          ],
        },
      },
    },
    {
      tokenizer: {
        model: {
          vocab: [
            ['a', -1],
            ['b', -3],
          ],
        },
      },
    },
  ],
])('finds no difference: %j', (a, b) => {
  expect(tokenDifference(a, b)).toBeNull();
});

it.each([
  [bpe({ ...AB, c: 2 }), bpe(AB), /^3 tokens, and not 2/],
  [bpe(AB), bpe({ a: 1, b: 0 }), /^"a" as token 0, and not "b"/],
  [bpe(AB), bpe({ a: 0, b: 2 }), /^"b" as token 1, and not null/],
  [bpe(AB, [['a', 'b']]), bpe(AB), /merges/],
  [bpe(AB, ['a b', 'b a']), bpe(AB, ['b a', 'a b']), /merges/],
])('names the difference: %j', (a, b, message) => {
  expect(tokenDifference(a, b)).toMatch(message);
});
