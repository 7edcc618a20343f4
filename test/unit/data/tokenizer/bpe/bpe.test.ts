import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bpeConfig } from '../../../../../src/data/tokenizer/bpe/bpeModel';
import { PieceCache } from '../../../../../src/data/tokenizer/bpe/pieceCache';
import { wordSplitter } from '../../../../../src/data/tokenizer/bpe/words';
import { createTokenizer } from '../../../../../src/data/tokenizer/createTokenizer';
import { completeTokenizerJson } from '../../../../../src/data/tokenizer/tokenizerJson';

type Json = Readonly<Record<string, unknown>>;

const LETTERS = ['a', 'b', 'c', '▁', 'Ġ', 'é', '<', ' '];
const BYTE_TOKENS = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

/** Pairs of texts that are there already, so that merges build on each other. */
const mergesArbitrary = fc
  .array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 30 })
  .map((picks) => {
    const texts = LETTERS.filter((letter) => letter !== ' ');
    return picks.map(([left, right]): [string, string] => {
      const pair: [string, string] = [texts[left % texts.length]!, texts[right % texts.length]!];
      if (pair.join('').length < 12) texts.push(pair.join(''));
      return pair;
    });
  });

const textArbitrary = fc
  .array(
    fc.constantFrom(...LETTERS, 'a', 'b', '\n', '12', '你', '🙂', '\ud800', '<s>', '<added>'),
    {
      maxLength: 60,
    },
  )
  .map((parts) => parts.join(''));

function modelOf(merges: readonly (readonly [string, string])[], more: Json): Json {
  const letters = [...LETTERS, 'Ã', '©', '<unk>'];
  const bytes = more['byte_fallback'] === true ? BYTE_TOKENS : [];
  const texts = new Set([...letters, ...bytes, ...merges.map((pair) => pair.join(''))]);
  return {
    type: 'BPE',
    vocab: Object.fromEntries([...texts].map((t, i) => [t, i])),
    merges,
    ...more,
  };
}

const ADDED = ['<s>', '<added>'].map((content, i) => ({
  id: 1000 + i,
  content,
  special: i === 0,
  lstrip: i === 1,
  rstrip: i === 1,
  normalized: i === 1,
  single_word: false,
}));

const TEMPLATE = {
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
};

const KINDS: Readonly<Record<string, Json>> = {
  'byte-level': {
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      ],
    },
    model: { unk_token: null },
  },
  'byte-level that looks for whole words': {
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, use_regex: true },
    model: { ignore_merges: true },
  },
  'SentencePiece with bytes': {
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    model: { byte_fallback: true, unk_token: '<unk>', fuse_unk: true },
  },
  'SentencePiece without bytes': {
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
    model: { unk_token: '<unk>', fuse_unk: true },
  },
  'words of characters': {
    pre_tokenizer: { type: 'Whitespace' },
    model: { unk_token: '<unk>', fuse_unk: false },
  },
};

describe.each(Object.keys(KINDS))('a BPE tokenizer: %s', (name) => {
  it('gives the ids of the library for any merges and texts', () => {
    const { model: more, ...parts } = KINDS[name]!;
    fc.assert(
      fc.property(mergesArbitrary, fc.array(textArbitrary, { maxLength: 4 }), (merges, texts) => {
        const model = modelOf(merges, more as Json);
        const tokenizer = { model, added_tokens: ADDED, post_processor: TEMPLATE, ...parts };
        const config = {};
        const own = createTokenizer({ tokenizer, config, source: 'x', chat_template: null });
        const library = new HuggingFaceTokenizer(
          completeTokenizerJson(tokenizer, config, 'x'),
          config,
        );
        for (const text of [...texts, ...texts])
          for (const add_special_tokens of [true, false])
            expect(own.encode(text, add_special_tokens)).toEqual(
              library.encode(text, { add_special_tokens }).ids,
            );
      }),
      { numRuns: 100 },
    );
  });
});

it('leaves models with affixes of words to the library', () => {
  const model = modelOf([['a', 'b']], {});
  expect(bpeConfig(model)).not.toBeNull();
  expect(bpeConfig({ ...model, end_of_word_suffix: '</w>' })).toBeNull();
  expect(bpeConfig({ ...model, continuing_subword_prefix: '##' })).toBeNull();
  expect(bpeConfig({ ...model, merges: ['a b c'] })).toBeNull();
  expect(bpeConfig({ ...model, type: 'Unigram' })).toBeNull();
});

it('splits words before spaces only where no merge joins a space to the text before it', () => {
  expect(wordSplitter([['▁', 'a']])?.(['a▁▁b▁c', '▁'])).toEqual(['a', '▁▁b', '▁c', '▁']);
  expect(wordSplitter([['▁', '▁']])).not.toBeNull();
  expect(wordSplitter([['a', '▁']])).toBeNull();
});

describe('the cache of pieces', () => {
  it('keeps what is used and drops the rest', () => {
    const cache = new PieceCache();
    cache.set('kept', 1);
    let largest = 0;
    for (let i = 0; i < 200_000; i++) {
      cache.set(`piece number ${i}`, Int32Array.of(i, i));
      if (i % 1000 === 0) expect(cache.get('kept')).toBe(1);
      largest = Math.max(largest, cache.size);
    }
    expect(largest).toBeLessThan(80_000);
    expect(cache.get('piece number 0')).toBeUndefined();
    expect(cache.get('piece number 199999')).toEqual(Int32Array.of(199_999, 199_999));
  });

  it('does not keep long pieces', () => {
    const cache = new PieceCache();
    cache.set('a'.repeat(300), 1);
    expect(cache.size).toBe(0);
  });
});
