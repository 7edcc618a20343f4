import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { toQ8_0 } from '../../src/formats/gguf/quantise';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes, type TensorSpec } from '../support/ggufWriter';
import {
  fixtures,
  gap,
  inputOf,
  largest,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  visible,
  type SingleCase,
} from '../support/models';

const MXFP4 = 39;
const Q8_0 = 8;
const folder = mkdtempSync(path.join(tmpdir(), 'lora-gguf-experts-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const nameIn = (part: string, expert: number, layer: string) =>
  `model.layers.${layer}.mlp.experts.${expert}.${part === 'down' ? 'down_proj' : 'gate_up_proj'}.weight`;

/** The blocks of the experts of gpt-oss, as they are: llama.cpp's converter keeps them. */
async function inBlocks(tensors: readonly TensorSpec[]): Promise<TensorSpec[]> {
  const base = await openBase(path.join(fixtures, 'gpt_oss-mxfp4/base'));
  const all: TensorSpec[] = [];
  for (const own of tensors) {
    const [, layer = '', part = ''] =
      /^blk\.(\d)\.ffn_(gate|up|down)_exps\.weight$/.exec(own.name) ?? [];
    if (part === '') {
      all.push(own);
      continue;
    }
    const [experts = 0, rows = 0] = own.shape;
    const parts: Uint8Array[] = [];
    for (let expert = 0; expert < experts; expert++) {
      const matrix = base.weights.blocksOf!(nameIn(part, expert, layer))!;
      const words = Math.ceil(matrix.row_bytes / 4);
      const data = new Int32Array(rows * words);
      const order = Int32Array.from({ length: rows }, (_, row) =>
        part === 'down' ? row : 2 * row + (part === 'up' ? 1 : 0),
      );
      await matrix.read({ data, words, order });
      const bytes = new Uint8Array(data.buffer);
      for (let row = 0; row < rows; row++)
        parts.push(bytes.subarray(row * words * 4, row * words * 4 + matrix.row_bytes));
    }
    all.push({ ...own, stored: { type: MXFP4, bytes: new Uint8Array(Buffer.concat(parts)) } });
  }
  await base.close();
  return all;
}

describe('a GGUF file of gpt-oss', () => {
  it.each([false, true])(
    'has the logits of transformers, kept in blocks: %s',
    async (quantized) => {
      const { metadata, tensors } = await asGguf(
        path.join(fixtures, 'gpt_oss-mxfp4/base'),
        'gpt-oss',
      );
      const file = path.join(folder, 'gpt_oss.gguf');
      writeFileSync(file, ggufBytes(metadata, await inBlocks(tensors)));
      const base = await openBase(file);
      const dtypes = [...base.weights.tensors.values()].filter(({ name }) =>
        /experts\.\d+\.\w+\.weight$/.test(name),
      );
      expect(new Set(dtypes.map(({ dtype }) => dtype))).toEqual(new Set(['MXFP4']));
      await base.close();
      const { inputs } = readJson('gpt_oss-mxfp4', 'expected.json') as SingleCase;
      const want = (await readFloats('gpt_oss-mxfp4', 'expected.safetensors')).get('base.logits')!;
      const model = await loadFixture(ops, path.relative(fixtures, file), null, { quantized });
      const have = await model.logits(inputOf(inputs));
      expect(gap(have, want)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(want)));
      model.dispose();
    },
  );

  it('has the same logits with experts in Q8_0 whether they stay in blocks or not', async () => {
    const { metadata, tensors } = await asGguf(
      path.join(fixtures, 'gpt_oss-mxfp4/base'),
      'gpt-oss',
    );
    const file = path.join(folder, 'q8_0.gguf');
    const stored = tensors.map((own) =>
      own.name.endsWith('_exps.weight')
        ? { ...own, stored: { type: Q8_0, bytes: toQ8_0(own.data) } }
        : own,
    );
    writeFileSync(file, ggufBytes(metadata, stored));
    const { inputs } = readJson('gpt_oss-mxfp4', 'expected.json') as SingleCase;
    const logits: Float32Array[] = [];
    for (const quantized of [false, true]) {
      const model = await loadFixture(ops, path.relative(fixtures, file), null, { quantized });
      logits.push(await model.logits(inputOf(inputs)));
      model.dispose();
    }
    expect(gap(logits[0]!, logits[1]!)).toBeLessThanOrEqual(
      5e-5 * Math.max(1, largest(logits[0]!)),
    );
  });
});

describe('a GGUF file of', () => {
  it.each([
    ['qwen3_moe/experts', 'qwen3moe'],
    ['qwen3_5/mixed', 'qwen35'],
    ['gemma4/all-linear', 'gemma4'],
    ['gemma4-moe/experts', 'gemma4'],
    ['gpt_oss/experts', 'gpt-oss'],
  ])('%s has the logits of transformers and PEFT', async (name, arch) => {
    const [fixture = ''] = name.split('/');
    const { metadata, tensors } = await asGguf(path.join(fixtures, fixture, 'base'), arch);
    const file = path.join(folder, `${fixture}.gguf`);
    writeFileSync(file, ggufBytes(metadata, tensors));
    const { inputs } = readJson(name, 'expected.json') as SingleCase;
    const want = (await readFloats(name, 'expected.safetensors')).get('adapter.logits')!;
    const model = await loadFixture(ops, path.relative(fixtures, file), `${name}/adapter`);
    const input = inputOf(inputs);
    const have = await model.logits(input);
    expect(gap(visible(have, input), visible(want, input))).toBeLessThanOrEqual(
      5e-5 * Math.max(1, largest(want)),
    );
    model.dispose();
  });
});
