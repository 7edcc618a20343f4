import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { patternValue } from '../../lora/patterns';
import { scalingOf } from '../../lora/scaling';
import { matchTargets, type MatchedTargets } from '../../lora/targets';
import type { Adapter, AdapterConfig, LoraFactors, TargetableModule } from '../../lora/types';
import { LoraError, type Problem } from '../../shared/errors';
import { withSafetensors, type SafetensorsFile } from '../safetensors/read';
import { readAdapterConfig } from './config';
import { roleOf } from './names';

export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';

export interface ReadAdapter {
  readonly adapter: Adapter;
  /** What is odd but usable. */
  readonly warnings: readonly Problem[];
}

/** The base that an adapter is to be held against. */
export interface AdapterBase {
  readonly modules: readonly TargetableModule[];
  /** Names that the base is known by: its own, its path. */
  readonly names: readonly string[];
}

/** Reads a PEFT LoRA adapter and checks it as a whole, against its base where one is given. Errors: LoraError('adapter') naming file, tensor or key. */
export async function readPeftAdapter(folder: string, base?: AdapterBase): Promise<ReadAdapter> {
  const config = await readAdapterConfig(await configFile(folder));
  const file = path.join(folder, WEIGHTS_FILE);
  if (!await isFile(file)) throw await noWeights(folder);
  return withSafetensors(file, async (source) => {
    const pairs = pairUp(source);
    const modules: LoraFactors[] = [];
    for (const [modulePath, pair] of pairs.modules) modules.push(await factorsOf(modulePath, pair, config, source));
    if (modules.length === 0) throw new LoraError('adapter', 'The file holds no LoRA tensors.', { place: { file } });
    const warnings = [...pairs.unknown.map((tensor) => warning(`is no part of a LoRA adapter and is left out`, { file, tensor }))];
    if (base) warnings.push(...againstBase(modules, config, base, folder));
    return { adapter: { config, modules }, warnings };
  });
}

async function configFile(folder: string): Promise<string> {
  const file = path.join(folder, CONFIG_FILE);
  if (!await isFile(file)) throw new LoraError('adapter', `The folder is not a PEFT adapter: it has no ${CONFIG_FILE}.`, { place: { file: folder }, fix: 'Name the folder that PEFT saved.' });
  return file;
}

async function noWeights(folder: string): Promise<LoraError> {
  const pickle = (await readdir(folder)).includes('adapter_model.bin');
  return new LoraError('adapter', pickle
    ? 'The adapter\'s weights are only there as adapter_model.bin, a pickle, which is not read because it can run code.'
    : `The adapter has no ${WEIGHTS_FILE}.`, { place: { file: folder }, fix: pickle ? 'Save the adapter again in safetensors.' : 'Copy or download the folder again.' });
}

interface Pair {
  readonly kind: LoraFactors['kind'];
  A?: string;
  B?: string;
}

function pairUp(source: SafetensorsFile): { readonly modules: ReadonlyMap<string, Pair>; readonly unknown: readonly string[] } {
  const modules = new Map<string, Pair>();
  const unknown: string[] = [];
  for (const name of source.tensors.keys()) {
    const role = roleOf(name);
    if (role.role === 'unknown') unknown.push(name);
    if (role.role !== 'A' && role.role !== 'B') continue;
    const pair = modules.get(role.path) ?? { kind: role.kind };
    pair[role.role] = name;
    modules.set(role.path, pair);
  }
  return { modules, unknown };
}

