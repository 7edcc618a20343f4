import { describe, expect, it } from 'vitest';
import type { GgufValue } from '../../../../src/formats/gguf/header';
import { Metadata } from '../../../../src/formats/gguf/metadata';
import { PRE_TOKENIZERS } from '../../../../src/formats/gguf/preTokenizers';
import { mergesFromScores, sentencePieceParts } from '../../../../src/formats/gguf/sentencePiece';
import { readGgufTokenizer } from '../../../../src/formats/gguf/tokenizer';

const FOLDER = "Use the model's safetensors folder with its tokenizer.json.";
const BPE = {
  model: 'gpt2',
  pre: 'gpt-2',
  tokens: ['a', 'b', 'ab', '<s>', '</s>'],
  merges: ['a b'],
} as const;

const filesOf = (values: Readonly<Record<string, GgufValue>>) =>
  readGgufTokenizer(
    new Metadata(
      new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value])),
      'a.gguf',
    ),
  );

function expectRefused(
  values: Readonly<Record<string, GgufValue>>,
  expected: { message: string; fix?: string; key?: string },
): void {
  const { message, fix, key } = expected;
  expect(() => filesOf(values)).toThrow(
    expect.objectContaining({
      area: 'tokenizer',
      message,
      ...(fix !== undefined && { fix }),
      place: { file: 'a.gguf', ...(key !== undefined && { key: `tokenizer.ggml.${key}` }) },
    }),
  );
}

describe('the tokenizer.json of byte-level BPE', () => {
  it('has the parts that transformers writes', () => {
    const { tokenizer, config, chat_template } = filesOf(BPE);
    expect(tokenizer).toEqual({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          {
            type: 'Split',
            pattern: { Regex: PRE_TOKENIZERS.get('gpt-2')!.splits[0] },
            behavior: 'Isolated',
            invert: false,
          },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        ignore_merges: false,
        byte_fallback: false,
        fuse_unk: false,
        unk_token: null,
        vocab: { a: 0, b: 1, ab: 2, '<s>': 3, '</s>': 4 },
        merges: [['a', 'b']],
      },
      post_processor: null,
    });
    expect(config).toEqual({
      add_bos_token: false,
      add_eos_token: false,
      clean_up_tokenization_spaces: false,
    });
    expect(chat_template).toBeNull();
  });

  it('adds bos and eos around one text or two', () => {
    const files = filesOf({
      ...BPE,
      bos_token_id: 3,
      eos_token_id: 4,
      add_bos_token: true,
      add_eos_token: true,
    });
    const bos = (type_id: number) => ({ SpecialToken: { id: '<s>', type_id } });
    const eos = (type_id: number) => ({ SpecialToken: { id: '</s>', type_id } });
    const text = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
    expect(files.tokenizer).toMatchObject({
      post_processor: {
        type: 'TemplateProcessing',
        single: [bos(0), text('A', 0), eos(0)],
        pair: [bos(0), text('A', 0), eos(0), bos(1), text('B', 1), eos(1)],
        special_tokens: {
          '<s>': { id: '<s>', ids: [3], tokens: ['<s>'] },
          '</s>': { id: '</s>', ids: [4], tokens: ['</s>'] },
        },
      },
    });
    expect(files.config).toEqual({
      bos_token: '<s>',
      eos_token: '</s>',
      add_bos_token: true,
      add_eos_token: true,
      clean_up_tokenization_spaces: false,
    });
    const only = filesOf({ ...BPE, eos_token_id: 4, add_eos_token: true }).tokenizer;
    expect(only).toMatchObject({
      post_processor: {
        single: [text('A', 0), eos(0)],
        special_tokens: { '</s>': { ids: [4] } },
      },
    });
  });

  it('has control, unknown and user-defined tokens as added ones', () => {
    const token_type = [1, 2, 3, 4, 5];
    const added = (id: number, content: string, special: boolean) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special,
    });
    expect(filesOf({ ...BPE, token_type }).tokenizer).toMatchObject({
      added_tokens: [added(1, 'b', true), added(2, 'ab', true), added(3, '<s>', false)],
    });
  });

  it('names its tokens, but no padding or unknown token that it lacks', () => {
    const ids = { padding_token_id: 0, unknown_token_id: 1 };
    expect(filesOf({ ...BPE, ...ids }).config).toMatchObject({ pad_token: 'a', unk_token: 'b' });
    const none = filesOf({ ...BPE, padding_token_id: 5, unknown_token_id: 5 }).config;
    expect(none).not.toHaveProperty('pad_token');
    expect(none).not.toHaveProperty('unk_token');
    for (const name of ['bos', 'eos']) {
      const key = `${name}_token_id`;
      expectRefused(
        { ...BPE, [key]: 5 },
        { message: `tokenizer.ggml.${key} is 5, but the file has only 5 tokens.`, key },
      );
    }
  });

  it('has merges of two tokens, which may begin with a space', () => {
    const merges = (merge: string) =>
      (filesOf({ ...BPE, merges: [merge] }).tokenizer as { model: { merges: unknown } }).model
        .merges;
    expect(merges('a b c')).toEqual([['a', 'b c']]);
    expect(merges('  b')).toEqual([[' ', 'b']]);
    expectRefused(
      { ...BPE, merges: [' ab'] },
      {
        message: `The GGUF file's metadata is not usable: " ab" is not a merge of two tokens.`,
        key: 'merges',
      },
    );
  });

  it('is refused when it is missing or of another kind', () => {
    expectRefused(
      {},
      {
        message: 'The GGUF file has no tokenizer.',
        fix: 'Use a file that was converted with its tokenizer.',
      },
    );
    expectRefused(
      { ...BPE, model: 'rwkv' },
      {
        message:
          'Tokenizers of the kind "rwkv" are not supported in GGUF files, only gpt2 (BPE), llama (SentencePiece), gemma4 (its merges), t5 (Unigram) and bert (WordPiece).',
        fix: FOLDER,
        key: 'model',
      },
    );
    const supported = `Supported: ${[...PRE_TOKENIZERS.keys()].join(', ')}.`;
    expectRefused(
      { ...BPE, pre: 'x' },
      {
        message: `The pre-tokenizer is not supported: tokenizer.ggml.pre is "x". ${supported}`,
        fix: FOLDER,
        key: 'pre',
      },
    );
    const { model, tokens, merges } = BPE;
    expectRefused(
      { model, tokens, merges },
      {
        message: `The pre-tokenizer is not supported: tokenizer.ggml.pre is missing, as in files from before May 2024. ${supported}`,
        fix: FOLDER,
        key: 'pre',
      },
    );
  });
});

