import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FourBitMatrix, fourBitForm, quantizeNf4 } from '../../src/formats/quantized/fourBit';
import { IntegerMatrix, integerForm, quantizeInt8 } from '../../src/formats/quantized/integers';
import { writeRows, type QuantizedMatrix, type RowForm } from '../../src/formats/quantized/matrix';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { SafetensorsFile } from '../../src/formats/safetensors/read';
import { loadModel } from '../../src/models/loadModel';
import type { FusedOps } from '../../src/models/ops/fusedOps';
import type { Tensor } from '../../src/models/ops/ops';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { createRandom } from '../../src/shared/random';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { fixtures, gap, inputOf, largest, tensorFlowOps, withBase } from '../support/models';

let ops: TensorFlowOps;
let fused: FusedOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
  fused = ops.fused!;
});

async function numbersOf(x: Tensor): Promise<Float32Array> {
  const numbers = Float32Array.from(await ops.download(x));
  ops.free(x);
  return numbers;
}

const bitsOf = (values: Float32Array) => [...new Uint32Array(values.buffer)];

interface Case {
  readonly matrix: QuantizedMatrix;
  readonly shape: readonly [rows: number, width: number];
  readonly form: RowForm;
}

/** Rows of a matrix: a whole number of fours, in which the kernels multiply them, and a rest. */
const ROWS = 7;
const ROUNDINGS = ['F32', 'BF16', 'F16'] as const;

function inputWith(width: number): Float32Array {
  const random = createRandom(3, `width ${width}`);
  // rows of different sizes, the first so small that many of its halves are subnormal
  return Float32Array.from({ length: ROWS * width }, (_, i) => {
    const size = 10 ** (Math.floor(i / width) - 5);
    return (random() + random() + random() - 1.5) * size;
  });
}

function fourBitCases(): [string, Case][] {
  return ROUNDINGS.flatMap((rounding) =>
    [64, 576, ...(rounding === 'F32' ? [64 * 259] : [])].flatMap((width) =>
      (['nf4', 'fp4'] as const).flatMap((code) =>
        [true, false].map((nested): [string, Case] => {
          const shape = [ROWS, width] as const;
          const { storage } = quantizeNf4(inputWith(width), shape, rounding);
          const absmax = Float32Array.from({ length: shape[0] * (width / 64) }, (_, i) => i / 9);
          const scales = nested ? storage.scales : ({ kind: 'plain', absmax } as const);
          const form = fourBitForm({ code, shape, block: 64, rounding, nested })!;
          const matrix = new FourBitMatrix({ ...storage, code, scales });
          const name = `${code}${nested ? ', nested scales' : ''}, ${width} wide, ${rounding}`;
          return [name, { matrix, shape, form }];
        }),
      ),
    ),
  );
}

function integerCases(): [string, Case][] {
  return ROUNDINGS.flatMap((rounding) =>
    [64, 576].flatMap((width): [string, Case][] => {
      const shape = [ROWS, width] as const;
      const rows = quantizeInt8(inputWith(width), shape, rounding);
      const group = 32;
      const scales = Float32Array.from({ length: (ROWS * width) / group }, (_, i) => (i + 1) / 7e3);
      const groups = new IntegerMatrix({ ...rows.storage, group, scales, factor: 1 });
      const named = (name: string) => `${name}, ${width} wide, ${rounding}`;
      return [
        [
          named('int8 rows'),
          { matrix: rows, shape, form: integerForm({ shape, group: width, rounding })! },
        ],
        [
          named('int8 groups'),
          { matrix: groups, shape, form: integerForm({ shape, group, rounding })! },
        ],
      ];
    }),
  );
}

/** The rows in blocks, each filled up to one word more than needed. */
function upload({ matrix, form }: Case): Tensor {
  const words = Math.ceil(form.row_bytes / 4) + 1;
  const data = new Int32Array(ROWS * words);
  writeRows(matrix, ROWS, { data, words, order: null });
  return ops.upload(data, [ROWS, words]);
}

