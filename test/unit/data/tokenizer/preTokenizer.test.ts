import { describe, expect, it } from 'vitest';
import { repairPreTokenizer } from '../../../../src/data/tokenizer/preTokenizer';
import {
  completeTokenizerJson,
  namedTokens,
  toAddedToken,
} from '../../../../src/data/tokenizer/tokenizerJson';
import { smallTokenizer } from '../../../support/datasets';

/** The pieces of a text; the byte-level letters of spaces are put back. */
function piecesOf(pre_tokenizer: unknown, text: string): string[] {
  const repaired = repairPreTokenizer(pre_tokenizer, 'f') as {
    type: string;
    pattern?: { Regex: string };
    invert?: boolean;
    behavior?: string;
  };
  const pattern = new RegExp(repaired.pattern!.Regex.replaceAll('\\z', '$'), 'gu');
  const pieces: string[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    const between = text.slice(end, match.index);
    if (repaired.behavior === 'Isolated') pieces.push(between, match[0]);
    else pieces.push(repaired.invert ? match[0] : between);
    end = match.index + match[0].length;
  }
  if (!repaired.invert) pieces.push(text.slice(end));
  return pieces.filter((piece) => piece !== '');
}
const split = (behavior: string | undefined, change: object = {}) => ({
  type: 'Split',
  pattern: { String: '-' },
  ...(behavior !== undefined && { behavior }),
  ...change,
});

describe('a repaired pre-tokenizer', () => {
  it.each<[string, unknown, string, string[]]>([
    [
      'digits one by one',
      { type: 'Digits', individual_digits: true },
      'a12b٣',
      ['a', '1', '2', 'b', '٣'],
    ],
    ['digits together', { type: 'Digits' }, 'a12b٣', ['a', '12', 'b', '٣']],
    ['words', { type: 'Whitespace' }, 'ab_1, ?! c', ['ab_1', ',', '?!', 'c']],
    ['white space', { type: 'WhitespaceSplit' }, ' a,  b\n', ['a,', 'b']],
    ['punctuation', { type: 'Punctuation' }, 'a!?b', ['a', '!', '?', 'b']],
    [
      'contiguous punctuation',
      { type: 'Punctuation', behavior: 'Contiguous' },
      'a!?b',
      ['a', '!?', 'b'],
    ],
    ['removed punctuation', { type: 'Punctuation', behavior: 'Removed' }, 'a!?b', ['a', 'b']],
    ['a split, isolated', split('Isolated'), 'a--b', ['a', '-', '-', 'b']],
    ['a split without behavior', split(undefined), 'a--b', ['a', '-', '-', 'b']],
    ['a split, removed', split('Removed'), 'a--b', ['a', 'b']],
    ['a split, contiguous', split('Contiguous'), 'a--b', ['a', '--', 'b']],
    ['a split, merged with the next', split('MergedWithNext'), 'a-b-c', ['a', '-b', '-c']],
    ['a split, merged with the previous', split('MergedWithPrevious'), 'a-b-c', ['a-', 'b-', 'c']],
    ['an inverted split', split('Removed', { invert: true }), 'a--b', ['-', '-']],
    [
      'a split by an expression',
      split('Removed', { pattern: { Regex: '[ab]' } }),
      'xaybz',
      ['x', 'y', 'z'],
    ],
    ['a split by a text', split('Removed', { pattern: '.' }), 'a.b', ['a', 'b']],
  ])('has %s', (_, config, text, want) => {
    expect(piecesOf(config, text)).toEqual(want);
  });

  it('does not split in ways that are not supported', () => {
    for (const behavior of ['Contiguous', 'MergedWithNext', 'MergedWithPrevious', 'Other'])
      expect(() =>
        repairPreTokenizer(split(behavior, { invert: behavior !== 'Other' }), 'f.json'),
      ).toThrow(expect.objectContaining({ area: 'tokenizer', place: { file: 'f.json' } }) as Error);
    expect(() =>
      repairPreTokenizer({ type: 'Sequence', pretokenizers: [split('Odd')] }, 'f'),
    ).toThrow('"Odd"');
  });

  it('is left as it is where nothing needs repair', () => {
    const others = [
      { type: 'BertPreTokenizer' },
      { type: 'ByteLevel', use_regex: false, add_prefix_space: true },
    ];
    for (const config of others) expect(repairPreTokenizer(config, 'f')).toBe(config);
    expect(repairPreTokenizer(undefined, 'f')).toBeNull();
    expect(repairPreTokenizer(null, 'f')).toBeNull();
    expect(repairPreTokenizer({ type: 'Sequence' }, 'f')).toEqual({
      type: 'Sequence',
      pretokenizers: [],
    });
    expect(repairPreTokenizer({ type: 'Sequence', pretokenizers: others }, 'f')).toEqual({
      type: 'Sequence',
      pretokenizers: others,
    });
  });

  it('of bytes splits as GPT-2 before it encodes, with a space in front only where that is set', () => {
    const of = (change: object) =>
      (
        repairPreTokenizer({ type: 'ByteLevel', trim_offsets: true, ...change }, 'f') as {
          pretokenizers: object[];
        }
      ).pretokenizers;
    const bytes = {
      type: 'ByteLevel',
      trim_offsets: true,
      use_regex: false,
      add_prefix_space: false,
    };
    expect(of({ add_prefix_space: false })).toHaveLength(2);
    expect(of({ add_prefix_space: false })[1]).toEqual(bytes);
    const [prefix, , last] = of({ add_prefix_space: true });
    expect(prefix).toEqual({ type: 'Metaspace', replacement: ' ', prepend_scheme: 'always' });
    expect(last).toEqual(bytes);
  });

  it('of Metaspace prepends by its scheme, then splits before each space', () => {
    const of = (change: object) =>
      repairPreTokenizer({ type: 'Metaspace', replacement: '▁', ...change }, 'f');
    expect(of({ split: false })).toEqual({
      type: 'Metaspace',
      replacement: '▁',
      split: false,
      prepend_scheme: 'always',
    });
    expect(of({ split: false, add_prefix_space: false })).toMatchObject({
      prepend_scheme: 'never',
    });
    expect(of({ split: false, add_prefix_space: true })).toMatchObject({
      prepend_scheme: 'always',
    });
    expect(of({ split: false, add_prefix_space: false, prepend_scheme: 'first' })).toMatchObject({
      prepend_scheme: 'first',
    });
    const [prepend, own] = (of({ replacement: undefined }) as { pretokenizers: object[] })
      .pretokenizers;
    expect(prepend).toMatchObject({ prepend_scheme: 'always' });
    expect(piecesOf(own, '▁ab▁c▁▁d')).toEqual(['▁ab', '▁c', '▁', '▁d']);
  });
});

