import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { patternValue } from '../../lora/patterns';
import { isModuleToSave } from '../../lora/modulesToSave';
import { matchTargets } from '../../lora/targets';
import { isOutputPath, type TiedPaths } from '../../lora/tying';
import {
  type Adapter,
  type AdapterConfig,
  type LoraFactors,
  type TrainedTensor,
  scalingOf,
} from '../../lora/adapter';
import { LoraError, type Problem } from '../../shared/errors';
import { isFile } from '../../common/fileStatus';
import { checkFinite, checkScale } from '../checkFinite';
import { withSafetensors, type SafetensorsFile } from '../safetensors/read';
import {
  checkAgainstBase,
  namesInShort,
  warning,
  type AdapterBase,
  type AdapterFiles,
} from './againstBase';
import { readAdapterConfig } from './config';
import { isTiedTo, tiedModules, tiedPaths, withTiedFactors, withTiedTensors } from './tying';
import { roleOf, type FactorRole } from './names';
import { unknownKeys, unsupported } from './variants';

/** The files of an adapter's folder. */
export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';

/** An adapter that was read. */
export interface ReadAdapter {
  readonly adapter: Adapter;
  /** What is unusual but not an error. */
  readonly warnings: readonly Problem[];
}

/**
 * Reads a LoRA adapter that PEFT saved, and checks that its parts fit together, and its base when
 * that is given. Format: PEFT's checkpoint format.
 *
 * @throws LoraError('adapter') naming file, tensor or key.
 */
export async function readPeftAdapter(folder: string, base?: AdapterBase): Promise<ReadAdapter> {
  const files = {
    config: path.join(folder, CONFIG_FILE),
    weights: path.join(folder, WEIGHTS_FILE),
  };
  if (!(await isFile(files.config)))
    throw new LoraError('adapter', `The folder is not a PEFT adapter: it has no ${CONFIG_FILE}.`, {
      place: { file: folder },
      fix: 'Name the folder that PEFT saved.',
    });
  const config = await readAdapterConfig(files.config);
  if (!(await isFile(files.weights))) throw await noWeights(folder);
  return withSafetensors(files.weights, async (source) => {
    const { found, trained, unknown, tied } = sortTensors(source, config, base);
    const all: LoraFactors[] = [];
    for (const [modulePath, names] of found)
      all.push(await factorsOf(modulePath, names, config, source));
    const stored = new Map([...found].map(([own, names]) => [own, names.stored]));
    const { wanted, warnings } = targeted(all, { stored, tied, config, files });
    const modules = withTiedFactors(wanted, tied, config, files);
    const odd = unknown.map((tensor) =>
      warning('The tensor is not part of a LoRA adapter and is ignored', {
        file: files.weights,
        tensor,
      }),
    );
    const isRenamed = wanted.some((m) => stored.get(m.path) !== m.path);
    const adapter: Adapter = {
      config: isRenamed ? { ...config, target_modules: modules.map((m) => m.path) } : config,
      modules,
      trained: withTiedTensors(await readTrained(trained, source), tied, files),
    };
    return {
      adapter,
      warnings: [
        ...unknownKeys(config.raw, files.config),
        ...odd,
        ...warnings,
        ...(base ? checkAgainstBase(adapter, base, files) : []),
      ],
    };
  });
}

async function noWeights(folder: string): Promise<LoraError> {
  const pickle = (await readdir(folder).catch((): string[] => [])).includes('adapter_model.bin');
  return new LoraError(
    'adapter',
    pickle
      ? "The adapter's weights exist only as adapter_model.bin, a pickle, which is not read because it can run code."
      : `The adapter has no ${WEIGHTS_FILE}.`,
    {
      place: { file: folder },
      fix: pickle ? 'Save the adapter again in safetensors.' : 'Copy or download the folder again.',
    },
  );
}

/** The names of a module's tensors in the file. */
interface Names {
  /** The module's path in the file, which may be an older one than the base's. */
  readonly stored: string;
  readonly embedding: boolean | null;
  readonly A?: string;
  readonly B?: string;
  readonly magnitude?: string;
}

interface Sorted {
  readonly found: ReadonlyMap<string, Names>;
  /** Fully trained tensors: name in the model to name in the file. */
  readonly trained: ReadonlyMap<string, string>;
  readonly unknown: readonly string[];
  readonly tied: TiedPaths | null;
}

