import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { readFolderTokenizer } from '../../../../src/formats/folderTokenizer';
import { readSentencePiece } from '../../../../src/formats/sentencePiece/model';
import {
  bytesField,
  floatField,
  integerField,
  messageField,
} from '../../../../src/formats/tensorboard/protobuf';

const fixtures = path.resolve(import.meta.dirname, '../../../fixtures/sentencepiece');
const copyOf = (name: string): string => {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-pieces-'));
  cpSync(path.join(fixtures, name), folder, { recursive: true });
  return folder;
};
const write = (folder: string, name: string, value: unknown) =>
  writeFileSync(path.join(folder, name), JSON.stringify(value));

const piece = (text: string | Buffer, score: number, type: number) =>
  messageField(1, bytesField(1, text), floatField(2, score), integerField(3, type));
const unk = piece('<unk>', 0, 2);
const trainer = (...fields: Buffer[]) => messageField(2, ...fields);

describe('a SentencePiece file', () => {
  it('has pieces and settings', () => {
    const file = path.join(fixtures, 't5/spiece.model');
    const model = readSentencePiece(readFileSync(file), file);
    expect(model).toMatchObject({
      kind: 'unigram',
      byte_fallback: false,
      add_dummy_prefix: true,
      remove_extra_whitespaces: true,
      escape_whitespaces: true,
      ids: { pad: 0, eos: 1, unk: 2, bos: -1 },
    });
    expect(model.pieces.slice(0, 5).map(({ text, type }) => [text, type])).toEqual([
      ['<pad>', 3],
      ['</s>', 3],
      ['<unk>', 2],
      ['<ctl>', 3],
      ['<|user|>', 4],
    ]);
  });

  it.each<[string, Buffer[]]>([
    ['it is damaged, or another kind of file', [Buffer.from('<!doctype html><html></html>')]],
    ['it has no pieces', [trainer()]],
    ['it has no piece for unknown text', [piece('a', 0, 1)]],
    ['its piece 1 has no text', [unk, messageField(1, floatField(2, 1))]],
    ['its piece 1 is not UTF-8', [unk, piece(Buffer.from([0xff]), 0, 1)]],
    ['its piece 1 has 300 bytes', [unk, piece('a'.repeat(300), 0, 1)]],
    ['the score of its piece 1 is not a number', [unk, piece('a', NaN, 1)]],
    ['its piece 1 has the unknown type 7', [unk, piece('a', 0, 7)]],
    ['its piece 1 is damaged', [unk, bytesField(1, Buffer.from([0xff]))]],
    ['its trainer settings are damaged', [unk, bytesField(2, Buffer.from([0xff]))]],
    ['it has its trainer settings many times', [unk, trainer(), trainer(), trainer()]],
    ['it has rules for decoding', [unk, messageField(5, bytesField(2, 'x'))]],
    ['of the kind word, and only unigram and bpe are read', [unk, trainer(integerField(3, 3))]],
    ['one with the space at the end of words', [unk, trainer(integerField(24, 1))]],
  ])('is refused with its name when %s', (what, fields) => {
    const read = () => readSentencePiece(Buffer.concat(fields), 'spiece.model');
    expect(read).toThrow(what);
    expect(read).toThrow(expect.objectContaining({ place: { file: 'spiece.model' } }));
  });

  it('with too many pieces is refused while it is read', () => {
    const many = Buffer.concat([unk, ...Array<Buffer>(1 << 20).fill(piece('a', 0, 1))]);
    expect(() => readSentencePiece(many, 'f')).toThrow('it has more than 1048576 pieces');
  });
});

describe('a folder with a SentencePiece file', () => {
  it('has the tokens that its config names, in the places of the published files', async () => {
    const folder = copyOf('deberta-v2');
    const { special_tokens, pad_token_id } = createTokenizer(await readFolderTokenizer(folder));
    // [MASK] is in no piece: it comes last, as token 128000 of DeBERTa v3
    expect(special_tokens.get('[MASK]')).toBe(130);
    expect(pad_token_id).toBe(0);
    rmSync(folder, { recursive: true });
  });

  it('has the tokens of added_tokens.json and of the lists of its config', async () => {
    const folder = copyOf('llama');
    write(folder, 'added_tokens.json', { '<|im_start|>': 420, '<|im_end|>': 421 });
    write(folder, 'special_tokens_map.json', { additional_special_tokens: ['<|im_end|>', '<x>'] });
    write(folder, 'tokenizer_config.json', {
      tokenizer_class: 'LlamaTokenizerFast',
      added_tokens_decoder: { 423: { content: '<decoded>', special: false } },
    });
    const tokenizer = createTokenizer(await readFolderTokenizer(folder));
    expect(tokenizer.encode('<|im_start|><|im_end|><x><decoded>', false)).toEqual([
      420, 421, 422, 423,
    ]);
    expect([...tokenizer.special_tokens.keys()]).toEqual(expect.arrayContaining(['<|im_end|>']));
    expect(tokenizer.special_tokens.has('<|im_start|>')).toBe(false);
    write(folder, 'added_tokens.json', { x: 'y' });
    await expect(readFolderTokenizer(folder)).rejects.toThrow(
      'The id of the token "x" in added_tokens.json is not a whole number.',
    );
    rmSync(folder, { recursive: true });
  });

  it('has the sentinels of T5 in falling order, 100 unless the config says otherwise', async () => {
    const folder = copyOf('t5');
    write(folder, 'tokenizer_config.json', {
      additional_special_tokens: Array.from({ length: 100 }, (_, i) => `<extra_id_${i}>`),
    });
    const tokenizer = createTokenizer(await readFolderTokenizer(folder));
    expect(tokenizer.vocab_size).toBe(230);
    expect(tokenizer.encode('<extra_id_0> <extra_id_99>')).toEqual([229, 130, 1]);
    rmSync(folder, { recursive: true });
  });

  it('of a class that is not known is refused by its name', async () => {
    const folder = copyOf('t5');
    for (const [config, message] of [
      [{ tokenizer_class: 'PegasusTokenizer' }, /class "PegasusTokenizer" is not read from/],
      [{ tokenizer_class: 'LlamaTokenizer', split_by_punct: true }, /split_by_punct/],
    ] as const) {
      write(folder, 'tokenizer_config.json', config);
      const read = readFolderTokenizer(folder);
      await expect(read).rejects.toThrow(message);
      await expect(read).rejects.toMatchObject({
        place: { file: path.join(folder, 'spiece.model') },
      });
    }
    rmSync(folder, { recursive: true });
  });

  it('gives way to a tokenizer.json', async () => {
    const folder = copyOf('t5');
    write(folder, 'tokenizer.json', { model: { type: 'BPE', vocab: { a: 0 }, merges: [] } });
    const { source } = await readFolderTokenizer(folder);
    expect(source).toBe(path.join(folder, 'tokenizer.json'));
    rmSync(folder, { recursive: true });
  });

  it('with neither is refused', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'lora-pieces-'));
    await expect(readFolderTokenizer(folder)).rejects.toMatchObject({
      message: 'The model has no tokenizer.json.',
      place: { file: folder },
    });
    rmSync(folder, { recursive: true });
  });
});