describe('the tokenizer.json of SentencePiece', () => {
  const PIECES = {
    model: 'llama',
    tokens: ['<unk>', 'a', 'b', 'ab'],
    scores: [0, -1, -2, -3],
    token_type: [2, 1, 1, 1],
  };

  it('falls back to bytes and to the unknown token', () => {
    expect(filesOf(PIECES).tokenizer).toMatchObject({
      ...sentencePieceParts(true),
      model: {
        ignore_merges: false,
        byte_fallback: true,
        fuse_unk: true,
        unk_token: '<unk>',
        merges: [['a', 'b']],
      },
    });
    expect(filesOf({ ...PIECES, unknown_token_id: 2 }).tokenizer).toMatchObject({
      model: { unk_token: 'b' },
    });
    expect(filesOf({ model: 'llama', tokens: [], scores: [] }).tokenizer).toMatchObject({
      model: { unk_token: null },
    });
    expect(filesOf({ ...PIECES, add_space_prefix: false }).tokenizer).toMatchObject(
      sentencePieceParts(false),
    );
  });

  it('writes spaces as ▁, with one in front unless the file says otherwise', () => {
    const escape = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
    const rest = [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
    ];
    expect(sentencePieceParts(true)).toEqual({
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, escape] },
      pre_tokenizer: null,
      decoder: {
        type: 'Sequence',
        decoders: [...rest, { type: 'Strip', content: ' ', start: 1, stop: 0 }],
      },
    });
    expect(sentencePieceParts(false)).toEqual({
      normalizer: { type: 'Sequence', normalizers: [escape] },
      pre_tokenizer: null,
      decoder: { type: 'Sequence', decoders: rest },
    });
  });
});

describe('merges from scores', () => {
  const merges = (tokens: readonly string[], scores: readonly number[], types: number[] = []) =>
    mergesFromScores(tokens, scores, types).map((pair) => pair.join('+'));

  it('join pieces of the vocabulary, the best score first', () => {
    expect(merges(['a', 'b', 'c', 'bc', 'ab'], [0, 0, 0, -2, -1])).toEqual(['a+b', 'b+c']);
    expect(merges(['a', 'b', 'c', 'bc', 'ab'], [0, 0, 0, -1, -2])).toEqual(['b+c', 'a+b']);
    expect(merges(['a', 'ab', 'bc'], [0, 0, 0])).toEqual([]);
  });

  it('of equal scores have the longer left, then the longer right piece first', () => {
    const tokens = ['a', 'b', 'c', 'ab', 'bc', 'abc'];
    const equal = tokens.map(() => 0);
    expect(merges(tokens, equal)).toEqual(['ab+c', 'a+bc', 'a+b', 'b+c']);
  });

  it('of equal lengths follow the order of the vocabulary', () => {
    expect(merges(['b', 'a', 'ab', 'ba', 'aa'], [])).toEqual(['a+b', 'b+a', 'a+a']);
    const lengths = merges(['b', 'a', 'aab', 'ab', 'aa'], []);
    expect(lengths).toEqual(['aa+b', 'a+ab', 'a+b', 'a+a']);
  });

  it('count characters, not their UTF-16 units', () => {
    expect(merges(['😀', 'a', 'b', '😀a', 'ab', '😀ab'], [0, 0, 0, 0, 0, 1])).toEqual([
      '😀a+b',
      '😀+ab',
      '😀+a',
      'a+b',
    ]);
  });

  it('leave out unknown, control and byte pieces', () => {
    const tokens = ['a', 'b', 'ab', 'ba'];
    for (const excluded of [2, 3, 6]) {
      expect(merges(tokens, [], [1, 1, excluded, 1])).toEqual(['b+a']);
      expect(merges(tokens, [], [1, excluded, 1, 1])).toEqual([]);
    }
    for (const included of [1, 4, 5]) {
      expect(merges(tokens, [], [1, 1, included, 1])).toEqual(['a+b', 'b+a']);
    }
  });
});

