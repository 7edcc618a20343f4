import path from 'node:path';
import { targetOf, withWholePaths, type WholePath } from '../../lora/wholePaths';
import { isModuleToSave } from '../../lora/modulesToSave';
import { looksAround, matchTargets } from '../../lora/targets';
import type { Adapter, AdapterConfig, LoraFactors, TrainedTensor } from '../../lora/adapter';
import { isOutputPath, type TiedPaths } from '../../lora/tying';
import { LoraError, type Problem } from '../../shared/errors';
import { isNamed } from '../../common/fileStatus';
import { withoutWrappers } from '../architecture/modulePath';
import {
  fitToBase,
  namesInShort,
  warning,
  type AdapterBase,
  type AdapterFiles,
  type FitOptions,
} from './againstBase';
import { DOTTED_NAMES } from '../kohya/names';
import { readAdapterConfig } from './config';
import { finite, readFactors, TOGETHER, type FactorNames, type ReadFactors } from './factors';
import { CONFIG_FILE, WEIGHTS_FILE } from './fileNames';
import { withAdapterWeights, type AdapterWeights } from './files';
import { adapterNames, roleOf, type FactorRole } from './names';
import { parameterOf, readExpertFactors } from './parameters';
import { readTokenRows } from './tokens';
import { unknownKeys, unsupported } from './variants';
import { isTiedTo, tiedModules, tiedPaths, withTiedFactors, withTiedTensors } from './tying';
import { countOf } from '../../shared/values';

/** An adapter that was read. */
export interface ReadAdapter {
  readonly adapter: Adapter;
  /** Warnings: unusual but not an error. */
  readonly warnings: readonly Problem[];
}

/**
 * Reads a LoRA adapter that PEFT saved, and checks that its parts fit together, and its base when
 * that is given. Format: PEFT's checkpoint format.
 *
 * @throws LoraError('adapter') naming file, tensor or key.
 */
export async function readPeftAdapter(
  folder: string,
  base?: AdapterBase,
  fit: FitOptions = {},
): Promise<ReadAdapter> {
  const config_file = path.join(folder, CONFIG_FILE);
  if (!(await isNamed(config_file)))
    throw new LoraError('adapter', `The folder is not a PEFT adapter: it has no ${CONFIG_FILE}.`, {
      place: { file: folder },
      fix: 'Name the folder that PEFT saved.',
    });
  const config = await readAdapterConfig(config_file);
  return withAdapterWeights(folder, async (source) => {
    const files = { config: config_file, weights: weightsFile(source, folder) };
    const { found, trained, tokens, unknown, tied } = sortTensors(source, config, base);
    const all: StoredModule[] = [];
    for (const modulePath of found.keys())
      all.push(...(await readModules(modulePath, found, { config, base }, source)));
    const { wanted, warnings } = targeted(all, { tied, config, files }, fit);
    const modules = withTiedFactors(
      wanted.map(({ factors }) => factors),
      tied,
      config,
      files,
    );
    const odd = unknown.map((tensor) =>
      warning('The tensor is not part of a LoRA adapter and is ignored', {
        file: source.fileOf(tensor),
        tensor,
      }),
    );
    const read: Adapter = {
      ...(isDotted(source) && { has_dotted_names: true }),
      config: configOf(config, wanted, modules),
      modules,
      trained: [
        ...withTiedTensors(await readTrained(trained, source), tied, files),
        ...(await readTokenRows(tokens, config, source, files.config)),
      ],
    };
    const warned = [...unknownKeys(config.raw, files.config), ...odd, ...warnings];
    if (!base) return { adapter: read, warnings: warned };
    const fitted = fitToBase(read, base, files, fit);
    return { ...fitted, warnings: [...warned, ...fitted.warnings] };
  });
}

/** Whether the adapter's modules had dotted names in a file with kohya's factors. */
const isDotted = ({ metadata }: AdapterWeights): boolean =>
  metadata['kohya_names'] === DOTTED_NAMES.kohya_names;

/** The file of the weights for messages: the only one, or one of several. */
const weightsFile = ({ tensors, fileOf }: AdapterWeights, folder: string): string => {
  const [first] = tensors.keys();
  return first === undefined ? path.join(folder, WEIGHTS_FILE) : fileOf(first);
};

/** A module of the file. */
interface StoredModule extends ReadFactors, FactorNames {
  /** Whether target_parameters selects it. */
  readonly isParameter?: true;
}

