import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { GGUF_TYPES } from '../../src/formats/gguf/header';
import { loadModel, type LoadOptions } from '../../src/models/loadModel';
import type { Model } from '../../src/models/model';
import type { FusedOps } from '../../src/models/ops/fusedOps';
import type { Tensor } from '../../src/models/ops/ops';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { createRandom } from '../../src/shared/random';
import { NO_LABEL } from '../../src/shared/task';
import { fixtures, inputOf, tensorFlowOps, withBase } from '../support/models';
import { smollm2Path } from '../support/realModels';

let ops: TensorFlowOps;
let fused: FusedOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
  fused = ops.fused!;
});

const folder = path.join(fixtures, 'gguf-blocks');
const types = readdirSync(folder).flatMap((name) => /^(\w+)\.blocks$/.exec(name)?.[1] ?? []);
const read = (name: string) => Uint8Array.from(readFileSync(path.join(folder, name)));

/** Rows of a matrix: a whole number of fours, in which the kernels multiply them, and a rest. */
const MANY = 6;

/** The same for rounded rows, which are multiplied by four to sixteen rows at a time. */
const MANY_ROUNDED = 37;

/** The blocks of a type as two rows, filled up to whole words, and the numbers that they hold. */
function stored(type: string) {
  const bytes = read(`${type}.blocks`);
  const values = new Float32Array(read(`${type}.f32`).buffer);
  const [length, words] = [bytes.length / 2, Math.ceil(bytes.length / 8) + 1];
  const padded = new Uint8Array(2 * 4 * words);
  for (const row of [0, 1])
    padded.set(bytes.subarray(row * length, (row + 1) * length), row * 4 * words);
  const blocks = ops.upload(new Int32Array(padded.buffer), [2, words]);
  return { blocks, values, form: { type: GGUF_TYPES.get(type)!.type, width: values.length / 2 } };
}

async function numbersOf(x: Tensor): Promise<Float32Array> {
  const numbers = Float32Array.from(await ops.download(x));
  ops.free(x);
  return numbers;
}

describe.each(types)('the kernels for %s', (type) => {
  it('have the numbers of the gguf package bit for bit', async () => {
    const { blocks, values, form } = stored(type);
    const numbers = await numbersOf(fused.dequantize([blocks], form, 'f32'));
    ops.free(blocks);
    expect([...new Uint32Array(numbers.buffer)]).toEqual([...new Uint32Array(values.buffer)]);
  });

  it('have the numbers of several parts below each other', async () => {
    const { blocks, values, form } = stored(type);
    const first = ops.slice(blocks, [0, 0], [1, blocks.shape[1]!]);
    const both = fused.dequantize([blocks, first], form, 'f32');
    expect(both.shape).toEqual([3, form.width]);
    const numbers = await numbersOf(both);
    ops.free(blocks, first);
    const expected = [...values, ...values.subarray(0, form.width)];
    expect([...numbers].every((x, i) => Object.is(x, expected[i]))).toBe(true);
  });

  it('round them to bf16 as a conversion does', async () => {
    const { blocks, values, form } = stored(type);
    const numbers = await numbersOf(fused.dequantize([blocks], form, 'bf16'));
    const wide = ops.upload(values, [2, form.width]);
    const expected = await numbersOf(fused.convert(wide, 'bf16'));
    ops.free(blocks, wide);
    expect(numbers).toEqual(expected);
  });

  it.each([1, 2, 3, 5, 7, 8])('multiply %i rows as the numbers in f32 do', async (count) => {
    const { blocks: pair, form } = stored(type);
    const indices = ops.upload(
      Int32Array.from({ length: MANY }, (_, i) => i % 2),
      [MANY],
    );
    const blocks = ops.gather(pair, indices);
    const random = createRandom(1, type);
    const x = Float32Array.from({ length: count * form.width }, () => random() - 0.5);
    const rows = ops.upload(x, [count, form.width]);
    const weight = fused.dequantize([blocks], form, 'f32');
    const have = await numbersOf(fused.fewRowsOfBlocks(rows, blocks, form));
    const want = await numbersOf(fused.fewRows(rows, weight));
    ops.free(rows, weight, blocks, pair, indices);
    expect(have).toEqual(want);
  });
});

/** The nearest whole number, of two the even one. */
const nearest = (x: number): number => x + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;

/** Rows rounded to whole numbers of at most 127 for each 32, as the kernels round them: in f32. */
function roundedRows(x: Float32Array): Float64Array {
  const rounded = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += 32) {
    const unit = x.subarray(start, start + 32);
    const most = unit.reduce((best, z) => Math.max(best, Math.abs(z)), 0);
    const inverse = Math.fround(127 / most);
    unit.forEach((z, i) => (rounded[start + i] = (nearest(z * inverse) * most) / 127));
  }
  return rounded;
}

