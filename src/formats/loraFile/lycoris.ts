import type { LoraFactors } from '../../lora/adapter';
import {
  asLora,
  exactRank,
  lycorisRows,
  product,
  shapeOf,
  withCore,
  type Dense,
  type LycorisUpdate,
} from '../../lora/lycoris';
import type { RowUpdate } from '../../lora/rowUpdates';
import { LoraError, type Place } from '../../shared/errors';
import { checkFinite, checkScale } from '../checkFinite';
import { pipelineModule } from '../diffusion/names';
import { unetKindOf, type UNetKind } from '../diffusion/unetSpelling';
import type { SafetensorsFile } from '../safetensors/read';
import type { LycorisPart, Part } from './tensors';

/** The names of a module's tensors. */
export type PartNames = Readonly<Partial<Record<Part, string>>>;

/** A module of a file: LoRA, or what can become it. */
export type FileModule = { readonly kind: 'lora'; readonly factors: LoraFactors } | LycorisModule;

/** A module whose update is no LoRA, but can become one or be merged. */
export interface LycorisModule {
  readonly kind: 'lycoris';
  readonly path: string;
  /** Its rows, times a scale. */
  readonly rows: (scale: number) => RowUpdate;
  readonly method: LycorisUpdate['method'];
  readonly out_features: number;
  readonly in_features: number;
  /** Whether LoRA holds it at a rank that is not above the full one. */
  readonly isLora: boolean;
  /**
   * @param unet The UNet that the adapter is of, if that is known: what of its layers are
   *   convolutions.
   * @throws LoraError('adapter') where it would be LoRA of more than the full rank.
   */
  readonly expand: (unet: UNetKind | null) => LoraFactors;
}

/** What a module's tensors say besides its factors. */
export interface LycorisFacts {
  readonly path: string;
  /** The scale for a rank; null rank: the file has none, and alpha does not count. */
  readonly scalingFor: (rank: number | null) => Promise<number>;
  readonly magnitudeFor: (out_features: number) => Promise<Float32Array | null>;
}

/** The UNet that modules are of; null: none, or not known which. */
export const unetOf = (modules: readonly FileModule[]): UNetKind | null =>
  unetKindOf(modules.map((own) => (own.kind === 'lora' ? own.factors : own)));

/** Whether a module is of LoHa or LoKr. */
export const isLycoris = (parts: PartNames): boolean =>
  Object.keys(parts).some((part) => /^(?:hada|lokr)_/.test(part));

/**
 * Reads a module of LoHa or LoKr.
 *
 * @throws LoraError('adapter') naming the tensor that is missing or has another shape.
 */
export async function readLycoris(
  source: SafetensorsFile,
  parts: PartNames,
  facts: LycorisFacts,
): Promise<LycorisModule> {
  const reader = new LycorisReader(source, parts, facts.path);
  refuseSeveralMethods(reader, parts);
  const update =
    parts.hada_w1_a === undefined ? await loKr(reader, facts) : await loHa(reader, facts);
  const place = reader.place;
  checkScale(update.scaling, update.path, place);
  return {
    kind: 'lycoris',
    path: update.path,
    rows: (scale) => lycorisRows(update, scale),
    method: update.method,
    ...shapeOf(update),
    isLora: asLoraOf(update).isLora,
    expand: (unet) => expanded(update, unet, place),
  };
}

/**
 * Parts that LyCORIS leaves out where a factor is stored whole.
 *
 * @throws LoraError('adapter') naming a tensor that would be ignored.
 */
function refuseTwice(reader: LycorisReader, side: 1 | 2): void {
  if (!reader.has(`lokr_w${side}`)) return;
  for (const part of [`lokr_w${side}_a`, `lokr_w${side}_b`, `lokr_t${side}`] as const)
    if (reader.has(part))
      throw reader.error(
        `${reader.path} has both lokr_w${side} and ${part}, which exclude each other.`,
      );
}

/** Numbers of a matrix that is formed from tensors at most: those of a small file can make more. */
const MAX_EXPANDED = 2 ** 28;

