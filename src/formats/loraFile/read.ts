import type { LoraFactors } from '../../lora/adapter';
import { LoraError, type Problem } from '../../shared/errors';
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
import { refuseOtherAlgorithms } from './algorithm';
import { declaredScales, type DeclaredScale } from './settings';
import { hasDottedNames, kernelOf, loraTensor, otherMethod, type Part } from './tensors';
import { countOf } from '../../shared/values';

/** The names of a module's tensors. */
type PartNames = Readonly<Partial<Record<Part, string>>>;

interface Reading {
  readonly source: SafetensorsFile;
  readonly declared: DeclaredScale;
  /** Modules of which nothing says the alpha. */
  readonly bare: string[];
}

/**
 * An adapter in a single file: of kohya's scripts, Diffusers or ai-toolkit. kohya's names have
 * underscores for dots; those of a text encoder become the likeliest path, all others stay as they
 * are. Errors: LoraError('adapter') naming file and tensor.
 *
 * @param rename A module's path in the base, given the one in the file.
 */
export function readLoraFile(
  file: string,
  rename: ((path: string) => string) | null,
): Promise<ImportedAdapter> {
  return withSafetensors(file, async (source) => {
    refuseOtherAlgorithms(source);
    const { found, warnings } = partsIn(source);
    const declared = declaredScales(source.header.metadata, file);
    const reading: Reading = { source, declared, bare: [] };
    const sources = new Map<string, string>();
    const has_dotted_names = hasDottedNames(source.tensors.keys());
    const pathOf = has_dotted_names ? (name: string) => name : pathOfKohyaName;
    const modules: LoraFactors[] = [];
    for (const [name, parts] of found) {
      const path = rename ? rename(name) : pathOf(name);
      refuseSameModule(sources.get(path), name, path, file);
      sources.set(path, name);
      modules.push(await readModule(reading, name, path, parts));
    }
    if (modules.length === 0)
      throw new LoraError('adapter', 'The file holds no LoRA tensors.', { place: { file } });
    return {
      adapter: { ...peftAdapter(modules, null), ...(has_dotted_names && { has_dotted_names }) },
      warnings: [...warnings, ...missingAlphas(reading, modules.length)],
    };
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

function partsIn(source: SafetensorsFile): {
  readonly found: ReadonlyMap<string, PartNames>;
  readonly warnings: readonly Problem[];
} {
  const found = new Map<string, PartNames>();
  const warnings: Problem[] = [];
  for (const tensor of source.tensors.keys()) {
    const place = { file: source.file, tensor };
    const other = otherMethod(tensor);
    if (other !== null)
      throw new LoraError('adapter', `The file holds ${other}, which is not supported.`, {
        place,
        fix: 'Merge it into its base with the tool that made it.',
      });
    const own = loraTensor(tensor);
    if (!own) {
      const message = 'The tensor is not part of a LoRA adapter and is ignored.';
      warnings.push({ severity: 'warning', message, place });
      continue;
    }
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
  return { found, warnings };
}

async function readModule(
  { source, declared, bare }: Reading,
  name: string,
  path: string,
  parts: PartNames,
): Promise<LoraFactors> {
  const read = async (tensor: string) => ({
    shape: source.tensors.get(tensor)!.shape,
    data: await source.readF32(tensor),
    place: { file: source.file, tensor },
  });
  const names = pairOf(source, name, parts);
  const [down, up] = [await read(names.A), await read(names.B)];
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

function pairOf(
  { file }: SafetensorsFile,
  name: string,
  { A, B, alpha, magnitude }: PartNames,
): { readonly A: string; readonly B: string } {
  if (A !== undefined && B !== undefined) return { A, B };
  const wanted = name.includes('.') ? 'lora_A and lora_B' : 'lora_down and lora_up';
  throw new LoraError('adapter', `Its partner is missing: ${name} needs both ${wanted}.`, {
    place: { file, tensor: A ?? B ?? magnitude ?? alpha! },
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