describe('a completed tokenizer.json', () => {
  const token = (id: number, content: string) => ({ id, content, special: true });

  it('has null for absent parts, and the added tokens of both files once', () => {
    const { added_tokens, ...parts } = completeTokenizerJson(
      { model: {}, decoder: { type: 'x' }, added_tokens: [token(1, 'a'), 'odd'] },
      { added_tokens_decoder: { 5: { content: 'b' }, 6: { content: 'a' }, 7: 'odd' } },
      'f',
    );
    expect(parts).toEqual({
      model: {},
      normalizer: null,
      post_processor: null,
      decoder: { type: 'x' },
      pre_tokenizer: null,
    });
    expect(added_tokens).toEqual([token(1, 'a'), { id: 5, content: 'b' }]);
    expect(completeTokenizerJson({}, {}, 'f').added_tokens).toEqual([]);
    expect(
      completeTokenizerJson({ added_tokens: [token(0, 'a')] }, {}, 'f').added_tokens,
    ).toHaveLength(1);
    expect(() => completeTokenizerJson({ added_tokens: [token(0.5, 'a')] }, {}, 'f')).toThrow(
      'added token',
    );
  });

  it('has the defaults of added tokens', () => {
    expect(toAddedToken({ id: 3, content: 'a' })).toEqual({
      id: 3,
      content: 'a',
      special: false,
      lstrip: false,
      normalized: true,
    });
    expect(toAddedToken({ id: 3, content: 'a', special: true, lstrip: true })).toMatchObject({
      special: true,
      lstrip: true,
      normalized: false,
    });
    expect(toAddedToken({ id: 3, content: 'a', special: true, normalized: true }).normalized).toBe(
      true,
    );
    expect(toAddedToken({ id: 3, content: 'a', normalized: false }).normalized).toBe(false);
  });

  it('has named tokens as text or object', () => {
    expect(
      namedTokens({
        bos_token: 'a',
        eos_token: { content: 'b' },
        unk_token: 'u',
        sep_token: 's',
        pad_token: 'p',
        cls_token: 'c',
        mask_token: null,
        other: 'x',
      }),
    ).toEqual({
      bos_token: 'a',
      eos_token: 'b',
      unk_token: 'u',
      sep_token: 's',
      pad_token: 'p',
      cls_token: 'c',
    });
    expect(namedTokens({ mask_token: 'm' })).toEqual({ mask_token: 'm' });
  });
});

describe('places in a text', () => {
  const tokenizer = smallTokenizer();
  const places = (text: string, offsets: number[]) => tokenizer.encodeAt(text, offsets);

  it('are counted in tokens, also at the ends and at special tokens', () => {
    const text = '<|im_start|>xyz<|im_end|>q';
    const { ids, places: found } = places(text, [0, 12, 15, 25, text.length]);
    expect(ids).toEqual(tokenizer.encode(text, false));
    const end = ids.indexOf(tokenizer.special_tokens.get('<|im_end|>')!);
    expect(found).toEqual(
      [0, 1, end, end + 1, ids.length].map((at) => ({ before: at, reached: at })),
    );
    expect(places('', [0])).toEqual({ ids: [], places: [{ before: 0, reached: 0 }] });
  });

  it('within a token are before it and reach it', () => {
    const text = 'the the the the';
    const everyOffset = Array.from({ length: text.length }, (_, i) => i);
    const { ids, places: found } = places(text, everyOffset);
    expect(found[0]).toEqual({ before: 0, reached: 0 });
    for (const [i, { before, reached }] of found.entries()) {
      expect(reached - before === 0 || reached - before === 1).toBe(true);
      expect(tokenizer.decode(ids.slice(0, before)).length).toBeLessThanOrEqual(i);
      expect(tokenizer.decode(ids.slice(0, reached)).length).toBeGreaterThanOrEqual(i);
    }
  });
});
