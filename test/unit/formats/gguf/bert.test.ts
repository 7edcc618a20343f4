import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { openBase } from '../../../../src/formats/openBase';
import { readGgufTokenizer } from '../../../../src/formats/gguf/tokenizer';
import type { GgufValue } from '../../../../src/formats/gguf/header';
import { Metadata } from '../../../../src/formats/gguf/metadata';
import { TOKEN_TYPE } from '../../../../src/formats/gguf/sentencePiece';
import type { ReadSpecOptions } from '../../../../src/formats/architecture/readSpec';
import { LoraError } from '../../../../src/shared/errors';
import { asGguf, type GgufParts } from '../../../support/ggufFixture';
import { ggufBytes, type Value } from '../../../support/ggufWriter';

const source = path.resolve(import.meta.dirname, '../../../fixtures/bert/base');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-gguf-bert-'));
const file = path.join(folder, 'bert.gguf');
let good: GgufParts;
beforeAll(async () => {
  good = await asGguf(source, 'bert');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const write = ({ metadata, tensors }: GgufParts): string => {
  writeFileSync(file, ggufBytes(metadata, tensors));
  return file;
};

const withValue = (key: string, value: Value): GgufParts => ({
  ...good,
  metadata: [...good.metadata.filter(([name]) => name !== key), [key, value]],
});

async function refusal(parts: GgufParts, options: ReadSpecOptions = {}): Promise<LoraError> {
  const error: unknown = await openBase(write(parts), options).then(
    (base) => base.close(),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(LoraError);
  expect((error as LoraError).place?.file).toBe(file);
  return error as LoraError;
}

describe('a GGUF file of BERT', () => {
  it('is the encoder of the Hugging Face folder', async () => {
    const [gguf, original] = [
      await openBase(write(good)),
      await openBase(source, { task: 'embedding' }),
    ];
    expect(gguf.spec).toEqual(original.spec);
    expect(gguf.missing).toEqual([]);
    const names = [...original.weights.tensors.keys()].filter(
      (name) => !/^(?:bert\.)?(?:pooler|classifier)\./.test(name),
    );
    expect([...gguf.weights.tensors.keys()].sort()).toEqual(names.sort());
    for (const name of names)
      expect(await gguf.weights.readF32(name), name).toEqual(await original.weights.readF32(name));
    await Promise.all([gguf.close(), original.close()]);
  });

  it.each([
    ['blk.1.attn_k.bias', 'encoder.layer.1.attention.self.key.bias'],
    ['position_embd.weight', 'embeddings.position_embeddings.weight'],
    ['token_types.weight', 'embeddings.token_type_embeddings.weight'],
  ])('is refused without %s', async (left, name) => {
    const tensors = good.tensors.filter((own) => own.name !== left);
    const { problems } = await refusal({ ...good, tensors });
    expect(problems.map(({ message, place }) => [message, place?.tensor])).toEqual([
      ['It is missing.', name],
    ]);
  });

  it.each<[string, Value, string]>([
    ['bert.context_length', { u32: 33 }, 'embeddings.position_embeddings.weight'],
    ['tokenizer.ggml.token_type_count', { u32: 3 }, 'embeddings.token_type_embeddings.weight'],
  ])('is refused where %s is not that of the tensor', async (key, value, name) => {
    const { problems } = await refusal(withValue(key, value));
    expect(problems.map(({ place }) => place?.tensor)).toEqual([name]);
    expect(problems[0]!.message).toMatch(/the config asks for \[3/);
  });

  it('is refused with tensors that BERT does not have, named', async () => {
    const shape = [144, 48];
    for (const name of ['blk.0.attn_qkv.weight', 'rope.weight', 'blk.0.attn_q_norm.weight']) {
      const tensors = [...good.tensors, { name, shape, data: new Float32Array(144 * 48) }];
      const { message, place } = await refusal({ ...good, tensors });
      expect(message).toMatch(/a tensor that its architecture does not have/);
      expect(place?.tensor).toBe(name);
    }
  });

  it.each<[string, Value, RegExp]>([
    ['bert.attention.causal', { bool: true }, /causal attention/],
    ['bert.pooling_type', { u32: 2 }, /not the mean of all tokens/],
  ])('is refused with %s %j', async (key, value, reason) => {
    const { message, place } = await refusal(withValue(key, value));
    expect(message).toMatch(reason);
    expect(place?.key).toBe(key);
  });

  it('is refused for a task whose layers it lacks', async () => {
    const { message } = await refusal(good, { task: 'seq_cls' });
    expect(message).toMatch(/has no layers for the task "seq_cls", only for: embedding/);
  });
});

/** As llama.cpp's converter writes a vocabulary (conversion/bert.py). */
const VOCAB: Readonly<Record<string, GgufValue>> = {
  model: 'bert',
  tokens: [
    '[PAD]',
    '[UNK]',
    '[CLS]',
    '[SEP]',
    '[MASK]',
    '▁mill',
    's',
    '▁un',
    '▁,',
    'e',
    '▁e',
    '▁▁',
  ],
  token_type: [3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1].map((type) =>
    type === 3 ? TOKEN_TYPE.control : 1,
  ),
  unknown_token_id: 1,
  cls_token_id: 2,
  seperator_token_id: 3,
  padding_token_id: 0,
  mask_token_id: 4,
};

const filesOf = (values: Readonly<Record<string, GgufValue>>) =>
  readGgufTokenizer(
    new Metadata(
      new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value])),
      'a.gguf',
    ),
  );

describe('a WordPiece tokenizer in a GGUF file', () => {
  it('has words and what continues them, in lowercase and without accents', () => {
    const tokenizer = createTokenizer(filesOf(VOCAB));
    expect(tokenizer.encode('Mills, une É x [MASK]')).toEqual([2, 5, 6, 8, 7, 9, 10, 1, 4, 3]);
  });

  it('keeps capital letters where its vocabulary has some, or the file says so', () => {
    const cased = [...(VOCAB['tokens'] as readonly string[]), '▁Mill'];
    const types = [...(VOCAB['token_type'] as readonly number[]), 1];
    const files = filesOf({ ...VOCAB, tokens: cased, token_type: types });
    expect(createTokenizer(files).encode('Mill mill É')).toEqual([2, 12, 5, 1, 3]);
    const told = filesOf({ ...VOCAB, 'normalizer.lowercase': false });
    expect(createTokenizer(told).encode('Mill mill')).toEqual([2, 1, 5, 3]);
  });

  it('has names for its tokens', () => {
    expect(filesOf(VOCAB).config).toMatchObject({
      cls_token: '[CLS]',
      sep_token: '[SEP]',
      pad_token: '[PAD]',
      unk_token: '[UNK]',
      mask_token: '[MASK]',
    });
  });

  it('is refused with a token that is there twice, or a separator that it lacks', () => {
    const tokens = (VOCAB['tokens'] as readonly string[]).with(10, 'e');
    expect(() => filesOf({ ...VOCAB, tokens })).toThrow('Token 10, "##e", is there twice.');
    const rest = Object.fromEntries(
      Object.entries(VOCAB).filter(([key]) => key !== 'seperator_token_id'),
    );
    expect(() => filesOf(rest)).toThrow(/seperator_token_id is 102, but the file has only 12/);
  });
});
