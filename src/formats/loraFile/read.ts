import type { LoraFactors } from '../../lora/adapter';
import { withCore } from '../../lora/lycoris';
import { LoraError, type Place, type Problem } from '../../shared/errors';
import { checkFinite } from '../checkFinite';
import {
  factorsOf,
  matrixOf,
  peftAdapter,
  refuseSameModule,
  type ImportedAdapter,
} from '../importedAdapter';
import { pathOfKohyaName } from '../kohya/names';
import { refuseSeveralAdapters } from '../peft/read';
import { withSafetensors, type SafetensorsFile } from '../safetensors/read';
import { holdsOther, refuseOtherAlgorithms } from './algorithm';
import { declaredScales, type DeclaredScale } from './settings';
import {
  isLycoris,
  readLycoris,
  refuseHuge,
  unetOf,
  type FileModule,
  type PartNames,
} from './lycoris';
import { hasDottedNames, kernelOf, loraTensor, otherMethod } from './tensors';
import { countOf } from '../../shared/values';

interface Reading {
  readonly source: SafetensorsFile;
  readonly declared: DeclaredScale;
  /** Modules of which nothing says the alpha. */
  readonly bare: string[];
}

/** The modules of a file. */
export interface FileModules {
  readonly modules: readonly FileModule[];
  /** They have dotted names, but kohya's factors. */
  readonly has_dotted_names: boolean;
  readonly warnings: readonly Problem[];
}

/**
 * An adapter in a single file: of kohya's scripts, Diffusers or ai-toolkit. kohya's names have
 * underscores for dots; those of a text encoder become the likeliest path, all others stay as they
 * are. LoHa, LoKr and Tucker become LoRA of a rank that holds them exactly. Errors:
 * LoraError('adapter') naming file and tensor.
 *
 * @param rename A module's path in the base, given the one in the file.
 */
export async function readLoraFile(
  file: string,
  rename: ((path: string) => string) | null,
): Promise<ImportedAdapter> {
  const { modules, has_dotted_names, warnings } = await readLoraModules(file, rename);
  const unet = unetOf(modules);
  const factors = modules.map((own) => (own.kind === 'lora' ? own.factors : own.expand(unet)));
  const dotted = has_dotted_names && { has_dotted_names };
  return { adapter: { ...peftAdapter(factors, null), ...dotted }, warnings };
}

/** The modules of such a file as they are stored; arguments and errors as `readLoraFile`. */
export function readLoraModules(
  file: string,
  rename: ((path: string) => string) | null,
): Promise<FileModules> {
  return withSafetensors(file, async (source) => {
    refuseOtherAlgorithms(source);
    const found = partsIn(source);
    const declared = declaredScales(source.header.metadata, file);
    const reading: Reading = { source, declared, bare: [] };
    const sources = new Map<string, string>();
    const has_dotted_names = hasDottedNames(source.tensors.keys());
    const pathOf = has_dotted_names ? (name: string) => name : pathOfKohyaName;
    const modules: FileModule[] = [];
    for (const [name, parts] of found) {
      const path = rename ? rename(name) : pathOf(name);
      refuseSameModule(sources.get(path), name, path, file);
      sources.set(path, name);
      modules.push(await readModule(reading, { name, path, parts }));
    }
    if (modules.length === 0)
      throw new LoraError('adapter', 'The file holds no LoRA tensors.', { place: { file } });
    return { modules, has_dotted_names, warnings: missingAlphas(reading, modules.length) };
  });
}

function missingAlphas({ bare, source: { file } }: Reading, count: number): Problem[] {
  if (bare.length === 0) return [];
  return [
    {
      severity: 'warning',
      message: `${bare.length} of ${countOf(count, 'module')} ${bare.length === 1 ? 'has' : 'have'} no alpha. It is assumed to be their rank, which makes their scale 1.`,
      place: { file },
    },
  ];
}

