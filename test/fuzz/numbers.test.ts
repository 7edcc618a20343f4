import { expect, it } from 'vitest';
import { adapterTensor } from '../../src/formats/adapterDtype';
import { combineUpdates, COMBINATIONS } from '../../src/lora/combine';
import { compareAdapters } from '../../src/lora/compare';
import { resizeFactors, type ResizeTarget } from '../../src/lora/resize';
import { PLAIN_LORA } from '../../src/lora/newAdapter';
import type { Adapter, LoraFactors } from '../../src/lora/adapter';
import { LoraError } from '../../src/shared/errors';
import { createRandom, type Random } from '../../src/shared/random';
import { ODD_NUMBERS, pick } from './mutate';

const INPUTS = 400;
const SCALES = [1, 2.5, 0.1, 16, 1e-38, 1e-20, 1e20];
const SIZES = [1, 2, 3, 7];

/** Numbers that are usual, odd, all alike or all zero. */
function numbers(length: number, random: Random): Float32Array {
  const kind = random();
  const same = pick(ODD_NUMBERS, random);
  return Float32Array.from({ length }, () => {
    if (kind < 0.05) return same;
    return kind < 0.2 && random() < 0.2 ? pick(ODD_NUMBERS, random) : random() - 0.5;
  });
}

/** r may be above both sides of the layer. */
function adapterOf(
  shapes: readonly (readonly [number, number, number])[],
  random: Random,
): Adapter {
  const modules = shapes.map(([r, in_features, out_features], i): LoraFactors => ({
    path: `layers.${i}.q_proj`,
    kind: 'linear',
    r,
    in_features,
    out_features,
    scaling: pick(SCALES, random),
    A: numbers(r * in_features, random),
    B: numbers(r * out_features, random),
    magnitude: null,
  }));
  return {
    config: { ...PLAIN_LORA, base_model_name_or_path: null, raw: {} },
    modules,
    trained: [],
  };
}

const TARGETS: readonly ResizeTarget[] = [
  { kind: 'rank', rank: 1 },
  { kind: 'energy', energy: 0.9 },
  { kind: 'error', error: 0.1 },
];

/** Writes all factors, which refuses numbers that are not finite. */
const written = ({ modules }: Adapter, dtype: 'F32' | 'F16' | 'BF16') =>
  modules.flatMap(({ path, A, B }) =>
    [A, B].map((data) => adapterTensor({ name: path, shape: [data.length], data }, dtype)),
  );

const isFiniteAdapter = ({ modules }: Adapter) =>
  modules.every((m) => [...m.A, ...m.B].every(Number.isFinite));

it(`computes finite numbers or refuses them, for ${INPUTS} adapters with extreme ones`, () => {
  const outcomes = { written: 0, refused: 0 };
  for (let n = 0; n < INPUTS; n++) {
    const random = createRandom(1, 'numbers', n);
    const r = pick([1, 2, 5, 9], random);
    const shapes = [0, 1].map(() => [r, pick(SIZES, random), pick(SIZES, random)] as const);
    const [a, b] = [adapterOf(shapes, random), adapterOf(shapes, random)];
    const isRead = isFiniteAdapter(a) && isFiniteAdapter(b); // readers refuse the others
    try {
      const dtype = pick(['F32', 'F16', 'BF16'] as const, random);
      const resized = resizeFactors(a, pick(TARGETS, random));
      written(resized.adapter, dtype);
      expect(resized.error ?? 0, `input ${n}`).toBeGreaterThanOrEqual(0);
      const combined = combineUpdates([a, b], {
        type: pick(COMBINATIONS, random),
        weights: [pick([1, -1, 0, 0.3, 1e30], random), 1],
        rank: null,
        density: 0.5,
        majority_sign_method: 'total',
        peft: random() < 0.5,
      });
      written(combined.adapter, dtype);
      expect(combined.error ?? 0, `input ${n}`).toBeGreaterThanOrEqual(0);
      if (isRead) expect(JSON.stringify(compareAdapters(a, b).total)).not.toMatch(/NaN/);
      outcomes.written++;
    } catch (error) {
      const isRefusal =
        error instanceof LoraError ||
        (error instanceof RangeError && /cannot (?:hold|be)|different/.test(error.message));
      if (!isRefusal) throw error;
      outcomes.refused++;
    }
  }
  expect(outcomes.written).toBeGreaterThan(50);
  expect(outcomes.refused).toBeGreaterThan(50);
});