/** The module of a path in the file, or those of the experts that it stands for. */
async function readModules(
  modulePath: string,
  found: ReadonlyMap<string, FactorNames>,
  { config, base }: { readonly config: AdapterConfig; readonly base: AdapterBase | undefined },
  source: AdapterWeights,
): Promise<StoredModule[]> {
  const names = found.get(modulePath)!;
  const parameter = parameterOf(modulePath, found, config);
  if (!parameter) return [{ ...(await readFactors(modulePath, names, config, source)), ...names }];
  const { module, name } = parameter;
  const containers = [...names.stored.map((own) => own.replace(/\.base_layer$/, '')), module];
  const own = { ...names, patterns: containers.map((container) => `${container}.${name}`) };
  const read =
    name === 'weight'
      ? [await readFactors(module, own, config, source)]
      : await readExpertFactors({ module, parameter: name }, own, { config, base }, source);
  return read.map((own) => ({ ...own, ...names, stored: [own.factors.path], isParameter: true }));
}

/** The config, which names the modules as they are called here. */
function configOf(
  config: AdapterConfig,
  stored: readonly StoredModule[],
  modules: readonly LoraFactors[],
): AdapterConfig {
  const isRenamed = stored.some((own) => own.stored[0] !== own.factors.path);
  if (!isRenamed && areSupported(config)) return config;
  const alphas = new Map(stored.map(({ factors, lora_alpha }) => [factors.path, lora_alpha]));
  return withWholePaths(
    config,
    modules.map((m): WholePath => {
      const target = targetOf(m, config.use_rslora);
      return { ...target, lora_alpha: alphas.get(m.path) ?? target.lora_alpha };
    }),
  );
}

interface Sorted {
  readonly found: ReadonlyMap<string, FactorNames>;
  /** Fully trained tensors: name in the model to name in the file. */
  readonly trained: ReadonlyMap<string, string>;
  /** Rows of tokens: path in the model to name in the file. */
  readonly tokens: ReadonlyMap<string, string>;
  readonly unknown: readonly string[];
  readonly tied: TiedPaths | null;
}

function sortTensors(
  source: AdapterWeights,
  config: AdapterConfig,
  base: AdapterBase | undefined,
): Sorted {
  const rename = base?.rename ?? withoutWrappers;
  const roles = [...source.tensors.keys()].map((name) => ({ name, role: roleOf(name) }));
  const paths = roles.flatMap(({ role }) => (role.role === 'unknown' ? [] : [rename(role.path)]));
  const tied = tiedPaths(config, base, paths);
  const isSaved = (own: string) => isModuleToSave(own, config.modules_to_save);
  const replaced = base?.replaced ?? new Set(); // such tensors have become part of the base
  const isTrainedBeside = (own: string, tensor: 'weight' | 'bias') =>
    !replaced.has(`${own}.${tensor}`) && isTrained(own, tensor, config, base);
  const found = new Map<string, FactorNames>();
  const trained = new Map<string, string>();
  const tokens = new Map<string, string>();
  const unknown: string[] = [];
  for (const { name, role } of roles) {
    if (role.role === 'unknown') unknown.push(name);
    if (role.role === 'variant')
      throw unsupported(role.name, { file: source.fileOf(name), tensor: name });
    if (role.role === 'factor') {
      const path = rename(role.path);
      found.set(path, withFactor(found.get(path), role, name, { path, source }));
    }
    if (role.role === 'tokens') {
      const path = rename(role.path);
      tokens.set(path, onlyOne(tokens.get(path), name, path, source));
    }
    if (role.role === 'trained') {
      const path = rename(role.path);
      const target = `${path}.${role.tensor}`;
      const isToSave = isSaved(path) || isTiedTo(path, tied, isSaved);
      if (isToSave || isTrainedBeside(path, role.tensor))
        trained.set(target, onlyOne(trained.get(target), name, target, source));
      else if (!replaced.has(target)) unknown.push(name);
    }
  }
  refuseSeveralAdapters(source.tensors.keys(), source.fileOf);
  return { found, trained, tokens, unknown, tied };
}

/**
 * Refuses factors of several adapters, of which the A of one would be used with the B of another.
 *
 * @throws LoraError('adapter') naming the adapters.
 */
