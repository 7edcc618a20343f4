import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { readFolderTokenizer } from '../../../../src/formats/folderTokenizer';
import type { GgufValue } from '../../../../src/formats/gguf/header';
import { Metadata } from '../../../../src/formats/gguf/metadata';
import { TOKEN_TYPE } from '../../../../src/formats/gguf/sentencePiece';
import { readGgufTokenizer } from '../../../../src/formats/gguf/tokenizer';
import { readSentencePiece } from '../../../../src/formats/sentencePiece/model';

const root = path.resolve(import.meta.dirname, '../../../fixtures/sentencepiece');

interface Row {
  readonly text: string;
  readonly ids: readonly number[];
}

const rowsOf = (name: string): readonly Row[] =>
  JSON.parse(readFileSync(path.join(root, name, 'expected.json'), 'utf8')) as Row[];

const filesOf = (values: Readonly<Record<string, GgufValue>>) =>
  readGgufTokenizer(
    new Metadata(
      new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value])),
      'a.gguf',
    ),
  );

const model = readSentencePiece(readFileSync(path.join(root, 't5/spiece.model')), 'spiece.model');
/** As llama.cpp's converter writes it (conversion/t5.py): it leaves out T5's sentinels. */
const T5: Readonly<Record<string, GgufValue>> = {
  model: 't5',
  pre: 'default',
  tokens: [...model.pieces.map(({ text }) => text), '[PAD0]'],
  scores: [...model.pieces.map(({ score }) => score), -10_000],
  token_type: [...model.pieces.map(({ type }) => type), TOKEN_TYPE.unused],
  add_space_prefix: model.add_dummy_prefix,
  remove_extra_whitespaces: model.remove_extra_whitespaces,
  precompiled_charsmap: [...model.charsmap],
  eos_token_id: model.ids.eos,
  unknown_token_id: model.ids.unk,
};

describe('a Unigram tokenizer in a GGUF file', () => {
  const rows = rowsOf('t5').filter(({ text }) => !text.includes('<extra_id'));

  it('has the ids of T5, with its end', () => {
    const tokenizer = createTokenizer(filesOf(T5));
    expect(rows.length).toBeGreaterThan(8);
    expect(rows.map(({ text }) => tokenizer.encode(text))).toEqual(rows.map(({ ids }) => ids));
  });

  it('may have its rules of characters as signed bytes, and none', () => {
    const signed = model.charsmap.map((x) => x);
    const tokenizer = createTokenizer(
      filesOf({ ...T5, precompiled_charsmap: [...new Int8Array(signed)] }),
    );
    expect(rows.map(({ text }) => tokenizer.encode(text))).toEqual(rows.map(({ ids }) => ids));
    const names = Object.keys(T5).filter((key) => key !== 'precompiled_charsmap');
    const without = Object.fromEntries(names.map((key) => [key, T5[key]!]));
    expect(createTokenizer(filesOf(without)).encode('the dog')).toEqual([9, 65, 1]);
  });

  it('is refused with a score that is not a number, or an unknown token that it lacks', () => {
    const scores = [...(T5['scores'] as readonly number[])];
    scores[3] = NaN;
    expect(() => filesOf({ ...T5, scores })).toThrow('The score of token 3 is NaN.');
    expect(() => filesOf({ ...T5, unknown_token_id: 999_999 })).toThrow(
      /unknown_token_id is 999999, but the file has only/,
    );
  });

  it('is refused without a score for each token', () => {
    expect(() => filesOf({ ...T5, scores: [0, 0] })).toThrow(
      `The file has 2 scores for ${model.pieces.length + 1} tokens.`,
    );
  });
});

describe("Gemma 4's tokenizer in a GGUF file", () => {
  it('has the ids of its pieces and merges', async () => {
    const { tokenizer } = await readFolderTokenizer(path.join(root, 'gemma'));
    const { vocab, merges } = tokenizer['model'] as {
      vocab: Record<string, number>;
      merges: readonly (readonly [string, string])[];
    };
    const tokens = Object.keys(vocab).sort((a, b) => vocab[a]! - vocab[b]!);
    const special = new Map(['<pad>', '<eos>', '<bos>'].map((own) => [own, TOKEN_TYPE.control]));
    const types = tokens.map((own) => special.get(own) ?? 1);
    const own = createTokenizer(
      filesOf({
        model: 'gemma4',
        tokens,
        token_type: types,
        merges: merges.map((pair) => pair.join(' ')),
        add_space_prefix: false,
        add_bos_token: true,
        bos_token_id: vocab['<bos>']!,
        unknown_token_id: vocab['<unk>']!,
      }),
    );
    const rows = rowsOf('gemma').filter(({ text }) => !text.includes('<'));
    expect(rows.length).toBeGreaterThan(8);
    expect(rows.map(({ text }) => own.encode(text))).toEqual(rows.map(({ ids }) => ids));
  });
});