/** @throws LoraError('adapter') for a matrix of more numbers than are formed. */
export function refuseHuge(
  { path, place }: { readonly path: string; readonly place: Place },
  [rows, columns]: readonly [number, number],
): void {
  if (rows * columns <= MAX_EXPANDED) return;
  throw new LoraError(
    'adapter',
    `The factors of ${path} make a matrix of ${rows} x ${columns}, which is too large.`,
    { place, fix: 'Check that the file is an adapter of this model.' },
  );
}

/** The starts of the names of each method's factors. */
const METHODS = [/^(?:A|B|mid)$/, /^hada_/, /^lokr_/];

function refuseSeveralMethods(reader: LycorisReader, parts: PartNames): void {
  const found = METHODS.filter((own) => Object.keys(parts).some((part) => own.test(part)));
  if (found.length > 1)
    throw reader.error(`${reader.path} has factors of more than one of LoRA, LoHa and LoKr.`);
}

/** A tensor as a matrix: its first dimension, and all others together. */
interface Stored extends Dense {
  readonly shape: readonly number[];
}

class LycorisReader {
  readonly place: Place;

  constructor(
    private readonly source: SafetensorsFile,
    private readonly parts: PartNames,
    readonly path: string,
  ) {
    this.place = { file: source.file, tensor: Object.values(parts)[0]! };
  }

  has(part: LycorisPart): boolean {
    return this.parts[part] !== undefined;
  }

  /** @throws LoraError('adapter') when the tensor is missing, empty or not finite. */
  async read(part: LycorisPart): Promise<Stored> {
    const tensor = this.parts[part];
    if (tensor === undefined) throw this.error(`${this.path} has no ${part}.`);
    const { shape } = this.source.tensors.get(tensor)!;
    const [rows = 0, ...others] = shape;
    const columns = others.reduce((a, b) => a * b, 1);
    const isMatrix = shape.length === 2 || shape.length === 4;
    if (!isMatrix || rows * columns === 0)
      throw this.error(`${tensor} has the shape [${shape.join(', ')}], which no factor has.`);
    const place = { file: this.source.file, tensor };
    return { rows, columns, shape, data: checkFinite(await this.source.readF32(tensor), place) };
  }

  /** a b of matrices that fit. */
  multiplied([a, b]: readonly [Dense, Dense]): Dense {
    refuseHuge(this, [a.rows, b.columns]);
    return product(a, b);
  }

  checkFit(a: number, b: number): void {
    if (a !== b) throw this.error(`The ranks of ${this.path}'s factors differ: ${a} and ${b}.`);
  }

  error(message: string): LoraError {
    return new LoraError('adapter', message, {
      place: this.place,
      fix: 'Save or download the adapter again.',
    });
  }
}

type Kernel = readonly [number, number] | null;
const kernelIn = ({ shape }: Stored): Kernel =>
  shape.length === 4 ? [shape[2]!, shape[3]!] : null;

/** A factor [r, out] as [out, r]. */
function turned({ rows, columns, data }: Dense): Dense {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = data[row * columns + column]!;
  return { rows: columns, columns: rows, data: result };
}

/** Two factors, with a Tucker core between them if there is one, and the core's kernel. */
async function pairOf(
  reader: LycorisReader,
  [a, b, core]: readonly [LycorisPart, LycorisPart, LycorisPart],
): Promise<{ readonly pair: readonly [Dense, Dense]; readonly kernel: Kernel }> {
  const [up, down] = [await reader.read(a), await reader.read(b)];
  if (!reader.has(core)) {
    reader.checkFit(up.columns, down.rows);
    return { pair: [up, down], kernel: null };
  }
  const middle = await reader.read(core);
  reader.checkFit(middle.rows, up.rows);
  reader.checkFit(middle.shape[1]!, down.rows);
  refuseHuge(reader, [middle.rows, (middle.columns / down.rows) * down.columns]);
  return { pair: [turned(up), withCore(middle, down)], kernel: kernelIn(middle) };
}