describe.each(types)('products of rounded rows with %s', (type) => {
  const count = 18;

  it('are the exact products of the rounded rows, for each row as alone', async () => {
    const { blocks: pair, values, form } = stored(type);
    const random = createRandom(2, type);
    const x = Float32Array.from({ length: count * form.width }, () => random() - 0.5);
    const indices = ops.upload(
      Int32Array.from({ length: MANY_ROUNDED }, (_, i) => i % 2),
      [MANY_ROUNDED],
    );
    const blocks = ops.gather(pair, indices);
    const product = async (row: number, rows: number) => {
      const own = x.slice(row * form.width, (row + rows) * form.width);
      const input = ops.upload(own, [rows, form.width]);
      const y = await numbersOf(fused.fewRowsOfBlocks(input, blocks, form, 'rounded'));
      ops.free(input);
      return y;
    };
    const have = await product(0, count);
    const isExact = type === 'Q2_K' || type === 'Q3_K';
    const read = isExact ? Float64Array.from(x) : roundedRows(x);
    have.forEach((y, at) => {
      const [row, o] = [Math.floor(at / MANY_ROUNDED), (at % MANY_ROUNDED) % 2];
      let [sum, size] = [0, 0];
      for (let i = 0; i < form.width; i++) {
        const term = read[row * form.width + i]! * values[o * form.width + i]!;
        sum += term;
        size += Math.abs(term);
      }
      expect(Math.abs(y - sum), `row ${row}, output ${o}`).toBeLessThan(1e-6 * size + 1e-30);
    });
    for (const row of [0, count - 1])
      expect(have.slice(row * MANY_ROUNDED, (row + 1) * MANY_ROUNDED)).toEqual(
        await product(row, 1),
      );
    for (const rows of [2, 3, 4, 5, 7, 8, 9, 12, 13, 17])
      expect(await product(0, rows), `${rows} rows`).toEqual(have.slice(0, rows * MANY_ROUNDED));
    ops.free(blocks, pair, indices);
  });
});

const LEVEL = 'LORA_KERNELS_LEVEL';
describe.skipIf(process.env[LEVEL] !== undefined)('on a processor with', () => {
  it.each([
    ['AVX2', '1'],
    ['AVX2 and products of bytes (AVX-VNNI), if this one has them', '1+vnni'],
    ['neither', '0'],
  ])(
    '%s, all of this holds',
    (_, level) => {
      const vitest = path.resolve(import.meta.dirname, '../../node_modules/vitest/vitest.mjs');
      const only = ['-t', 'the kernels for|products of rounded rows'];
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [vitest, 'run', '--project', 'parity', 'parity/quantized.test.ts', ...only],
        { encoding: 'utf8', env: { ...process.env, [LEVEL]: level } },
      );
      expect(status, stdout + stderr).toBe(0);
    },
    120_000,
  );
});

it('refuses rows that are too short for their width', () => {
  const { blocks, form } = stored('Q4_0');
  expect(() => fused.dequantize([blocks], { ...form, width: 4096 }, 'f32')).toThrow(/do not fit/);
  expect(() => fused.dequantize([blocks], { ...form, type: 9 }, 'f32')).toThrow(/do not fit/);
  ops.free(blocks);
});

describe('SmolLM2-135M in Q4_1', () => {
  const load = async (
    options: Partial<LoadOptions>,
    readsBlocks: 'with kernels' | 'without' = 'with kernels',
  ): Promise<Model> =>
    withBase(await smollm2Path(), async (opened) => {
      const weights = { ...opened.weights, blocksOf: () => null };
      const base = readsBlocks === 'without' ? { ...opened, weights } : opened;
      const adapter = await readPeftAdapter(
        path.join(fixtures, 'real/smollm2/adapter'),
        adapterBaseOf(base),
      );
      return loadModel(base, adapter.adapter, { ops, ...options });
    });
  const ids = Array.from({ length: 48 }, (_, i) => 300 + 17 * i);
  const inputWith = (labels: number[][]) =>
    inputOf({
      input_ids: [ids, ids.toReversed()],
      attention_mask: [ids.map(() => 1), ids.map(() => 1)],
      labels,
    });
  const input = inputWith([ids, ids.toReversed()]);
  const one = ids.map((id, i) => (i === 20 ? id : NO_LABEL));

  it.each([
    ['float32', input],
    ['bfloat16', input],
    ['bfloat16', inputWith([one, one])],
  ] as const)(
    'has the losses, gradients and tokens of its numbers in %s',
    async (base_dtype, input) => {
      const before = ops.live();
      const results = [];
      for (const [quantized, how] of [
        [true, 'with kernels'],
        [false, 'with kernels'],
        [false, 'without'],
      ] as const) {
        const model = await load({ base_dtype, quantized }, how);
        const { loss_sum, labelled } = await model.accumulate(input, 3);
        const gradients = await model.gradients(labelled);
        const settings = { max_new_tokens: 16, temperature: 0, seed: 0, stop_ids: [] };
        const tokens = await model.generate(ids, settings);
        results.push({ loss: loss_sum / labelled, gradients, tokens });
        model.dispose();
        expect(ops.live()).toBe(before);
      }
      const want = results.at(-1);
      for (const have of results) expect(have).toEqual(want);
    },
  );

  it('keeps no numbers after a loss that failed', async () => {
    const before = ops.live();
    const model = await load({ quantized: true });
    const loaded = ops.live();
    const wrong = inputWith([ids, ids.map(() => 60_000)]);
    await expect(model.accumulate(wrong, 3)).rejects.toThrow();
    expect(ops.live()).toBe(loaded);
    expect((await model.accumulate(input, 3)).loss_sum).toBeGreaterThan(0);
    model.dispose();
    expect(ops.live()).toBe(before);
  });
});