function sortTensors(
  source: SafetensorsFile,
  config: AdapterConfig,
  base: AdapterBase | undefined,
): Sorted {
  const rename = base?.rename ?? ((own: string) => own);
  const roles = [...source.tensors.keys()].map((name) => ({ name, role: roleOf(name) }));
  const paths = roles.flatMap(({ role }) => (role.role === 'unknown' ? [] : [rename(role.path)]));
  const tied = tiedPaths(config, base, paths);
  const isSaved = (path: string) => isModuleToSave(path, config.modules_to_save);
  const replaced = base?.replaced ?? new Set(); // such tensors have become part of the base
  const isTrainedBeside = (path: string, tensor: 'weight' | 'bias') =>
    !replaced.has(`${path}.${tensor}`) && isTrained(path, tensor, config, base);
  const found = new Map<string, Names>();
  const trained = new Map<string, string>();
  const unknown: string[] = [];
  for (const { name, role } of roles) {
    if (role.role === 'unknown') unknown.push(name);
    if (role.role === 'variant') throw unsupported(role.name, { file: source.file, tensor: name });
    if (role.role === 'factor') {
      const path = rename(role.path);
      found.set(path, withFactor(found.get(path), role, name, source.file));
    }
    if (role.role === 'trained') {
      const path = rename(role.path);
      const target = `${path}.${role.tensor}`;
      const isToSave = isSaved(path) || isTiedTo(path, tied, isSaved);
      if (isToSave || isTrainedBeside(path, role.tensor)) trained.set(target, name);
      else if (!replaced.has(target)) unknown.push(name);
    }
  }
  return { found, trained, unknown, tied };
}

/** Whether the config says that the tensor is trained: as a bias, or by modules_to_save. */
export function isTrained(
  modulePath: string,
  tensor: 'weight' | 'bias',
  { bias, modules_to_save }: AdapterConfig,
  base: AdapterBase | undefined,
): boolean {
  if (tensor === 'bias' && bias !== 'none') return true;
  if (isModuleToSave(modulePath, modules_to_save)) return true;
  return (
    base?.heads?.some((head) => modulePath === head || modulePath.startsWith(`${head}.`)) ?? false
  );
}

async function readTrained(
  trained: ReadonlyMap<string, string>,
  source: SafetensorsFile,
): Promise<TrainedTensor[]> {
  const tensors: TrainedTensor[] = [];
  for (const [name, stored] of trained)
    tensors.push({
      name,
      shape: source.tensors.get(stored)!.shape,
      data: await finite(source, stored),
    });
  return tensors;
}

function withFactor(
  names: Names | undefined,
  { embedding, factor, path: modulePath }: FactorRole,
  tensor: string,
  file: string,
): Names {
  const mixed =
    names && embedding !== null && names.embedding !== null && names.embedding !== embedding;
  if (names?.[factor] !== undefined || mixed) {
    throw new LoraError(
      'adapter',
      `The file holds more than one lora_${factor} for ${modulePath}.`,
      { place: { file, tensor }, fix: 'Save one adapter per folder.' },
    );
  }
  return {
    ...names,
    stored: modulePath,
    embedding: embedding ?? names?.embedding ?? null,
    [factor]: tensor,
  };
}

const TOGETHER = 'Copy or download both files of the adapter again: they do not belong together.';

/** The names of a module whose A and B both exist. */
interface Pair extends Names {
  readonly A: string;
  readonly B: string;
}

async function factorsOf(
  modulePath: string,
  names: Names,
  config: AdapterConfig,
  source: SafetensorsFile,
): Promise<LoraFactors> {
  const pair = pairOf(modulePath, names, source);
  const isConv = isConvolution(pair, source);
  const [r, ...inner] = source.tensors.get(pair.A)!.shape as [number, ...number[]];
  const [out_features, rankOfB] = source.tensors.get(pair.B)!.shape as [number, number];
  if (r !== rankOfB)
    throw misfit(
      `The ranks of A and B differ: A has ${r} rows, B of ${modulePath} has ${rankOfB} columns.`,
      source,
      pair.A,
    );
  const expected = patternValue(config.rank_pattern, modulePath, config.r, 'rank_pattern');
  if (r !== expected)
    throw misfit(
      `The tensor has rank ${r}, but ${CONFIG_FILE} says r = ${expected}.`,
      source,
      pair.A,
    );
  const lora_alpha = patternValue(
    config.alpha_pattern,
    modulePath,
    config.lora_alpha,
    'alpha_pattern',
  );
  const place = { file: source.file, tensor: pair.A };
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
  if (isConv) return { ...factors, kind: 'conv2d', kernel: [inner[1]!, inner[2]!] };
  return { ...factors, kind: names.embedding ? 'embedding' : 'linear' };
}