describe.each([...fourBitCases(), ...integerCases()])('%s', (_, own) => {
  const [, width] = own.shape;
  const form = { type: own.form.type, width };

  it('has the kernels read the same numbers, bit for bit', async () => {
    const blocks = upload(own);
    const values = own.matrix.values();
    const wide = ops.upload(values, own.shape);
    expect(bitsOf(await numbersOf(fused.dequantize([blocks], form, 'f32')))).toEqual(
      bitsOf(values),
    );
    const expected = await numbersOf(fused.convert(wide, 'bf16'));
    expect(await numbersOf(fused.dequantize([blocks], form, 'bf16'))).toEqual(expected);
    ops.free(blocks, wide);
  });

  it.each([1, 5])('multiplies %i rows as the numbers in f32 do', async (count) => {
    const blocks = upload(own);
    const weight = ops.upload(own.matrix.values(), own.shape);
    const random = createRandom(1, 'rows');
    const x = Float32Array.from({ length: count * width }, () => random() - 0.5);
    const rows = ops.upload(x, [count, width]);
    const have = await numbersOf(fused.fewRowsOfBlocks(rows, blocks, form));
    expect(have).toEqual(await numbersOf(fused.fewRows(rows, weight)));
    ops.free(rows, weight, blocks);
  });
});

const folder = path.join(fixtures, 'quantized');
const CHECKPOINTS = [
  'bnb-nf4',
  'bnb-nf4-bf16',
  'bnb-fp4',
  'bnb-int8',
  'torchao-int8',
  'torchao-int4',
  'gptq',
  'gptq-order',
  'awq',
];

async function numbersIn(file: string): Promise<Map<string, Float32Array>> {
  const source = await SafetensorsFile.open(path.join(folder, file));
  const found = new Map<string, Float32Array>();
  for (const name of source.tensors.keys())
    if (name !== 'ids') found.set(name, await source.readF32(name));
  await source.close();
  return found;
}

const IDS = [0, 1].map((row) =>
  Array.from({ length: 16 }, (_, i) => ((4 + row * 16 + i) * 7) % 96),
);
const INPUT = inputOf({
  input_ids: IDS,
  attention_mask: IDS.map((ids) => ids.map(() => 1)),
  labels: IDS,
});

it.each(CHECKPOINTS)('a base in %s has the logits of transformers', async (name) => {
  const before = ops.live();
  const logits = (await numbersIn(`${name}/expected.safetensors`)).get('logits')!;
  await withBase(path.join(folder, name), async (base) => {
    for (const quantized of [true, false]) {
      const model = await loadModel(base, EMPTY_ADAPTER, { ops, quantized });
      const have = await model.logits(INPUT);
      have.forEach((value, i) => {
        expect(Math.abs(value - logits[i]!)).toBeLessThan(5e-5);
      });
      model.dispose();
    }
  });
  expect(ops.live()).toBe(before);
});

it.each([true, false])(
  'LoRA on NF4 has the loss and gradients of PEFT (in blocks: %s)',
  async (quantized) => {
    const want = await numbersIn('bnb-nf4/gradients.safetensors');
    await withBase(path.join(folder, 'bnb-nf4'), async (base) => {
      const { adapter } = await readPeftAdapter(
        path.join(folder, 'bnb-nf4/adapter'),
        adapterBaseOf(base),
      );
      const model = await loadModel(base, adapter, { ops, quantized });
      const { loss_sum, labelled } = await model.accumulate(INPUT, 0);
      expect(Math.abs(loss_sum / labelled - want.get('loss')![0]!)).toBeLessThan(1e-5);
      const gradients = await model.gradients(labelled);
      const named = [...want].filter(([name]) => name !== 'loss');
      expect([...gradients.keys()].sort()).toEqual(named.map(([name]) => name).sort());
      for (const [name, data] of named)
        expect(gap(gradients.get(name)!.data, data), name).toBeLessThanOrEqual(
          1e-4 * Math.max(1e-2, largest(data)),
        );
      model.dispose();
    });
  },
);