async function factorsOf(modulePath: string, pair: Pair, config: AdapterConfig, source: SafetensorsFile): Promise<LoraFactors> {
  const { file } = source;
  const fail = (message: string, tensor: string) => new LoraError('adapter', message, { place: { file, tensor } });
  if (pair.A === undefined || pair.B === undefined) {
    throw fail(`Its partner is missing: ${modulePath} needs both lora_A and lora_B.`, pair.A ?? pair.B ?? modulePath);
  }
  const [a, b] = [source.tensors.get(pair.A)!, source.tensors.get(pair.B)!];
  for (const { name, shape } of [a, b]) if (shape.length !== 2) throw fail(`A factor must be a matrix, but its shape is [${shape.join(', ')}].`, name);
  const [r, in_features] = a.shape as [number, number];
  const [out_features, rB] = b.shape as [number, number];
  if (r !== rB) throw fail(`The ranks of A and B differ: A has ${r} rows, B of ${modulePath} has ${rB} columns.`, pair.A);
  const expected = patternValue(config.rank_pattern, modulePath, config.r);
  if (r !== expected) throw fail(`The tensor has rank ${r}, but ${CONFIG_FILE} says r = ${expected}.`, pair.A);
  const scaling = scalingOf(r, patternValue(config.alpha_pattern, modulePath, config.lora_alpha), config.use_rslora);
  const [A, B] = [await finite(source, pair.A), await finite(source, pair.B)];
  return { path: modulePath, kind: pair.kind, r, in_features, out_features, scaling, A, B };
}

async function finite(source: SafetensorsFile, tensor: string): Promise<Float32Array> {
  const values = await source.readF32(tensor);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return values;
  throw new LoraError('adapter', `Element ${bad} is ${values[bad]!}, so the adapter cannot be used.`, { place: { file: source.file, tensor }, fix: 'The training that made it went wrong: use an earlier checkpoint.' });
}

function againstBase(modules: readonly LoraFactors[], config: AdapterConfig, base: AdapterBase, folder: string): Problem[] {
  const known = new Map(base.modules.map((m) => [m.path, m]));
  const weights = path.join(folder, WEIGHTS_FILE);
  for (const { path: name, in_features, out_features } of modules) {
    const module = known.get(name);
    if (!module) throw new LoraError('adapter', `The adapter changes ${name}, which the base does not have.`, { place: { file: weights }, fix: 'Use the base that the adapter was trained on.' });
    if (module.in_features !== in_features || module.out_features !== out_features) {
      throw new LoraError('adapter', `The adapter does not fit this base: ${name} is ${out_features} x ${in_features} in the adapter, ${module.out_features} x ${module.in_features} in the base.`, {
        place: { file: weights }, fix: 'Use the base that the adapter was trained on.',
      });
    }
  }
  const configPath = path.join(folder, CONFIG_FILE);
  const { matched, unmatched } = targetsOf(base, config, configPath);
  if (matched.length === 0) {
    throw new LoraError('adapter', `No module of the base fits target_modules${unmatched[0] ? `: there is no ${unmatched.map((u) => u.name).join(', ')}` : ''}.`, { place: { file: configPath, key: 'target_modules' } });
  }
  const present = new Set(modules.map((m) => m.path));
  const absent = matched.filter((m) => !present.has(m.path)).map((m) => m.path);
  const warnings = absent.length === 0 ? [] : [warning(`${listed(absent)} should be adapted as target_modules says, but the weights file has no tensors for it`, { file: configPath, key: 'target_modules' })];
  const name = config.base_model_name_or_path;
  if (name !== null && !base.names.some((own) => sameModel(own, name))) {
    warnings.push(warning(`The adapter was made for ${name}, this base is ${base.names[0] ?? 'another'}; the shapes fit`, { file: configPath, key: 'base_model_name_or_path' }));
  }
  return warnings;
}

function targetsOf(base: AdapterBase, config: AdapterConfig, file: string): MatchedTargets {
  try {
    return matchTargets(base.modules, config);
  } catch (error) {
    throw new LoraError('adapter', error instanceof Error ? error.message : String(error), { place: { file, key: 'target_modules' }, cause: error });
  }
}

const listed = (names: readonly string[]) => (names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', '));

/** Compared by the last part of the name: HuggingFaceTB/SmolLM2-135M and SmolLM2-135M.Q4_1.gguf are the same model. */
function sameModel(a: string, b: string): boolean {
  const [x, y] = [a, b].map((name) => (name.split(/[\\/]/).filter(Boolean).at(-1) ?? '').toLowerCase().replace(/[^a-z0-9]/g, ''));
  return Boolean(x && y) && (x!.startsWith(y!) || y!.startsWith(x!));
}

function warning(message: string, place: Problem['place']): Problem {
  return { severity: 'warning', message: `${message}.`, ...(place && { place }) };
}

const isFile = (file: string) => stat(file).then((s) => s.isFile(), () => false);
