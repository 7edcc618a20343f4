import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import type { GgufValue } from '../../../../src/formats/gguf/header';
import { Metadata } from '../../../../src/formats/gguf/metadata';
import { readGgufTokenizer } from '../../../../src/formats/gguf/tokenizer';
import { readSentencePiece } from '../../../../src/formats/sentencePiece/model';

const folder = path.resolve(import.meta.dirname, '../../../fixtures/sentencepiece/xlm-roberta');

type Values = Readonly<Record<string, GgufValue>>;

const filesOf = (arch: string, values: Values) =>
  readGgufTokenizer(
    new Metadata(
      new Map<string, GgufValue>([
        ['general.architecture', arch],
        ...Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const),
      ]),
      'a.gguf',
    ),
  );

/** As llama.cpp's converter writes sentencepiece.bpe.model, with the ids of fairseq. */
function xlmRoberta(): Values {
  const file = path.join(folder, 'sentencepiece.bpe.model');
  const { pieces, charsmap } = readSentencePiece(readFileSync(file), file);
  const rest = pieces.slice(3);
  return {
    model: 't5',
    pre: 'default',
    tokens: ['<s>', '<pad>', '</s>', '<unk>', ...rest.map(({ text }) => text), '<mask>'],
    scores: [0, 0, 0, 0, ...rest.map(({ score }) => score), 0],
    token_type: [3, 3, 3, 2, ...rest.map(() => 1), 3],
    precompiled_charsmap: [...charsmap],
    bos_token_id: 0,
    eos_token_id: 2,
    unknown_token_id: 3,
    seperator_token_id: 2,
    padding_token_id: 1,
    cls_token_id: 0,
    mask_token_id: rest.length + 4,
    add_bos_token: true,
    add_eos_token: true,
  };
}

/** Words of letters, as byte-level BPE has them. */
const BPE: Values = {
  model: 'gpt2',
  tokens: ['<s>', '<pad>', '</s>', '<unk>', '<mask>', 'a', 'b', 'Ġ', 'ab', 'Ġab', 'Ã', '©'],
  merges: ['a b', 'Ġ ab'],
  token_type: [3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1],
  bos_token_id: 0,
  eos_token_id: 2,
  unknown_token_id: 3,
  padding_token_id: 1,
  mask_token_id: 4,
};

describe('the tokenizer of an encoder in a GGUF file', () => {
  it('has the ids of transformers for XLM-RoBERTa', () => {
    const tokenizer = createTokenizer(filesOf('bert', xlmRoberta()));
    const rows = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as {
      readonly text: string;
      readonly ids: readonly number[];
    }[];
    for (const { text, ids } of rows) expect(tokenizer.encode(text), text).toEqual(ids);
    expect(tokenizer.frame).toEqual({ before: [0], between: [2, 2], after: [2] });
  });

  it('has <s> and </s> around texts for RoBERTa, and two between them', () => {
    const files = filesOf('bert', { ...BPE, pre: 'roberta-bpe' });
    const tokenizer = createTokenizer(files);
    expect(tokenizer.encode('ab ab <mask>b')).toEqual([0, 8, 9, 4, 6, 2]);
    expect(tokenizer.frame).toEqual({ before: [0], between: [2, 2], after: [2] });
    expect(files.config).toMatchObject({
      cls_token: '<s>',
      sep_token: '</s>',
      pad_token: '<pad>',
      unk_token: '<unk>',
      mask_token: '<mask>',
    });
  });

  it('has one separator between texts, and composed characters, for ModernBERT', () => {
    const tokenizer = createTokenizer(filesOf('modern-bert', { ...BPE, pre: 'modern-bert' }));
    expect(tokenizer.frame).toEqual({ before: [0], between: [2], after: [2] });
    expect(tokenizer.encode('e\u0301')).toEqual([0, 10, 11, 2]);
  });

  it('adds nothing where the file says so, and needs names for what it adds', () => {
    const none = { ...BPE, pre: 'roberta-bpe', add_bos_token: false, add_eos_token: false };
    expect(createTokenizer(filesOf('bert', none)).encode('ab')).toEqual([8]);
    const unnamed = Object.fromEntries(
      Object.entries({ ...BPE, pre: 'roberta-bpe' }).filter(([key]) => key !== 'eos_token_id'),
    );
    expect(() => filesOf('bert', unnamed)).toThrow(/does not say which tokens begin and end/);
  });
});
