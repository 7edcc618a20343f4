import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { patternValue } from '../../lora/patterns';
import { isModuleToSave } from '../../lora/modulesToSave';
import { matchTargets } from '../../lora/targets';
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
  listed,
  warning,
  type AdapterBase,
  type AdapterFiles,
} from './againstBase';
import { readAdapterConfig } from './config';
import { roleOf, type FactorRole } from './names';

export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';

export interface ReadAdapter {
  readonly adapter: Adapter;
  /** What is odd but usable. */
  readonly warnings: readonly Problem[];
}

/**
 * Reads a PEFT LoRA adapter and checks it as a whole, against its base where one is given. Errors:
 * LoraError('adapter') naming file, tensor or key.
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
    const rename = base?.rename ?? ((own: string) => own);
    const { found, trained, unknown } = sortTensors(source, rename, config, base);
    const all: LoraFactors[] = [];
    for (const [modulePath, names] of found)
      all.push(await factorsOf(modulePath, names, config, source));
    const stored = new Map([...found].map(([own, names]) => [own, names.stored]));
    const { modules, warnings } = targeted(all, stored, config, files);
    const odd = unknown.map((tensor) =>
      warning('The tensor is no part of a LoRA adapter and is left out', {
        file: files.weights,
        tensor,
      }),
    );
    const isRenamed = modules.some((m) => stored.get(m.path) !== m.path);
    const adapter: Adapter = {
      config: isRenamed ? { ...config, target_modules: modules.map((m) => m.path) } : config,
      modules,
      trained: await readTrained(trained, source),
    };
    return {
      adapter,
      warnings: [...odd, ...warnings, ...(base ? checkAgainstBase(adapter, base, files) : [])],
    };
  });
}

async function noWeights(folder: string): Promise<LoraError> {
  const pickle = (await readdir(folder).catch((): string[] => [])).includes('adapter_model.bin');
  return new LoraError(
    'adapter',
    pickle
      ? "The adapter's weights are only there as adapter_model.bin, a pickle, which is not read because it can run code."
      : `The adapter has no ${WEIGHTS_FILE}.`,
    {
      place: { file: folder },
      fix: pickle ? 'Save the adapter again in safetensors.' : 'Copy or download the folder again.',
    },
  );
}

/** Names of the tensors of a module. */
interface Names {
  /** The module's path in the file, where that is older than the base's. */
  readonly stored: string;
  readonly embedding: boolean | null;
  readonly A?: string;
  readonly B?: string;
  readonly magnitude?: string;
}

interface Sorted {
  readonly found: ReadonlyMap<string, Names>;
  /** Tensors of the model itself: their names in it, and in the file. */
  readonly trained: ReadonlyMap<string, string>;
  readonly unknown: readonly string[];
}

function sortTensors(
  source: SafetensorsFile,
  rename: (path: string) => string,
  config: AdapterConfig,
  base: AdapterBase | undefined,
): Sorted {
  const found = new Map<string, Names>();
  const trained = new Map<string, string>();
  const unknown: string[] = [];
  for (const name of source.tensors.keys()) {
    const role = roleOf(name);
    if (role.role === 'factor') {
      const path = rename(role.path);
      found.set(path, withFactor(found.get(path), role, name, source.file));
    } else if (
      role.role === 'trained' &&
      !isModuleToSave(rename(role.path), config.modules_to_save) &&
      base?.replaced?.has(`${rename(role.path)}.${role.tensor}`)
    )
      continue;
    else if (role.role === 'trained' && isTrained(rename(role.path), role.tensor, config, base))
      trained.set(`${rename(role.path)}.${role.tensor}`, name);
    else if (role.role !== 'base') unknown.push(name);
  }
  return { found, trained, unknown };
}

/**
 * Whether the config has such a tensor trained: as a bias, or as part of a module in
 * modules_to_save.
 */
function isTrained(
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
      { place: { file, tensor }, fix: 'Save one adapter a folder.' },
    );
  }
  return {
    ...names,
    stored: modulePath,
    embedding: embedding ?? names?.embedding ?? null,
    [factor]: tensor,
  };
}

const TOGETHER =
  'Copy or download both files of the adapter again: as they are, they do not belong together.';

