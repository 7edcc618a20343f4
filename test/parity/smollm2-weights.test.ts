import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { SafetensorsFile } from '../../src/formats/safetensors/read';
import type { BaseModel } from '../../src/formats/baseModel';
import { GgufFile } from '../../src/formats/gguf/read';
import { smollm2Path } from '../support/realModels';

const folder = path.resolve(import.meta.dirname, '../fixtures/real/smollm2');
const { dequantised, texts, chats } = JSON.parse(
  readFileSync(path.join(folder, 'expected.json'), 'utf8'),
) as {
  dequantised: {
    gguf: string;
    name: string;
    shape: number[];
    sum: number;
    sum_of_squares: number;
  }[];
  texts: { text: string; ids: number[] }[];
  chats: { text: string; ids: number[] }[];
};

describe('SmolLM2-135M from GGUF', () => {
  let base: BaseModel;
  let gguf: GgufFile;
  let expected: SafetensorsFile;
  beforeAll(async () => {
    const file = await smollm2Path();
    [base, gguf, expected] = [
      await openBase(file),
      await GgufFile.open(file),
      await SafetensorsFile.open(path.join(folder, 'expected.safetensors')),
    ];
  });
  afterAll(async () => {
    await Promise.all([base.close(), gguf.close(), expected.close()]);
  });

  /** First 64 values of rows 0 and 1, or of a vector. */
  const corner = (values: Float32Array, shape: readonly number[]) =>
    shape.length === 1
      ? [...values.subarray(0, 64)]
      : [...values.subarray(0, 64), ...values.subarray(shape[1], shape[1]! + 64)];

  it.each(dequantised)(
    '$gguf equals the reference exactly, in file order and in model order',
    async ({ gguf: stored, name, shape, sum, sum_of_squares }) => {
      const inFile = await gguf.readF32(gguf.header.tensors.get(stored)!);
      const inModel = await base.weights.readF32(name);
      expect(base.weights.tensors.get(name)!.shape).toEqual(shape);
      let compared = 0;
      for (const [key, values] of [
        [stored, inFile],
        [name, inModel],
      ] as const) {
        if (!expected.tensors.has(`dequantised.${key}`)) continue;
        expect(corner(values, shape)).toEqual([...(await expected.readF32(`dequantised.${key}`))]);
        compared++;
      }
      expect(compared).toBeGreaterThan(0);
      // 28 million f64 additions in a different order than NumPy's
      const near = (have: number, want: number) => Math.abs(have - want) <= 1e-9 * sum_of_squares;
      expect(
        near(
          inModel.reduce((a, b) => a + b, 0),
          sum,
        ),
      ).toBe(true);
      expect(
        near(
          inModel.reduce((a, b) => a + b * b, 0),
          sum_of_squares,
        ),
      ).toBe(true);
    },
  );

  it('encodes every text and chat like the reference', async () => {
    const { tokenizer, config, chat_template } = await base.readTokenizer();
    const encoder = new Tokenizer(tokenizer, config);
    const all = [...texts, ...chats];
    expect(all.length).toBeGreaterThan(10);
    for (const { text, ids } of all) expect(encoder.encode(text).ids).toEqual(ids);
    expect(config).toMatchObject({
      bos_token: '<|im_start|>',
      eos_token: '<|im_end|>',
      pad_token: '<|im_end|>',
      add_bos_token: false,
    });
    expect(chat_template).toContain('You are a helpful AI assistant named SmolLM');
  });

  it('has the original config', () => {
    expect(base.config).toMatchObject({
      model_type: 'llama',
      hidden_size: 576,
      num_hidden_layers: 30,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
      rope_parameters: { rope_theta: 100000 },
    });
    expect(base.parameters).toBe(134_515_008);
  });
});
