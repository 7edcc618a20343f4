import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { extractAdapterFromModel } from '../../../../../src/engine/extract/extractAdapterFromModel';
import { mergeModel } from '../../../../../src/engine/merge/mergeModel';
import { readAnyAdapter } from '../../../../../src/formats/adapterFormat';
import { withDiffusersNames } from '../../../../../src/formats/diffusion/spellings';
import type { Adapter } from '../../../../../src/lora/adapter';
import { combineUpdates } from '../../../../../src/lora/combine';
import { compareAdapters } from '../../../../../src/lora/compare';
import { resizeFactors } from '../../../../../src/lora/resize';
import { tensorsIn, updateOf } from '../../../../support/conversions';
import {
  imageAdapter,
  MEASURES,
  productsIn,
  reckoned,
  worstGap,
} from '../../../../support/imageAdapters';
import { temp } from '../../../../support/temp';

const MODELS = ['sd', 'flux'];
/** The modules that the adapters change. */
const TARGETS: Readonly<Record<string, 'all-linear' | readonly string[]>> = {
  sd: ['to_q', 'to_k', 'proj', 'proj_in', 'conv_shortcut', 'conv1', 'conv2', 'conv'],
  flux: 'all-linear',
};
const signal = new AbortController().signal;

const read = async (name: string): Promise<Adapter> =>
  (await readAnyAdapter(imageAdapter(name), null)).adapter;

/** Updates by the modules of Diffusers. */
const updatesOf = (adapter: Adapter): Map<string, Float64Array> =>
  new Map(withDiffusersNames(adapter, 'file').modules.map((m) => [m.path, updateOf(m)]));

async function merged(model: string, adapter: string): Promise<string> {
  const output = path.join(temp(), 'merged.safetensors');
  await mergeModel({
    ...{ base: imageAdapter(`${model}-base`), adapters: [adapter], output, scale: 1 },
    ...{ dtype: 'keep', max_shard_size: null, ops: null, signal, partial: false },
    ...{ warn: () => undefined, onProgress: () => undefined },
  });
  return output;
}

/** The updates of a merged model by the modules of Diffusers. */
async function changes(model: string, adapter: string) {
  const [before, after] = [
    await tensorsIn(imageAdapter(`${model}-base`)),
    await tensorsIn(await merged(model, imageAdapter(adapter))),
  ];
  return { before, after };
}

describe.each(MODELS)('a merge into %s', (model) => {
  it.each(['lora', 'loha', 'lokr'])("has NumPy's weights with dora_scale: %s", async (form) => {
    const name = `${model}-${form}-dora`;
    const { after } = await changes(model, name);
    const own = new Map([...after].map(([tensor, { data }]) => [tensor.slice(0, -7), data]));
    expect(worstGap(own, await reckoned(`merged/${name}`))).toBeLessThan(3e-7);
  });

  it.each(['lora', 'tucker', 'loha', 'lokr', 'lokr-dense'])(
    'is taken back by an extraction: %s',
    async (form) => {
      const name = `${model}-${form}`;
      const output = path.join(temp(), 'extracted.safetensors');
      await extractAdapterFromModel({
        ...{ base: imageAdapter(`${model}-base`), output, target: { kind: 'rank', rank: 64 } },
        tuned: await merged(model, imageAdapter(name)),
        target_modules: TARGETS[model]!,
        ...{ signal, onProgress: () => undefined },
      });
      // float32 holds W + dW with an error of the size of W's last digits
      expect(worstGap(await productsIn(output), await reckoned(name))).toBeLessThan(3e-6);
    },
  );
});

describe.each(Object.keys(MEASURES))('two adapters: %s', (names) => {
  const [model, a, b] = names.split('-') as [string, string, string];

  it("have NumPy's norms, cosine and difference", async () => {
    const { total } = compareAdapters(await read(`${model}-${a}`), await read(`${model}-${b}`));
    const want = MEASURES[names]!;
    const have = {
      norms: [total.norm_a, total.norm_b],
      ...{ cosine: total.cosine!, difference: total.norm_of_difference },
    };
    for (const [n, norm] of want.norms.entries())
      expect(Math.abs(have.norms[n]! / norm - 1)).toBeLessThan(1e-6);
    expect(Math.abs(have.cosine - want.cosine)).toBeLessThan(1e-6);
    expect(Math.abs(have.difference / want.difference - 1)).toBeLessThan(1e-6);
  });

  it("have NumPy's sum", async () => {
    const { adapter, error } = combineUpdates(
      [await read(`${model}-${a}`), await read(`${model}-${b}`)],
      {
        ...{ type: 'cat', weights: [0.75, -0.5], rank: null, density: 1 },
        ...{ majority_sign_method: 'total', peft: false },
      },
    );
    expect(error).toBeLessThan(1e-6);
    expect(worstGap(updatesOf(adapter), await reckoned(`sum/${names}`))).toBeLessThan(1e-6);
  });
});

it.each(MODELS.flatMap((model) => ['loha', 'lokr'].map((form) => `${model}-${form}`)))(
  'resized to rank 2 has the updates of NumPy: %s',
  async (name) => {
    const { adapter } = resizeFactors(await read(name), { kind: 'rank', rank: 2 });
    expect(adapter.modules.every((m) => m.r <= 2)).toBe(true);
    expect(worstGap(updatesOf(adapter), await reckoned(`resized/${name}`))).toBeLessThan(2e-6);
  },
);
