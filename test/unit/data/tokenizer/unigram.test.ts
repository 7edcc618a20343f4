import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completeTokenizerJson } from '../../../../src/data/tokenizer/tokenizerJson';
import { SortedPieces } from '../../../../src/data/tokenizer/unigram/pieces';
import { unigramConfig, UnigramModel } from '../../../../src/data/tokenizer/unigram/unigramModel';

type Vocab = readonly (readonly [string, number])[];

const letters = fc.constantFrom('a', 'b', 'c', '▁', 'é', '🙂', '你');
const pieces = fc.uniqueArray(
  fc.tuple(
    fc.array(letters, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
    // few different ones, so that sums are often equal
    fc.integer({ min: -6, max: -1 }),
  ),
  { selector: ([text]) => text, maxLength: 20 },
);
const text = fc
  .array(fc.oneof(letters, fc.constantFrom('x', 'ab', 'abc', '☃')), { maxLength: 24 })
  .map((parts) => parts.join(''));

const modelOf = (vocab: Vocab, more: object = {}) =>
  new UnigramModel(unigramConfig({ type: 'Unigram', vocab, unk_id: 0, ...more })!);

function libraryIds(vocab: Vocab, input: string): number[] {
  const json = completeTokenizerJson({ model: { type: 'Unigram', vocab, unk_id: 0 } }, {}, 'file');
  return input === '' ? [] : new HuggingFaceTokenizer(json, {}).encode(input).ids;
}

describe('a model of unigrams', () => {
  it('gives the ids of the library for any vocabulary and text', () => {
    fc.assert(
      fc.property(pieces, text, (own, input) => {
        const vocab: Vocab = [['<unk>', 0], ...own];
        expect(modelOf(vocab).encode([input])).toEqual(libraryIds(vocab, input));
      }),
      { numRuns: 500 },
    );
  });

  it('has one token for unknown characters beside each other, in each piece', () => {
    const model = modelOf([
      ['<unk>', 0],
      ['a', -1],
    ]);
    expect(model.encode(['xya☃', 'x', 'x'])).toEqual([0, 1, 0, 0, 0]);
  });

  it('has the bytes of many unknown characters beside each other', () => {
    const bytes = Array.from({ length: 256 }, (_, byte): [string, number] => [
      `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
      -20,
    ]);
    const count = 100_000;
    const ids = modelOf([['<unk>', 0], ...bytes], { byte_fallback: true }).encode([
      '你'.repeat(count),
    ]);
    expect(ids.length).toBe(3 * count);
    expect(ids.slice(-3)).toEqual([0xe5, 0xbe, 0xa1]);
  });

  it('has the bytes of unknown characters if it has all of them', () => {
    const bytes = Array.from({ length: 256 }, (_, byte): [string, number] => [
      `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
      -20,
    ]);
    const vocab: Vocab = [['<unk>', 0], ['a', -1], ...bytes];
    expect(modelOf(vocab, { byte_fallback: true }).encode(['aéa'])).toEqual([1, 0xc5, 0xab, 1]);
    expect(modelOf(vocab).encode(['aéa'])).toEqual([1, 0, 1]);
    const some = vocab.filter(([piece]) => piece !== '<0xA9>');
    expect(modelOf(some, { byte_fallback: true }).encode(['aéa'])).toEqual([1, 0, 1]);
  });

  it('of equal ways takes the one whose last token is longest', () => {
    expect(
      modelOf([
        ['<unk>', 0],
        ['a', -1],
        ['b', -1],
        ['ab', -2],
      ]).encode(['ab']),
    ).toEqual([3]);
  });

  it.each([
    { type: 'BPE', vocab: { a: 0 } },
    { type: 'Unigram', vocab: [], unk_id: 0 },
    { type: 'Unigram', vocab: [['a', 'b']], unk_id: 0 },
    { type: 'Unigram', vocab: [['a', 0]], unk_id: 1 },
    { type: 'Unigram', vocab: [['a', 0]] },
    { type: 'Unigram', vocab: [3], unk_id: 0 },
  ])('is not made of %j', (model) => {
    expect(unigramConfig(model)).toBeNull();
  });

  it('finds the pieces at a place, the shortest first, and of equal ones the last', () => {
    const sorted = new SortedPieces(['ab', 'a', 'abc', 'b', 'ab', 'abd', '']);
    const found: [number, number][] = [];
    sorted.at('xabcd', 1, (end, id) => found.push([end, id]));
    expect(found).toEqual([
      [2, 1],
      [3, 4],
      [4, 2],
    ]);
  });
});
