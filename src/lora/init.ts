import { createRandom } from '../shared/random';
import { patternValue } from './patterns';
import { type AdapterConfig, type LoraFactors, type TargetableModule, scalingOf } from './adapter';

/** How A and B begin where the base's weights are not asked. */
export type PlainInit = 'default' | 'gaussian' | 'orthogonal';

type Ranks = Pick<
  AdapterConfig,
  'r' | 'lora_alpha' | 'use_rslora' | 'rank_pattern' | 'alpha_pattern'
>;

/**
 * New factors as PEFT's. default: A uniform in ±1/√in (Kaiming with a = √5); gaussian: A normal
 * with deviation 1/r; B = 0 in both. orthogonal: A and B from the odd and even rows of one
 * orthogonal matrix, so that BA = 0. An embedding: A = 0, B normal. The numbers depend on the seed
 * and the module's path alone.
 */
export function initialFactors(
  module: TargetableModule,
  ranks: Ranks,
  init: PlainInit,
  seed: number,
): LoraFactors {
  const { path, kind, in_features, out_features, kernel } = module;
  const r = patternValue(ranks.rank_pattern, path, ranks.r);
  const scaling = scalingOf(
    r,
    patternValue(ranks.alpha_pattern, path, ranks.lora_alpha),
    ranks.use_rslora,
  );
  const random = createRandom(seed, 'init', path);
  const shape = {
    path,
    kind,
    r,
    in_features,
    out_features,
    scaling,
    magnitude: null,
    ...(kernel && { kernel }),
  };
  if (kind === 'embedding')
    return {
      ...shape,
      A: new Float32Array(r * in_features),
      B: normals(out_features * r, 1, random),
    };
  if (init === 'orthogonal')
    return { ...shape, ...orthogonal(r, in_features, out_features, random) };
  const bound = 1 / Math.sqrt(in_features);
  const A =
    init === 'gaussian'
      ? normals(r * in_features, 1 / r, random)
      : Float32Array.from({ length: r * in_features }, () => (2 * random() - 1) * bound);
  return { ...shape, A, B: new Float32Array(out_features * r) };
}

function normals(size: number, deviation: number, random: () => number): Float32Array {
  return Float32Array.from({ length: size }, () => deviation * normal(random));
}

/** Box and Muller 1958. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** An odd rank leaves one row of A and column of B out of both halves: they stay zero. */
function orthogonal(
  r: number,
  in_features: number,
  out_features: number,
  random: () => number,
): Pick<LoraFactors, 'A' | 'B'> {
  const half = r >> 1;
  const q = orthonormalRows(r, random);
  const [u, v] = [
    normals(in_features * half, 0.1, random),
    normals(out_features * half, 0.1, random),
  ];
  const A = new Float32Array(r * in_features);
  const B = new Float32Array(out_features * r);
  for (let k = 0; k < half; k++) {
    for (let j = 0; j < r; j++) {
      for (let i = 0; i < in_features; i++)
        A[j * in_features + i]! += q[2 * k * r + j]! * u[i * half + k]!;
      for (let o = 0; o < out_features; o++)
        B[o * r + j]! += q[(2 * k + 1) * r + j]! * v[o * half + k]!;
    }
  }
  return { A, B };
}

/** Gram and Schmidt, twice over for accuracy. [r, r] */
function orthonormalRows(r: number, random: () => number): Float64Array {
  const q = Float64Array.from({ length: r * r }, () => normal(random));
  const row = (i: number) => q.subarray(i * r, (i + 1) * r);
  for (let i = 0; i < r; i++) {
    for (let pass = 0; pass < 2; pass++) {
      for (let k = 0; k < i; k++) {
        const along = row(i).reduce((sum, x, j) => sum + x * row(k)[j]!, 0);
        row(i).forEach((x, j, own) => (own[j] = x - along * row(k)[j]!));
      }
    }
    const length = Math.sqrt(row(i).reduce((sum, x) => sum + x * x, 0));
    row(i).forEach((x, j, own) => (own[j] = x / length));
  }
  return q;
}