/** The tensors of each module. A tensor of none is refused: nothing of a file is left out. */
function partsIn(source: SafetensorsFile): ReadonlyMap<string, PartNames> {
  const found = new Map<string, PartNames>();
  for (const tensor of source.tensors.keys()) {
    const place = { file: source.file, tensor };
    const other = otherMethod(tensor);
    if (other !== null) throw holdsOther(other, place);
    const own = loraTensor(tensor);
    if (!own)
      throw new LoraError('adapter', 'The tensor is not part of a LoRA adapter.', {
        place,
        fix: 'Use an adapter of LoRA alone: the tensor would be lost.',
      });
    const parts = found.get(own.module);
    const twice = parts?.[own.part];
    if (twice !== undefined)
      throw new LoraError(
        'adapter',
        `${twice} and ${tensor} are the same tensor of ${own.module}.`,
        {
          place,
          fix: 'Save one adapter per file.',
        },
      );
    found.set(own.module, { ...parts, [own.part]: tensor });
  }
  refuseSeveralAdapters(source.tensors.keys(), () => source.file);
  return found;
}

/** A module's name in the file, its path, and its tensors. */
interface FoundModule {
  readonly name: string;
  readonly path: string;
  readonly parts: PartNames;
}

async function readModule(reading: Reading, own: FoundModule): Promise<FileModule> {
  const { parts } = own;
  if (!isLycoris(parts)) return { kind: 'lora', factors: await readLora(reading, own) };
  return readLycoris(reading.source, parts, {
    path: own.path,
    scalingFor: (rank) => lycorisScale(reading, own, rank),
    magnitudeFor: (out) => magnitudeOf(reading.source, parts.magnitude, out),
  });
}

async function lycorisScale(
  { source, bare }: Reading,
  { name, parts: { alpha, ...others } }: FoundModule,
  rank: number | null,
): Promise<number> {
  if (rank === null) return 1; // LyCORIS ignores alpha where neither factor is decomposed
  const A = Object.values(others)[0]!;
  const scale = await scaleOf(source, { A, alpha }, rank, null);
  if (scale === null) bare.push(name);
  return scale ?? 1;
}

async function readLora(
  { source, declared, bare }: Reading,
  { name, path, parts }: FoundModule,
): Promise<LoraFactors> {
  const read = async (tensor: string) => ({
    shape: source.tensors.get(tensor)!.shape,
    data: await source.readF32(tensor),
    place: { file: source.file, tensor },
  });
  const names = pairOf(source, name, parts);
  const [first, up] = [await read(names.A), await read(names.B)];
  const down = parts.mid === undefined ? first : withTucker(await read(parts.mid), first, path);
  const kernel = kernelOf(down.shape, up.shape);
  const [A, B] = [down, up].map(({ shape, data, place }) =>
    matrixOf(data, kernel ? [shape[0]!, shape.slice(1).reduce((n, d) => n * d, 1)] : shape, place),
  ) as [ReturnType<typeof matrixOf>, ReturnType<typeof matrixOf>];
  const scaling = await scaleOf(
    source,
    { ...names, alpha: parts.alpha },
    A.rows,
    declared(name, A.rows, names.A),
  );
  if (scaling === null) bare.push(name);
  return factorsOf({
    path,
    kind: kernel ? 'conv2d' : 'linear',
    A,
    B,
    scaling: scaling ?? 1,
    magnitude: await magnitudeOf(source, parts.magnitude, B.rows),
    ...(kernel && { kernel }),
  });
}

interface ReadTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly place: Place;
}

