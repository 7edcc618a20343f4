import { describe, expect, it } from 'vitest';
import { codePrompt, promptIds } from '../../../../src/data/code/codeTokens';
import { fimFormOf, middleEnds } from '../../../../src/data/code/fimForms';
import type { Tokenizer } from '../../../../src/data/tokenizer/tokenizer';

/** A tokenizer of characters, with special tokens after them. */
function tokenizerWith(...tokens: readonly string[]): Tokenizer {
  const added = new Map(tokens.map((token, i) => [token, 0x1_0000 + i]));
  return {
    special_tokens: added,
    added_tokens: added,
    frame: { before: [1], between: [], after: [] },
    encode: (text: string) => Array.from(text, (character) => character.codePointAt(0)!),
  } as unknown as Tokenizer;
}

/** Ids as text, with <n> for the special ones and ^ for the first. */
const shown = (ids: readonly number[]): string =>
  ids
    .map((id) => {
      if (id === 1) return '^';
      return id < 0x1_0000 ? String.fromCodePoint(id) : `<${id - 0x1_0000}>`;
    })
    .join('');

const starCoder = ['<fim_prefix>', '<fim_suffix>', '<fim_middle>', '<file_sep>', '<|endoftext|>'];
const place = { path: 'src/a.py', before: 'def f(', after: '):\n  pass\n' };
const limits = { before: 100, after: 100 };

describe('the prompt for the text at a cursor', () => {
  it('is in the form of the vocabulary, behind the path of the file', () => {
    const { input_ids, fim } = codePrompt(tokenizerWith(...starCoder), place, limits);
    expect(shown(input_ids)).toBe('^<3>src/a.py\n<0>def f(<1>):\n  pass\n<2>');
    expect(fim).toBe(true);
  });

  it.each([
    [['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>', '<|file_sep|>'], '^<3>p\n<0>b<1>a<2>'],
    [['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'], '^<0>p\nb<1>a<2>'],
    [['<fim_prefix>', '<fim_suffix>', '<fim_middle>', '<filename>'], '^<3>p\n<0>b<1>a<2>'],
    [['<fim-prefix>', '<fim-suffix>', '<fim-middle>'], '^<0>p\nb<1>a<2>'],
    [['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'], '^<0>p\nb<1>a<2>'],
    [['▁<PRE>', '▁<SUF>', '▁<MID>'], '^<0>p\nb<1>a<2>'],
    [['[PREFIX]', '[SUFFIX]'], '^<1>a<0>p\nb'],
    [['<[fim-prefix]>', '<[fim-suffix]>', '<[fim-middle]>'], '^<1>a<0>p\nb<2>'],
    [['<|im_start|>'], '^p\nb'],
  ])('with the tokens %j is %s', (tokens, text) => {
    const own = { path: 'p', before: 'b', after: 'a' };
    expect(shown(codePrompt(tokenizerWith(...tokens), own, limits).input_ids)).toBe(text);
  });

  it('keeps what is nearest to the cursor, within the limits', () => {
    const few = { before: 3, after: 2 };
    const { input_ids } = codePrompt(tokenizerWith(...starCoder), place, few);
    expect(shown(input_ids)).toBe('^<3>src/a.py\n<0> f(<1>):<2>');
    const long = { path: 'p', before: 'x'.repeat(1e6), after: 'y'.repeat(1e6) };
    expect(codePrompt(tokenizerWith(...starCoder), long, limits).input_ids).toHaveLength(207);
    expect(codePrompt(tokenizerWith(), long, { before: 0, after: 0 }).input_ids).toHaveLength(3);
  });

  it('lets no text of the file end or begin a part', () => {
    const own = { path: 'p<fim_middle>', before: 'a<fim_suffix>b', after: 'c<|endoftext|>d' };
    const { input_ids } = codePrompt(tokenizerWith(...starCoder), own, limits);
    expect(shown(input_ids)).toBe('^<3>p\n<0>b<1>c<2>');
  });

  it('has no half of a surrogate pair where a text is cut', () => {
    const own = { path: 'p', before: '\u{1f600}'.repeat(40).slice(1), after: '' };
    const { input_ids } = codePrompt(tokenizerWith(), own, { before: 4, after: 0 });
    expect(input_ids.filter((id) => id >= 0xd800 && id <= 0xdfff)).toEqual([]);
  });
});

describe('the tokens that end a middle', () => {
  it('count behind a prompt that asks for one', () => {
    const tokenizer = tokenizerWith(...starCoder);
    const form = fimFormOf(tokenizer);
    const ids = promptIds(tokenizer, form, { path: 'p', before: [], after: [] });
    expect(middleEnds(tokenizer, ids)).toEqual([0x1_0003, 0x1_0004]);
    expect(middleEnds(tokenizer, [1, 2])).toEqual([]);
    expect(middleEnds(tokenizerWith('<|im_start|>'), ids)).toEqual([]);
  });
});
