import { patternValue } from '../../lora/patterns';
import { scalingOf, type AdapterConfig, type LoraFactors } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { checkFinite, checkScale } from '../checkFinite';
import { CONFIG_FILE } from './fileNames';
import type { AdapterWeights } from './files';
import { countOf } from '../../shared/values';

/** The names of a module's tensors in the file. */
export interface FactorNames {
  /** The module's paths in the file: as stored, and without what wrappers add. */
  readonly stored: readonly string[];
  /** Of a parameter: the paths that rank_pattern and alpha_pattern are about. */
  readonly patterns?: readonly string[];
  readonly embedding: boolean | null;
  readonly A?: string;
  readonly B?: string;
  readonly magnitude?: string;
}

/** The factors of a module, and its lora_alpha by the config. */
export interface ReadFactors {
  readonly factors: LoraFactors;
  readonly lora_alpha: number;
}

export const TOGETHER =
  'Copy or download both files of the adapter again: they do not belong together.';

/** The names of a module whose A and B both exist. */
export interface Pair extends FactorNames {
  readonly A: string;
  readonly B: string;
}

/**
 * Reads the factors of a module, and checks that they fit together and the config.
 *
 * @throws LoraError('adapter') naming file and tensor.
 */
export async function readFactors(
  modulePath: string,
  names: FactorNames,
  config: AdapterConfig,
  source: AdapterWeights,
): Promise<ReadFactors> {
  const pair = pairOf(modulePath, names, source);
  const isConv = areConvolution(pair, source);
  const [r, ...inner] = source.tensors.get(pair.A)!.shape as [number, ...number[]];
  const [out_features, rankOfB] = source.tensors.get(pair.B)!.shape as [number, number];
  if (r !== rankOfB)
    throw misfit(
      `The ranks of A and B differ: A has ${countOf(r, 'row')}, B of ${modulePath} has ${countOf(rankOfB, 'column')}.`,
      source,
      pair.A,
    );
  const expected = ownValue('rank_pattern', config, modulePath, names);
  if (r !== expected)
    throw misfit(
      `The tensor has rank ${r}, but ${CONFIG_FILE} says r = ${expected}.`,
      source,
      pair.A,
    );
  const lora_alpha = ownValue('alpha_pattern', config, modulePath, names);
  const place = { file: source.fileOf(pair.A), tensor: pair.A };
  const factors = {
    path: modulePath,
    r,
    in_features: inner.reduce((n, d) => n * d, 1),
    out_features,
    scaling: checkScale(scalingOf(r, lora_alpha, config.use_rslora), modulePath, place),
    A: await finite(source, pair.A),
    B: await finite(source, pair.B),
    magnitude: await magnitudeOf(pair, out_features, config, source),
  };
  return {
    lora_alpha,
    factors: isConv
      ? { ...factors, kind: inner.length === 4 ? 'conv3d' : 'conv2d', kernel: inner.slice(1) }
      : { ...factors, kind: names.embedding ? 'embedding' : 'linear' },
  };
}

/** A value of rank_pattern or alpha_pattern, whose keys are of the file's paths. */
export function ownValue(
  key: 'rank_pattern' | 'alpha_pattern',
  config: AdapterConfig,
  modulePath: string,
  { stored, patterns = [...stored, modulePath] }: FactorNames,
): number {
  const values = patterns.map((path) => patternValue(config[key], path, NaN, key));
  const usual = key === 'rank_pattern' ? config.r : config.lora_alpha;
  return values.find((value) => !Number.isNaN(value)) ?? usual;
}

export function pairOf(modulePath: string, names: FactorNames, source: AdapterWeights): Pair {
  const { A, B, magnitude } = names;
  if (A !== undefined && B !== undefined) return { ...names, A, B };
  throw misfit(
    `Its partner is missing: ${modulePath} needs both lora_A and lora_B.`,
    source,
    A ?? B ?? magnitude ?? modulePath,
  );
}

/**
 * Whether the factors are those of a convolution: A [r, channels, height, width], B [out, r, 1, 1];
 * in three dimensions A has the frames before the height, and B a 1 more.
 *
 * @throws LoraError('adapter') when they are neither that nor matrices.
 */
function areConvolution({ A, B, embedding }: Pair, source: AdapterWeights): boolean {
  const [a, b] = [source.tensors.get(A)!, source.tensors.get(B)!];
  const isKernel = a.shape.length === 4 || a.shape.length === 5;
  if (isKernel && b.shape.length === a.shape.length && embedding === false) {
    const ones = b.shape.slice(2);
    if (ones.every((n) => n === 1)) return true;
    throw misfit(
      `lora_B of a convolution must have a kernel of ${ones.map(() => 1).join(' x ')}, but its shape is [${b.shape.join(', ')}].`,
      source,
      B,
    );
  }
  const wrong = [a, b].find(({ shape }) => shape.length !== 2);
  if (!wrong) return false;
  throw misfit(
    `A factor must be a matrix, but its shape is [${wrong.shape.join(', ')}].`,
    source,
    wrong.name,
  );
}

/** DoRA's magnitude vector [out]; null without DoRA. */
async function magnitudeOf(
  { stored, magnitude, A }: Pair,
  out_features: number,
  { use_dora }: AdapterConfig,
  source: AdapterWeights,
): Promise<Float32Array | null> {
  if (magnitude === undefined) {
    if (!use_dora) return null;
    throw misfit(
      `${CONFIG_FILE} says use_dora, but ${stored[0]!} has no lora_magnitude_vector.`,
      source,
      A,
    );
  }
  if (!use_dora)
    throw misfit(
      `${stored[0]!} has a lora_magnitude_vector, but ${CONFIG_FILE} does not say use_dora.`,
      source,
      magnitude,
    );
  const values = await finite(source, magnitude);
  if (values.length === out_features) return values;
  const { shape } = source.tensors.get(magnitude)!;
  throw misfit(
    `The magnitude vector must have ${countOf(out_features, 'element')}, but its shape is [${shape.join(', ')}].`,
    source,
    magnitude,
  );
}

/** The error of a tensor that doesn't fit the rest of the adapter. */
export const misfit = (message: string, { fileOf }: AdapterWeights, tensor: string): LoraError =>
  new LoraError('adapter', message, { place: { file: fileOf(tensor), tensor }, fix: TOGETHER });

/**
 * A tensor's values.
 *
 * @throws LoraError('adapter') when one is not finite.
 */
export async function finite(source: AdapterWeights, tensor: string): Promise<Float32Array> {
  return checkFinite(await source.readF32(tensor), { file: source.fileOf(tensor), tensor });
}
