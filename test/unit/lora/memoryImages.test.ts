import { expect, it } from 'vitest';
import { modulesOf } from '../../../src/formats/architecture/modules';
import { readSpec } from '../../../src/formats/architecture/readSpec';
import { modelSize, parametersOf } from '../../../src/formats/architecture/size';
import { visionParameters } from '../../../src/formats/architecture/visionTensors';
import { estimateMemory } from '../../../src/lora/memory';
import { matchTargets } from '../../../src/lora/targets';
import { IMAGE_CONFIG } from '../../bench/imageModel';

const spec = readSpec(IMAGE_CONFIG, 'config.json');
const parameters = parametersOf(spec) + visionParameters(spec.vision!);
const size = modelSize({ spec, parameters });
const BF16 = { base_dtype: 'bfloat16', recomputed_layers: 0 } as const;
/** 16 images of 448 x 448 pixels. */
const IMAGES = { largest: 784, tokens: 16 * 196 };
const TARGETS = { language: '.*language_model.*_proj', all: 'all-linear' } as const;

const estimate = (targets: keyof typeof TARGETS, rows: number, images = IMAGES) => {
  const { matched: modules } = matchTargets(modulesOf(spec), { target_modules: TARGETS[targets] });
  const batch = { rows, length: 304, images };
  return estimateMemory(size, { modules, ranks: 8 }, batch, BF16);
};

it.each([
  ['language', 2, 2630],
  ['language', 4, 3527],
  ['all', 2, 3091],
  ['all', 4, 4422],
] as const)(
  'a chat with images needs what npm run bench:images measured, within 10 %: %s, %i rows',
  (targets, rows, peak) => {
    const estimated = estimate(targets, rows).total / 2 ** 20;
    expect(Math.abs(estimated / peak - 1), `${estimated} of ${peak}`).toBeLessThan(0.1);
  },
);

it('counts the passes of as many whole images as the rows have room for, and the data has', () => {
  const passes = (tokens: number, largest = 784) =>
    estimate('all', 2, { largest, tokens }).activations - estimate('language', 2).activations;
  const one = passes(196);
  expect(passes(2 * 196)).toBe(2 * one);
  expect(passes(16 * 196)).toBe(2 * one);
});

it('keeps queries, keys and values before the norms of heads', () => {
  const without = { ...size, norms_heads: false };
  const batch = { rows: 1, length: 10 };
  const [own, plain] = [size, without].map(
    (of) => estimateMemory(of, { modules: [], ranks: 8 }, batch, BF16).activations,
  ) as [number, number];
  expect(own - plain).toBe(28 * 10 * 4 * (16 + 2 * 8) * 128);
});