/** lora_down with a Tucker core before it: [r, in, height, width]. */
function withTucker(core: ReadTensor, down: ReadTensor, path: string): ReadTensor {
  const [r = 0, inner, height = 1, width = 1] = core.shape;
  const [rows = 0, columns = 0, ...kernel] = down.shape;
  if (core.shape.length !== 4 || inner !== rows || kernel.some((n) => n !== 1) || r === 0)
    throw new LoraError(
      'adapter',
      `The core of a Tucker decomposition of ${path} has the shape [${core.shape.join(', ')}], which does not fit lora_down's [${down.shape.join(', ')}].`,
      { place: core.place, fix: 'Save or download the adapter again.' },
    );
  refuseHuge({ path, place: core.place }, [r, columns * height * width]);
  const { data } = withCore(
    { rows: r, columns: core.data.length / r, data: checkFinite(core.data, core.place) },
    { rows, columns, data: checkFinite(down.data, down.place) },
  );
  return { shape: [r, columns, height, width], data, place: down.place };
}

function pairOf(
  { file }: SafetensorsFile,
  name: string,
  { A, B, ...others }: PartNames,
): { readonly A: string; readonly B: string } {
  if (A !== undefined && B !== undefined) return { A, B };
  const wanted = name.includes('.') ? 'lora_A and lora_B' : 'lora_down and lora_up';
  throw new LoraError('adapter', `Its partner is missing: ${name} needs both ${wanted}.`, {
    place: { file, tensor: A ?? B ?? Object.values(others)[0]! },
    fix: 'Save or download the adapter again.',
  });
}

/** The scale of a module: that of its alpha, else the declared one; null: nothing says it. */
async function scaleOf(
  source: SafetensorsFile,
  { A, alpha }: { readonly A: string; readonly alpha: string | undefined },
  rank: number,
  declared: number | null,
): Promise<number | null> {
  if (alpha === undefined || rank === 0) return declared;
  const place = { file: source.file, tensor: alpha };
  const { dtype } = source.tensors.get(alpha)!;
  const values = /^[IU]\d/.test(dtype) ? await source.readInts(alpha) : await source.readF32(alpha);
  const [value] = values;
  if (values.length !== 1 || !Number.isFinite(value))
    throw new LoraError(
      'adapter',
      `alpha must be one number, but ${values.length === 1 ? `it is ${value!}` : `there are ${values.length}`}.`,
      { place },
    );
  const scale = value === 0 ? 1 : value! / rank; // 0 stands for the rank in kohya's scripts
  if (declared === null || Math.abs(declared - scale) <= 1e-6 * Math.abs(scale)) return scale;
  throw new LoraError(
    'adapter',
    `${A} has the scale ${scale} by its alpha, but ${declared} by the settings in the file's header.`,
    { place, fix: 'Save or download the adapter again.' },
  );
}

/**
 * Whether a `dora_scale` is PEFT's magnitude vector: the norms of the rows of W + dW, of the shape
 * [out, 1] or [out, 1, 1, 1]. With [1, in], it stands for the columns, as norms or as means.
 */
const isPerOutput = ([first, ...others]: readonly number[], out_features: number): boolean =>
  first === out_features && others.length > 0 && others.every((n) => n === 1);

/** DoRA's magnitude vector [out]; null without DoRA. */
async function magnitudeOf(
  source: SafetensorsFile,
  tensor: string | undefined,
  out_features: number,
): Promise<Float32Array | null> {
  if (tensor === undefined) return null;
  const place = { file: source.file, tensor };
  const { shape } = source.tensors.get(tensor)!;
  if (tensor.endsWith('.dora_scale') && !isPerOutput(shape, out_features))
    throw new LoraError(
      'adapter',
      `The file holds DoRA whose dora_scale has the shape [${shape.join(', ')}], which is not supported: only a magnitude for each of the ${countOf(out_features, 'output')} is.`,
      { place, fix: 'Merge it into its base with the tool that made it.' },
    );
  const values = checkFinite(await source.readF32(tensor), place);
  if (values.length === out_features) return values;
  throw new LoraError(
    'adapter',
    `The magnitude vector must have ${countOf(out_features, 'element')}, but its shape is [${shape.join(', ')}].`,
    { place },
  );
}
