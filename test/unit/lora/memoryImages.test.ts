import { expect, it } from 'vitest';
import { modulesOf } from '../../../src/formats/architecture/modules';
import { readSpec } from '../../../src/formats/architecture/readSpec';
import { modelSize, parametersOf } from '../../../src/formats/architecture/size';
import { estimateMemory } from '../../../src/lora/memory';
import type { StepPlan } from '../../../src/shared/run';
import { matchTargets } from '../../../src/lora/targets';
import { IMAGE_CONFIG } from '../../bench/imageModel';

const spec = readSpec(IMAGE_CONFIG, 'config.json');
const parameters = parametersOf(spec);
const size = modelSize({ spec, parameters });
const BF16 = { base_dtype: 'bfloat16', recomputed_layers: 0 } as const;
const F32 = { base_dtype: 'float32', recomputed_layers: 0 } as const;
const NF4 = { ...BF16, quantized: true, quantize: 'nf4' } as const;
const AGAIN = { base_dtype: 'bfloat16', recomputed_layers: 27 } as const;
/** 16 images of 448 x 448 pixels. */
const IMAGES = { largest: 784, tokens: 16 * 196 };
const TARGETS = {
  language: '.*language_model.*_proj',
  all: 'all-linear',
  merger: '.*visual\\.merger\\.linear_fc\\d',
} as const;

interface Setting {
  readonly images?: typeof IMAGES;
  readonly plan?: StepPlan;
}

const estimate = (
  targets: keyof typeof TARGETS,
  rows: number,
  { images = IMAGES, plan = BF16 }: Setting = {},
) => {
  const { matched: modules } = matchTargets(modulesOf(spec), { target_modules: TARGETS[targets] });
  const batch = { rows, length: 304, images };
  return estimateMemory(size, { modules, ranks: 8 }, batch, plan);
};

it.each([
  ['language', 2, 2630, BF16],
  ['language', 4, 3527, BF16],
  ['language', 2, 4338, F32],
  ['language', 2, 2048, NF4],
  ['language', 4, 2068, AGAIN],
  ['merger', 2, 2413, BF16],
  ['all', 2, 3091, BF16],
  ['all', 4, 4422, BF16],
  ['all', 2, 5026, F32],
  ['all', 4, 2063, AGAIN],
] as const)(
  'a chat with images needs what npm run bench:images measured, within 10 %: %s, %i rows, %i MiB, %j',
  (targets, rows, peak, plan) => {
    const estimated = estimate(targets, rows, { plan }).total / 2 ** 20;
    expect(Math.abs(estimated / peak - 1), `${estimated} of ${peak}`).toBeLessThan(0.1);
  },
);

it('counts the passes of as many whole images as the rows have room for, and the data has', () => {
  const passes = (tokens: number, largest = 784) =>
    estimate('all', 2, { images: { largest, tokens } }).activations -
    estimate('language', 2).activations;
  const one = passes(196);
  expect(passes(2 * 196)).toBe(2 * one);
  expect(passes(16 * 196)).toBe(2 * one);
});

it.each([
  ['q_proj', 4],
  ['o_proj', 2],
] as const)(
  'keeps queries, keys and values before the norms of heads: with %s in %i bytes',
  (name, bytes) => {
    const without = { ...size, norms_heads: false };
    const batch = { rows: 1, length: 10 };
    const { matched: modules } = matchTargets(modulesOf(spec), { target_modules: [name] });
    const [own, plain] = [size, without].map(
      (of) => estimateMemory(of, { modules, ranks: 8 }, batch, BF16).activations,
    ) as [number, number];
    expect(own - plain).toBe(28 * 10 * bytes * (16 + 2 * 8) * 128);
  },
);

it('keeps of the tower only the layers from the lowest that trains', () => {
  const of = (target_modules: string) => {
    const { matched: modules } = matchTargets(modulesOf(spec), { target_modules });
    const batch = { rows: 2, length: 304, images: IMAGES };
    return estimateMemory(size, { modules, ranks: () => 0 }, batch, BF16).activations;
  };
  const block = (i: number) => of(`.*visual\\.blocks\\.${i}\\.attn\\.proj`);
  const layer = block(10) - block(11);
  expect(block(0) - block(11)).toBeCloseTo(11 * layer, 3);
  expect(of('.*visual\\.patch_embed\\.proj')).toBeCloseTo(block(0), 3);
  expect(block(11) - of(TARGETS.merger)).toBeCloseTo(layer, 3);
  // two images of 784 patches: inputs of both branches, queries, keys, values and inner values
  expect(layer).toBe(2 * 784 * (4 * (2 * 768 + 2 + 2 * 12) + 2 * (4 * 768 + 3072)));
});

it('computes the passes of a tower again only after those of the layers', () => {
  const [own, language] = [
    estimate('all', 4, { plan: AGAIN }),
    estimate('language', 4, { plan: AGAIN }),
  ];
  expect(own.activations).toBeLessThan(1.01 * language.activations);
  // where they are larger than what the layers keep, they count
  const one = estimate('all', 1, { plan: AGAIN, images: { largest: 8 * 784, tokens: 1568 } });
  expect(one.total - own.total).toBeGreaterThan(5 * 784 * 12 * 18_000);
});