async function loHa(reader: LycorisReader, facts: LycorisFacts): Promise<LycorisUpdate> {
  const one = await pairOf(reader, ['hada_w1_a', 'hada_w1_b', 'hada_t1']);
  const two = await pairOf(reader, ['hada_w2_a', 'hada_w2_b', 'hada_t2']);
  const [out, inner] = [one.pair[0].rows, one.pair[1].columns];
  if (two.pair[0].rows !== out || two.pair[1].columns !== inner)
    throw reader.error(`The two products of ${reader.path} have different shapes.`);
  return {
    method: 'LoHa',
    path: reader.path,
    pairs: [one.pair, two.pair],
    kernel: one.kernel,
    scaling: await facts.scalingFor(one.pair[0].columns),
    magnitude: await facts.magnitudeFor(out),
  };
}

async function loKr(reader: LycorisReader, facts: LycorisFacts): Promise<LycorisUpdate> {
  for (const side of [1, 2] as const) refuseTwice(reader, side);
  const leftPair = reader.has('lokr_w1')
    ? null
    : await pairOf(reader, ['lokr_w1_a', 'lokr_w1_b', 'lokr_t1']);
  const left = leftPair ? reader.multiplied(leftPair.pair) : await reader.read('lokr_w1');
  const rightPair = reader.has('lokr_w2')
    ? null
    : await pairOf(reader, ['lokr_w2_a', 'lokr_w2_b', 'lokr_t2']);
  const whole = rightPair ? null : await reader.read('lokr_w2');
  const right = rightPair ? reader.multiplied(rightPair.pair) : whole!;
  const rank = rightPair?.pair[0].columns ?? leftPair?.pair[0].columns ?? null;
  return {
    method: 'LoKr',
    path: reader.path,
    left,
    right,
    factors: rightPair?.pair ?? null,
    kernel: rightPair ? rightPair.kernel : kernelIn(whole!),
    scaling: await facts.scalingFor(rank),
    magnitude: await facts.magnitudeFor(left.rows * right.rows),
  };
}

/** Convolutions of UNets with kernels of 3 x 3, and of 1 x 1; those of SD 1 are linear in SDXL. */
const CONVOLUTION = /(?:^|\.)(?:conv|conv1|conv2|conv_in|conv_out)$/;
const POINTWISE = /\.conv_shortcut$/;
const POINTWISE_OF_SD = /\.attentions\.\d+\.proj_(?:in|out)$/;
const POSITIONS = 9;

/** The kernel of a module, by its name where its tensors do not say it. */
function kernelOf(update: LycorisUpdate, unet: UNetKind | null): LoraFactors['kernel'] {
  if (update.kernel) return update.kernel;
  const name = pipelineModule(update.path)?.paths[0] ?? update.path;
  if (POINTWISE.test(name) || (unet === 'sd' && POINTWISE_OF_SD.test(name))) return [1, 1];
  const { in_features } = shapeOf(update);
  return CONVOLUTION.test(name) && in_features % POSITIONS === 0 ? [3, 3] : undefined;
}

/** Whether an update can be LoRA: of a rank not above the full one, and not too large. */
function asLoraOf(update: LycorisUpdate) {
  const { out_features, in_features } = shapeOf(update);
  const rank = exactRank(update);
  const isDense = update.method === 'LoKr' && !update.factors;
  const isLow = rank <= Math.min(out_features, in_features) && !isDense;
  return { rank, isLow, isLora: isLow && rank * (out_features + in_features) <= MAX_EXPANDED };
}

function expanded(update: LycorisUpdate, unet: UNetKind | null, place: Place): LoraFactors {
  const { out_features, in_features } = shapeOf(update);
  const { rank, isLow, isLora } = asLoraOf(update);
  if (isLora) return asLora(update, kernelOf(update, unet));
  throw new LoraError(
    'adapter',
    `${update.path} is ${update.method}, which ${isLow ? 'is too large as LoRA' : 'LoRA holds at a rank above the full one only'} (${out_features} x ${in_features}, rank ${rank}).`,
    { place, fix: 'Merge it into its base (lora merge), where it needs no such form.' },
  );
}