function pairOf(modulePath: string, names: Names, source: SafetensorsFile): Pair {
  const { A, B, magnitude } = names;
  if (A !== undefined && B !== undefined) return { ...names, A, B };
  throw misfit(
    `Its partner is missing: ${modulePath} needs both lora_A and lora_B.`,
    source,
    A ?? B ?? magnitude ?? modulePath,
  );
}

/**
 * Whether the factors are those of a convolution: A [r, channels, height, width], B [out, r, 1, 1].
 *
 * @throws LoraError('adapter') when they are neither that nor matrices.
 */
function isConvolution({ A, B, embedding }: Pair, source: SafetensorsFile): boolean {
  const [a, b] = [source.tensors.get(A)!, source.tensors.get(B)!];
  if (a.shape.length === 4 && b.shape.length === 4 && embedding === false) {
    if (b.shape[2] === 1 && b.shape[3] === 1) return true;
    throw misfit(
      `lora_B of a convolution must have a kernel of 1 x 1, but its shape is [${b.shape.join(', ')}].`,
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
  source: SafetensorsFile,
): Promise<Float32Array | null> {
  if (magnitude === undefined) {
    if (!use_dora) return null;
    throw misfit(
      `${CONFIG_FILE} says use_dora, but ${stored} has no lora_magnitude_vector.`,
      source,
      A,
    );
  }
  if (!use_dora)
    throw misfit(
      `${stored} has a lora_magnitude_vector, but ${CONFIG_FILE} does not say use_dora.`,
      source,
      magnitude,
    );
  const values = await finite(source, magnitude);
  if (values.length === out_features) return values;
  const { shape } = source.tensors.get(magnitude)!;
  throw misfit(
    `The magnitude vector must have ${out_features} elements, but its shape is [${shape.join(', ')}].`,
    source,
    magnitude,
  );
}

/** The error of a tensor that doesn't fit the rest of the adapter. */
const misfit = (message: string, { file }: SafetensorsFile, tensor: string): LoraError =>
  new LoraError('adapter', message, { place: { file, tensor }, fix: TOGETHER });

async function finite(source: SafetensorsFile, tensor: string): Promise<Float32Array> {
  return checkFinite(await source.readF32(tensor), { file: source.file, tensor });
}

interface Targeting {
  /** The paths in the file of the base's paths. */
  readonly stored: ReadonlyMap<string, string>;
  readonly tied: TiedPaths | null;
  readonly config: AdapterConfig;
  readonly files: AdapterFiles;
}

/**
 * The modules that the config targets; PEFT doesn't load others.
 *
 * @throws LoraError('adapter') when there are none.
 */
function targeted(
  all: readonly LoraFactors[],
  { stored, tied, config, files }: Targeting,
): { readonly wanted: readonly LoraFactors[]; readonly warnings: readonly Problem[] } {
  if (all.length === 0)
    throw new LoraError('adapter', 'The file holds no LoRA tensors.', {
      place: { file: files.weights },
    });
  const place = { file: files.config, key: 'target_modules' };
  const candidates = all.map((m) => ({ ...m, path: stored.get(m.path) ?? m.path }));
  const named = [...candidates, ...tiedModules(tied, all)].map((m) => ({
    ...m,
    is_output: isOutputPath(m.path),
  }));
  const matchedPaths = new Set(matchTargets(named, config).matched.map((m) => m.path));
  const isMatched = (path: string) => matchedPaths.has(stored.get(path) ?? path);
  const isWanted = ({ path }: LoraFactors) => isMatched(path) || isTiedTo(path, tied, isMatched);
  const [wanted, others] = [all.filter(isWanted), all.filter((m) => !isWanted(m))];
  if (wanted.length === 0)
    throw new LoraError(
      'adapter',
      `target_modules names none of the modules in the weights file (${namesInShort(others.map((m) => m.path))}).`,
      { place, fix: TOGETHER },
    );
  return {
    wanted,
    warnings:
      others.length === 0
        ? []
        : [
            warning(
              `${namesInShort(others.map((m) => m.path))} has tensors in the weights file but is not in target_modules, so it is ignored, as in PEFT`,
              place,
            ),
          ],
  };
}
