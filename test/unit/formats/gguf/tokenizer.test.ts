import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import type { GgufValue } from '../../../../src/formats/gguf/header';
import { Metadata } from '../../../../src/formats/gguf/metadata';
import { PRE_TOKENIZERS } from '../../../../src/formats/gguf/preTokenizers';
import { readGgufTokenizer } from '../../../../src/formats/gguf/tokenizer';
import type { TokenizerFiles } from '../../../../src/formats/baseModel';

const fixtures = path.resolve(import.meta.dirname, '../../../fixtures');
const json = (name: string): unknown => JSON.parse(readFileSync(path.join(fixtures, name), 'utf8'));
const filesOf = (values: Readonly<Record<string, GgufValue>>) =>
  readGgufTokenizer(
    new Metadata(
      new Map(Object.entries(values).map(([key, value]) => [`tokenizer.${key}`, value])),
      'model.gguf',
    ),
  );
const load = ({ tokenizer, config }: TokenizerFiles) => new Tokenizer(tokenizer, config);

interface ByteLevel {
  readonly added_tokens: readonly { readonly id: number; readonly special: boolean }[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (readonly [string, string])[];
  };
}
interface Piece {
  readonly tokens: string[];
  readonly scores: number[];
  readonly types: number[];
  readonly texts: readonly {
    readonly text: string;
    readonly ids: number[];
    readonly decoded: string;
  }[];
}

/** The 256 byte tokens, and the merges that produce these words. */
function bytesWith(...words: string[]): Record<string, GgufValue> {
  const { model } = json('tokenizer/tokenizer.json') as ByteLevel;
  const tokens = Object.entries(model.vocab)
    .sort((a, b) => a[1] - b[1])
    .map(([token]) => token)
    .filter((token) => Array.from(token).length === 1);
  const merges: string[] = [];
  for (const word of words)
    for (let n = 2; n <= word.length; n++)
      if (!tokens.includes(word.slice(0, n))) {
        tokens.push(word.slice(0, n));
        merges.push(`${word.slice(0, n - 1)} ${word[n - 1]!}`);
      }
  return { 'ggml.model': 'gpt2', 'ggml.tokens': tokens, 'ggml.merges': merges };
}

function pieces(pre: string, text: string): string[] {
  const values = bytesWith('123456', 'abA', "'S", '!!', 'AB', '))');
  const tokens = values['ggml.tokens'] as string[];
  return load(filesOf({ ...values, 'ggml.pre': pre }))
    .encode(text)
    .ids.map((id) => tokens[id]!);
}