export function refuseSeveralAdapters(
  tensors: Iterable<string>,
  fileOf: (tensor: string) => string,
): void {
  const names = adapterNames(tensors);
  if (names.size < 2) return;
  const [[first], [second, tensor]] = [...names] as [[string, string], [string, string]];
  throw new LoraError(
    'adapter',
    `The file holds tensors of several adapters: "${first}" and "${second}".`,
    { place: { file: fileOf(tensor), tensor }, fix: 'Save one adapter per file.' },
  );
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
  source: AdapterWeights,
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

/** @throws LoraError('adapter') when another tensor of the file is the same tensor of the model. */
function onlyOne(
  other: string | undefined,
  tensor: string,
  target: string,
  { fileOf }: AdapterWeights,
): string {
  // PEFT saves a module both ways when tokens were added
  const plain = (name: string) => name.replace(/\.modules_to_save(?=\.)/, '');
  if (other === undefined || plain(other) === plain(tensor)) return tensor;
  throw new LoraError('adapter', `${other} and ${tensor} are both ${target} here.`, {
    place: { file: fileOf(tensor), tensor },
    fix: 'Save one adapter per folder.',
  });
}

function withFactor(
  names: FactorNames | undefined,
  { embedding, factor, path: stored }: FactorRole,
  tensor: string,
  { path: modulePath, source }: { readonly path: string; readonly source: AdapterWeights },
): FactorNames {
  const mixed =
    names && embedding !== null && names.embedding !== null && names.embedding !== embedding;
  if (names?.[factor] !== undefined || mixed) {
    const other = names[factor];
    const both =
      other === undefined || names.stored[0] === stored ? '' : `: ${other} and ${tensor}`;
    throw new LoraError(
      'adapter',
      `The file holds more than one lora_${factor} for ${modulePath}${both}.`,
      { place: { file: source.fileOf(tensor), tensor }, fix: 'Save one adapter per folder.' },
    );
  }
  return {
    ...names,
    stored: [stored, withoutWrappers(stored)],
    embedding: embedding ?? names?.embedding ?? null,
    [factor]: tensor,
  };
}

/** Whether the expressions that select modules can be evaluated. */
const areSupported = ({ target_modules, exclude_modules, layers_pattern }: AdapterConfig) =>
  [target_modules, exclude_modules ?? [], ...[layers_pattern ?? []].flat()].every(
    (own) => typeof own !== 'string' || !looksAround(own),
  );

/**
 * The modules that the config targets; PEFT doesn't load others. When its expressions cannot be
 * evaluated, all modules of the file: PEFT saves those that it adapts.
 */
function isTargeted(
  modules: readonly StoredModule[],
  tied: TiedPaths | null,
  config: AdapterConfig,
): (own: StoredModule) => boolean {
  if (!areSupported(config)) return () => true;
  const pathsOf = ({ factors, stored }: StoredModule) => [...stored, factors.path];
  const spellings = modules.flatMap((own) =>
    pathsOf(own).map((spelling) => ({
      ...own.factors,
      path: spelling,
      is_output: isOutputPath(own.factors.path),
    })),
  );
  const shared = tiedModules(
    tied,
    modules.map(({ factors }) => factors),
  );
  const candidates = [
    ...spellings,
    ...shared.map((m) => ({ ...m, is_output: isOutputPath(m.path) })),
  ];
  const matched = new Set(matchTargets(candidates, config).matched.map((m) => m.path));
  const isMatched = (spelling: string) => matched.has(spelling);
  return (own) => pathsOf(own).some(isMatched) || isTiedTo(own.factors.path, tied, isMatched);
}

interface Targeting {
  readonly tied: TiedPaths | null;
  readonly config: AdapterConfig;
  readonly files: AdapterFiles;
}

/**
 * The modules of the file that the config targets.
 *
 * @throws LoraError('adapter') when there are none, or others that must not be left out.
 */
function targeted(
  all: readonly StoredModule[],
  { tied, config, files }: Targeting,
  { partial }: FitOptions,
): { readonly wanted: readonly StoredModule[]; readonly warnings: readonly Problem[] } {
  if (all.length === 0)
    throw new LoraError('adapter', 'The file holds no LoRA tensors.', {
      place: { file: files.weights },
    });
  const place = { file: files.config, key: 'target_modules' };
  const isListed = isTargeted(all, tied, config);
  const isWanted = (own: StoredModule) => own.isParameter === true || isListed(own);
  const [wanted, others] = [all.filter(isWanted), all.filter((own) => !isWanted(own))];
  const names = namesInShort(others.map(({ factors }) => factors.path));
  if (wanted.length === 0)
    throw new LoraError(
      'adapter',
      `target_modules names none of the modules in the weights file (${names}).`,
      { place, fix: TOGETHER },
    );
  if (others.length === 0) return { wanted, warnings: [] };
  const [has, is, it] = others.length === 1 ? ['has', 'is', 'it is'] : ['have', 'are', 'they are'];
  const what = `${names} ${has} tensors in the weights file but ${is} not in target_modules`;
  if (partial !== false)
    return { wanted, warnings: [warning(`${what}, so ${it} ignored, as in PEFT`, place)] };
  throw new LoraError(
    'adapter',
    `${what}: only ${wanted.length} of ${countOf(all.length, 'module')} would be used.`,
    {
      place,
      fix: 'Correct target_modules, or leave the others out where the command can (--partial).',
    },
  );
}
