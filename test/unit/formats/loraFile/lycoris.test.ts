import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAnyAdapter } from '../../../../src/formats/adapterFormat';
import { readLoraModules } from '../../../../src/formats/loraFile/read';
import { lowRankRows, type RowUpdate } from '../../../../src/lora/rowUpdates';
import { LoraError } from '../../../../src/shared/errors';
import { tensorsIn } from '../../../support/conversions';
import { fileOf, type Shapes } from '../../../support/loraFiles';
import { PIPELINES } from '../../../support/pipelines';

const FILES = ['sd', 'sdxl', 'flux'].map((own) => path.join(PIPELINES, own, 'lycoris.safetensors'));

/** The rank that the fixtures' updates need, which are of rank 2 in two factors. */
const RANK = 4;

function rowsOf({ out_features, in_features, addRow }: RowUpdate): Float64Array[] {
  return Array.from({ length: out_features }, (_, row) => {
    const sum = new Float64Array(in_features);
    addRow(row, sum);
    return sum;
  });
}

describe('LoHa and LoKr', () => {
  it('become LoRA with the same rows and kernels', async () => {
    let count = 0;
    for (const file of FILES) {
      const { modules } = await readLoraModules(file, null);
      for (const own of modules) {
        if (own.kind !== 'lycoris') continue;
        const update = own.rows(1);
        const expand = () => own.expand(null);
        const full = Math.min(update.out_features, update.in_features);
        if (full < RANK || (await hasWholeFactors(file, own.path))) {
          expect(expand).toThrow(/which LoRA holds at a rank above the full one only/);
          continue;
        }
        const lora = lowRankRows(expand());
        if (update.kernel) expect(lora.kernel).toEqual(update.kernel);
        const [have, want] = [rowsOf(lora), rowsOf(update)];
        for (const [n, row] of want.entries())
          for (const [i, x] of row.entries()) expect(have[n]![i]).toBeCloseTo(x, 5);
        count++;
      }
    }
    expect(count).toBeGreaterThan(15);
  });

  it('get the kernel of a convolution by its name', async () => {
    const names = ['w1_a', 'w2_a', 'w1_b', 'w2_b'];
    const shapes = Object.fromEntries(
      names.map((own): [string, readonly number[]] => [
        `lora_unet_input_blocks_1_0_in_layers_2.hada_${own}`,
        own.endsWith('a') ? [4, 1] : [1, 27],
      ]),
    );
    const { adapter } = await readAnyAdapter(await fileOf(shapes), null);
    expect(adapter.modules[0]).toMatchObject({ kind: 'conv2d', kernel: [3, 3] });
  });
});

/** Whether both factors of a module are stored whole. */
async function hasWholeFactors(file: string, name: string): Promise<boolean> {
  return (await tensorsIn(file)).has(`${name}.lokr_w2`);
}

describe('a file of LyCORIS', () => {
  const loha: Shapes = {
    'lora_unet_x.hada_w1_a': [4, 2],
    'lora_unet_x.hada_w1_b': [2, 5],
    'lora_unet_x.hada_w2_a': [4, 2],
    'lora_unet_x.hada_w2_b': [2, 5],
  };

  it.each<[string, Shapes, RegExp]>([
    ['a factor alone', { 'lora_unet_x.hada_w1_a': [4, 2] }, /lora_unet_x has no hada_w1_b/],
    [
      'ranks that differ',
      { ...loha, 'lora_unet_x.hada_w2_b': [3, 5] },
      /ranks of lora_unet_x's factors differ: 2 and 3/,
    ],
    [
      'products of other shapes',
      { ...loha, 'lora_unet_x.hada_w2_b': [2, 6] },
      /two products of lora_unet_x have different shapes/,
    ],
    [
      'a factor that is no matrix',
      { ...loha, 'lora_unet_x.hada_w1_a': [8] },
      /hada_w1_a has the shape \[8\], which no factor has/,
    ],
    ['an unknown part', { ...loha, 'lora_unet_x.hada_w3_a': [4, 2] }, /another kind of LoHa/],
    [
      'a rank above the full one',
      {
        ...loha,
        'lora_unet_x.hada_w1_a': [4, 3],
        'lora_unet_x.hada_w1_b': [3, 5],
      },
      /lora_unet_x is LoHa, which LoRA holds at a rank above the full one only \(4 x 5, rank 6\)/,
    ],
    [
      'a core that does not fit',
      {
        'lora_unet_x.lora_down.weight': [2, 3, 1, 1],
        'lora_unet_x.lora_up.weight': [4, 2, 1, 1],
        'lora_unet_x.lora_mid.weight': [2, 3, 3, 3],
      },
      /core of a Tucker decomposition of lora_unet_x has the shape \[2, 3, 3, 3\]/,
    ],
    [
      'a small file with a huge product',
      {
        'lora_unet_x.lokr_w1': [2, 2],
        'lora_unet_x.lokr_w2_a': [60_000, 1],
        'lora_unet_x.lokr_w2_b': [1, 60_000],
      },
      /factors of lora_unet_x make a matrix of 60000 x 60000, which is too large/,
    ],
    [
      'a small file with a huge core of LoHa',
      {
        ...{ 'lora_unet_x.hada_w1_a': [1, 4], 'lora_unet_x.hada_w1_b': [1, 60_000] },
        ...{ 'lora_unet_x.hada_w2_a': [1, 4], 'lora_unet_x.hada_w2_b': [1, 60_000] },
        ...{ 'lora_unet_x.hada_t1': [1, 1, 300, 300], 'lora_unet_x.hada_t2': [1, 1, 300, 300] },
      },
      /factors of lora_unet_x make a matrix of 1 x 5400000000, which is too large/,
    ],
    [
      'a small file with a huge core',
      {
        'lora_unet_x.lora_down.weight': [1, 60_000, 1, 1],
        'lora_unet_x.lora_up.weight': [4, 1, 1, 1],
        'lora_unet_x.lora_mid.weight': [1, 1, 300, 300],
      },
      /factors of lora_unet_x make a matrix of 1 x 5400000000, which is too large/,
    ],
  ])('is refused for %s', async (_, shapes, reason) => {
    const error: unknown = await readAnyAdapter(await fileOf(shapes), null).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(LoraError);
    expect((error as LoraError).message).toMatch(reason);
  });
});