describe('a byte-level BPE tokenizer in a GGUF file', () => {
  it('encodes like the reference', () => {
    const { model, added_tokens } = json('tokenizer/tokenizer.json') as ByteLevel;
    const { samples } = json('tokenizer/expected.json') as {
      samples: { text: string; ids: number[] }[];
    };
    const tokens = Object.entries(model.vocab)
      .sort((a, b) => a[1] - b[1])
      .map(([token]) => token);
    const special = new Set(added_tokens.filter((t) => t.special).map((t) => t.id));
    const tokenizer = load(
      filesOf({
        'ggml.model': 'gpt2',
        'ggml.pre': 'gpt-2',
        'ggml.tokens': tokens,
        'ggml.token_type': tokens.map((_, id) => (special.has(id) ? 3 : 1)),
        'ggml.merges': model.merges.map((m) => m.join(' ')),
      }),
    );
    expect(samples.length).toBeGreaterThan(5);
    for (const { text, ids } of samples) expect(tokenizer.encode(text).ids).toEqual(ids);
  });

  it.each([
    ['gpt-2', '123456', ['123456']],
    ['smollm', '123456', ['1', '2', '3', '4', '5', '6']],
    ['llama-bpe', '123456', ['123', '4', '5', '6']],
    ['qwen2', '123456', ['1', '2', '3', '4', '5', '6']],
    ['default', '123456', ['123', '4', '5', '6']],
    ['tekken', '123456', ['1', '2', '3', '4', '5', '6']],
    ['gpt-2', "ab'S", ['ab', "'", 'S']],
    ['llama-bpe', "ab'S!", ['ab', "'S", '!']],
    ['tekken', 'abAB', ['ab', 'AB']],
    ['llama-bpe', 'abAB', ['abA', 'B']],
    ['gpt-4o', 'abAB', ['ab', 'AB']],
    ['dbrx', '12345', ['123', '4', '5']],
    ['default', '))!!', ['))', '!!']],
  ] as const)('of the kind %s cuts %s into %j', (pre, text, expected) =>
    expect(pieces(pre, text)).toEqual(expected),
  );

  it.each([...PRE_TOKENIZERS.keys()])('decodes what it encoded, for pre-tokenizer %s', (pre) => {
    const text = "It'S 12345 ab\r\n\n  AB\t-- déjà vu, 日本語 🙂 {x}_y\u0301 \u00a0!!";
    const { ids } = load(filesOf({ ...bytesWith('ab'), 'ggml.pre': pre })).encode(text);
    expect(load(filesOf({ ...bytesWith('ab'), 'ggml.pre': pre })).decode(ids)).toBe(
      PRE_TOKENIZERS.get(pre)!.nfc ? text.normalize('NFC') : text,
    );
  });

  it('rejects an unknown or missing pre-tokenizer', () => {
    expect(() => pieces('esperanto', 'x')).toThrow(/"esperanto".*smollm/);
    expect(() => filesOf(bytesWith())).toThrow(/tokenizer.ggml.pre is missing/);
    expect(() => filesOf({ ...bytesWith(), 'ggml.model': 'rwkv' })).toThrow(/"rwkv"/);
  });

  it("adds bos and eos as set in the file, or by llama.cpp's defaults", () => {
    const ids = (more: Record<string, GgufValue>) =>
      load(
        filesOf({ ...bytesWith('ab'), 'ggml.bos_token_id': 7, 'ggml.eos_token_id': 8, ...more }),
      ).encode('ab').ids;
    const ab = ids({ 'ggml.pre': 'gpt-2' });
    expect(ab).toHaveLength(1);
    expect(
      ids({ 'ggml.pre': 'gpt-2', 'ggml.add_bos_token': true, 'ggml.add_eos_token': true }),
    ).toEqual([7, ...ab, 8]);
    expect(ids({ 'ggml.pre': 'llama-bpe' })).toEqual([7, ...ab]);
    expect(ids({ 'ggml.pre': 'llama-bpe', 'ggml.add_bos_token': false })).toEqual(ab);
  });

  it('rejects invalid token ids and merges, naming the key', () => {
    expect(() =>
      filesOf({ ...bytesWith(), 'ggml.pre': 'gpt-2', 'ggml.eos_token_id': 99_999 }),
    ).toThrow(/eos_token_id is 99999/);
    expect(() => filesOf({ ...bytesWith(), 'ggml.pre': 'gpt-2', 'ggml.merges': ['ab'] })).toThrow(
      /"ab" is not a merge/,
    );
    expect(() => filesOf({ ...bytesWith(), 'ggml.pre': 'gpt-2', 'ggml.tokens': 'x' })).toThrow(
      /tokens is not a list/,
    );
  });

  it('has the chat template and the special token names', () => {
    const { chat_template, config, source } = filesOf({
      ...bytesWith(),
      'ggml.pre': 'gpt-2',
      chat_template: '{{ x }}',
      'ggml.eos_token_id': 0,
      'ggml.padding_token_id': 4_294_967_295,
    });
    expect({ chat_template, source, eos: config['eos_token'], pad: config['pad_token'] }).toEqual({
      chat_template: '{{ x }}',
      source: 'model.gguf',
      eos: '!',
      pad: undefined,
    });
  });
});

describe('a SentencePiece tokenizer in a GGUF file', () => {
  const { tokens, scores, types, texts } = json('sentencepiece.json') as Piece;
  const values = {
    'ggml.model': 'llama',
    'ggml.tokens': tokens,
    'ggml.scores': scores,
    'ggml.token_type': types,
    'ggml.bos_token_id': 1,
    'ggml.eos_token_id': 2,
    'ggml.unknown_token_id': 0,
  };

  it.each(texts)('matches SentencePiece for $text', ({ text, ids, decoded }) => {
    const tokenizer = load(filesOf({ ...values, 'ggml.add_bos_token': false }));
    expect(tokenizer.encode(text).ids).toEqual(ids);
    if (ids.length > 0) expect(tokenizer.decode(ids)).toBe(decoded);
  });

  it('adds bos, matches special tokens, and supports no leading space', () => {
    const ids = (text: string, more = {}) => load(filesOf({ ...values, ...more })).encode(text).ids;
    const [the] = ids('the', { 'ggml.add_bos_token': false });
    expect(ids('the</s>the')).toEqual([1, the, 2, the]);
    expect(ids('<|user|>', { 'ggml.add_bos_token': false })).toEqual([3]);
    expect(
      ids('the', { 'ggml.add_bos_token': false, 'ggml.add_space_prefix': false })
        .map((id) => tokens[id])
        .join(''),
    ).toBe('the');
  });
});