describe('a pre-tokenizer', () => {
  /** Applies the splits in turn, as the tokenizers library does for isolated matches. */
  function piecesOf(name: string, text: string): string[] {
    return PRE_TOKENIZERS.get(name)!.splits.reduce<string[]>(
      (pieces, split) => pieces.flatMap((piece) => isolated(piece, split)),
      [text],
    );
  }

  function isolated(text: string, split: string): string[] {
    // JavaScript has no inline flags for a group.
    const contractions = split.replace(
      /\(\?i:([^)]*)\)/g,
      (_, inner: string) => `(?:${inner.replace(/[a-z]/g, (c) => `[${c}${c.toUpperCase()}]`)})`,
    );
    const pieces: string[] = [];
    let end = 0;
    for (const { 0: match, index } of text.matchAll(new RegExp(contractions, 'gu'))) {
      pieces.push(text.slice(end, index), match);
      end = index + match.length;
    }
    return [...pieces, text.slice(end)].filter((piece) => piece !== '');
  }

  const TEXT = "Hello WoRLD's 12345 +=/\n x  y\r\n\n日本。";
  it.each([
    ['default', "Hello| WoRLD|'|s| |123|45| |+=/|\n| x| | y|\r\n|\n|日本|。"],
    ['gpt-2', "Hello| WoRLD|'s| 12345| +=/|\n| x| | y|\r\n|\n|日本|。"],
    ['smollm', "Hello| WoRLD|'s| |1|2|3|4|5| +=/|\n| x| | y|\r\n|\n|日本|。"],
    ['llama-bpe', "Hello| WoRLD|'s| |123|45| +=/\n| x| | y|\r\n\n|日本|。"],
    ['dbrx', "Hello| WoRLD|'s| |123|45| +=/\n| x| | y|\r\n\n|日本|。"],
    ['qwen2', "Hello| WoRLD|'s| |1|2|3|4|5| +=/\n| x| | y|\r\n\n|日本|。"],
    ['tekken', "Hello| Wo|RLD|'s| |1|2|3|4|5| +=/\n| x| | y|\r\n\n|日本|。"],
    ['gpt-4o', "Hello| Wo|RLD's| |123|45| +=/\n| x| | y|\r\n\n|日本|。"],
    ['seed-coder', "Hello| WoRLD|'s| |1|2|3|4|5| +=/|\n| x| | y|\r\n\n|日本|。"],
    ['minicpm5', "Hello| WoRLD|'s| |123|45| +=/\n| x| | y|\r\n\n|日本|。"],
    ['deepseek-coder', "Hello| WoRLD|'|s| |1|2|3|4|5| +=|/|\n| x| | y|\r|\n|\n|日本|。"],
    ['viking', "Hello| WoRLD's| |1|2|3|4|5| +=/|\n| x| | y|\r\n\n|日本|。"],
  ])('%s splits a text', (name, expected) => {
    expect(piecesOf(name, TEXT).join('|')).toBe(expected);
  });

  it.each([
    ['default', [false, false, false]],
    ['gpt-2', [false, false, false]],
    ['llama-bpe', [true, true, false]],
    ['dbrx', [false, false, false]],
    ['olmo', [false, false, true]],
    ['gpt-4o', [false, false, false]],
    ['qwen2', [false, false, true]],
    ['megrez', [false, false, false]],
    ['tekken', [true, true, false]],
    ['seed-coder', [false, false, false]],
    ['minicpm5', [true, false, false]],
  ] as const)('%s ignores merges, adds bos, normalises: %j', (name, expected) => {
    const { ignore_merges, add_bos, nfc } = PRE_TOKENIZERS.get(name)!;
    expect([ignore_merges, add_bos, nfc]).toEqual(expected);
  });
});