async function factorsOf(
  modulePath: string,
  names: Names,
  config: AdapterConfig,
  source: SafetensorsFile,
): Promise<LoraFactors> {
  const fail = (message: string, tensor: string) =>
    new LoraError('adapter', message, { place: { file: source.file, tensor }, fix: TOGETHER });
  if (names.A === undefined || names.B === undefined) {
    throw fail(
      `Its partner is missing: ${modulePath} needs both lora_A and lora_B.`,
      names.A ?? names.B ?? names.magnitude ?? modulePath,
    );
  }
  const [a, b] = [source.tensors.get(names.A)!, source.tensors.get(names.B)!];
  const isConv = a.shape.length === 4 && b.shape.length === 4 && names.embedding === false;
  if (!isConv)
    for (const { name, shape } of [a, b])
      if (shape.length !== 2)
        throw fail(`A factor must be a matrix, but its shape is [${shape.join(', ')}].`, name);
  if (isConv && (b.shape[2] !== 1 || b.shape[3] !== 1))
    throw fail(
      `lora_B of a convolution must have a kernel of 1 x 1, but its shape is [${b.shape.join(', ')}].`,
      names.B,
    );
  const [r, ...inner] = a.shape as [number, ...number[]];
  const [out_features, rB] = b.shape as [number, number];
  if (r !== rB)
    throw fail(
      `The ranks of A and B differ: A has ${r} rows, B of ${modulePath} has ${rB} columns.`,
      names.A,
    );
  const expected = patternValue(config.rank_pattern, modulePath, config.r);
  if (r !== expected)
    throw fail(`The tensor has rank ${r}, but ${CONFIG_FILE} says r = ${expected}.`, names.A);
  return {
    path: modulePath,
    kind: isConv ? 'conv2d' : names.embedding ? 'embedding' : 'linear',
    r,
    in_features: inner.reduce((n, d) => n * d, 1),
    out_features,
    scaling: checkScale(
      scalingOf(
        r,
        patternValue(config.alpha_pattern, modulePath, config.lora_alpha),
        config.use_rslora,
      ),
      modulePath,
      { file: source.file, tensor: names.A },
    ),
    A: await finite(source, names.A),
    B: await finite(source, names.B),
    magnitude: await magnitudeOf(modulePath, names, out_features, config, source),
    ...(isConv && { kernel: [inner[1]!, inner[2]!] as const }),
  };
}

/** DoRA's lengths of the rows; null without DoRA. */
async function magnitudeOf(
  modulePath: string,
  { magnitude, A }: Names,
  out_features: number,
  { use_dora }: AdapterConfig,
  source: SafetensorsFile,
): Promise<Float32Array | null> {
  const fail = (message: string, tensor: string) =>
    new LoraError('adapter', message, { place: { file: source.file, tensor }, fix: TOGETHER });
  if (magnitude === undefined) {
    if (use_dora)
      throw fail(
        `${CONFIG_FILE} says use_dora, but ${modulePath} has no lora_magnitude_vector.`,
        A ?? modulePath,
      );
    return null;
  }
  if (!use_dora)
    throw fail(
      `${modulePath} has a lora_magnitude_vector, but ${CONFIG_FILE} does not say use_dora.`,
      magnitude,
    );
  const values = await finite(source, magnitude);
  const { shape } = source.tensors.get(magnitude)!;
  if (values.length !== out_features)
    throw fail(
      `${out_features} lengths are needed, the shape is [${shape.join(', ')}].`,
      magnitude,
    );
  return values;
}

async function finite(source: SafetensorsFile, tensor: string): Promise<Float32Array> {
  return checkFinite(await source.readF32(tensor), { file: source.file, tensor });
}

/**
 * The modules that the config targets; PEFT loads no others. Errors: LoraError where none is left.
 */
function targeted(
  all: readonly LoraFactors[],
  stored: ReadonlyMap<string, string>,
  config: AdapterConfig,
  files: AdapterFiles,
): { readonly modules: readonly LoraFactors[]; readonly warnings: readonly Problem[] } {
  if (all.length === 0)
    throw new LoraError('adapter', 'The file holds no LoRA tensors.', {
      place: { file: files.weights },
    });
  const place = { file: files.config, key: 'target_modules' };
  const { matched } = matchTargets(
    all.map((m) => ({ ...m, path: stored.get(m.path) ?? m.path, is_output: m.path === 'lm_head' })),
    config,
  );
  const wanted = new Set(matched.map((m) => m.path));
  const isWanted = (m: LoraFactors) => wanted.has(stored.get(m.path) ?? m.path);
  const [modules, others] = [all.filter(isWanted), all.filter((m) => !isWanted(m))];
  if (modules.length === 0)
    throw new LoraError(
      'adapter',
      `target_modules names none of the modules in the weights file (${listed(others.map((m) => m.path))}).`,
      { place, fix: TOGETHER },
    );
  refuseTying(modules, config, files.config);
  return {
    modules,
    warnings:
      others.length === 0
        ? []
        : [
            warning(
              `${listed(others.map((m) => m.path))} has tensors in the weights file, but target_modules does not name it: left out, as PEFT does`,
              place,
            ),
          ],
  };
}

function refuseTying(modules: readonly LoraFactors[], { raw }: AdapterConfig, file: string): void {
  if (
    raw['ensure_weight_tying'] !== true ||
    !modules.some((m) => m.kind === 'embedding' || m.path === 'lm_head')
  )
    return;
  throw new LoraError(
    'adapter',
    "The adapter ties the embedding's update to the output layer's (ensure_weight_tying), which is not supported.",
    { place: { file, key: 'ensure_weight_tying' } },
  );
}
