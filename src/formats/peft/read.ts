import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { patternValue } from '../../lora/patterns';
import { scalingOf } from '../../lora/scaling';
import { matchTargets } from '../../lora/targets';
import type { Adapter, AdapterConfig, LoraFactors } from '../../lora/types';
import { LoraError, type Problem } from '../../shared/errors';
import { isFile } from '../files';
import { withSafetensors, type SafetensorsFile } from '../safetensors/read';
import { checkAgainstBase, listed, warning, type AdapterBase, type AdapterFiles } from './againstBase';
import { readAdapterConfig } from './config';
import { roleOf, type FactorRole } from './names';

export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';

export interface ReadAdapter {
  readonly adapter: Adapter;
  /** What is odd but usable. */
  readonly warnings: readonly Problem[];
}

/** Reads a PEFT LoRA adapter and checks it as a whole, against its base where one is given. Errors: LoraError('adapter') naming file, tensor or key. */
export async function readPeftAdapter(folder: string, base?: AdapterBase): Promise<ReadAdapter> {
  const files = { config: path.join(folder, CONFIG_FILE), weights: path.join(folder, WEIGHTS_FILE) };
  if (!await isFile(files.config)) throw new LoraError('adapter', `The folder is not a PEFT adapter: it has no ${CONFIG_FILE}.`, { place: { file: folder }, fix: 'Name the folder that PEFT saved.' });
  const config = await readAdapterConfig(files.config);
  if (!await isFile(files.weights)) throw await noWeights(folder);
  return withSafetensors(files.weights, async (source) => {
    const { pairs, unknown } = pairUp(source);
    const all: LoraFactors[] = [];
    for (const [modulePath, pair] of pairs) all.push(await factorsOf(modulePath, pair, config, source));
    const { modules, warnings } = targeted(all, config, files);
    const odd = unknown.map((tensor) => warning('The tensor is no part of a LoRA adapter and is left out', { file: files.weights, tensor }));
    return { adapter: { config, modules }, warnings: [...odd, ...warnings, ...(base ? checkAgainstBase(modules, config, base, files) : [])] };
  });
}

async function noWeights(folder: string): Promise<LoraError> {
  const pickle = (await readdir(folder).catch((): string[] => [])).includes('adapter_model.bin');
  return new LoraError('adapter', pickle
    ? 'The adapter\'s weights are only there as adapter_model.bin, a pickle, which is not read because it can run code.'
    : `The adapter has no ${WEIGHTS_FILE}.`, { place: { file: folder }, fix: pickle ? 'Save the adapter again in safetensors.' : 'Copy or download the folder again.' });
}

/** Names of the tensors that hold a module's two factors. */
interface Pair {
  readonly kind: LoraFactors['kind'];
  readonly A?: string;
  readonly B?: string;
}

function pairUp(source: SafetensorsFile): { readonly pairs: ReadonlyMap<string, Pair>; readonly unknown: readonly string[] } {
  const pairs = new Map<string, Pair>();
  const unknown: string[] = [];
  for (const name of source.tensors.keys()) {
    const role = roleOf(name);
    if (role.role === 'unknown') unknown.push(name);
    if (role.role === 'factor') pairs.set(role.path, withFactor(pairs.get(role.path), role, name, source.file));
  }
  return { pairs, unknown };
}

function withFactor(pair: Pair | undefined, { kind, factor, path: modulePath }: FactorRole, tensor: string, file: string): Pair {
  if (pair?.[factor] !== undefined || (pair && pair.kind !== kind)) {
    throw new LoraError('adapter', `The file holds more than one lora_${factor} for ${modulePath}.`, { place: { file, tensor }, fix: 'Save one adapter a folder.' });
  }
  return { ...pair, kind, [factor]: tensor };
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
  return { path: modulePath, kind: pair.kind, r, in_features, out_features, scaling, A: await finite(source, pair.A), B: await finite(source, pair.B) };
}

async function finite(source: SafetensorsFile, tensor: string): Promise<Float32Array> {
  const values = await source.readF32(tensor);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new LoraError('adapter', `Element ${i} is ${values[i]!}, so the adapter cannot be used.`, { place: { file: source.file, tensor }, fix: 'The training that made it went wrong: use an earlier checkpoint.' });
    }
  }
  return values;
}

/** The modules that the config targets; PEFT loads no others. Errors: LoraError where none is left. */
function targeted(all: readonly LoraFactors[], config: AdapterConfig, files: AdapterFiles): { readonly modules: readonly LoraFactors[]; readonly warnings: readonly Problem[] } {
  if (all.length === 0) throw new LoraError('adapter', 'The file holds no LoRA tensors.', { place: { file: files.weights } });
  const place = { file: files.config, key: 'target_modules' };
  const { matched } = matchTargets(all.map((m) => ({ ...m, is_output: m.path === 'lm_head' })), config);
  const wanted = new Set(matched.map((m) => m.path));
  const [modules, others] = [all.filter((m) => wanted.has(m.path)), all.filter((m) => !wanted.has(m.path))];
  if (modules.length === 0) throw new LoraError('adapter', `target_modules names none of the modules in the weights file (${listed(others.map((m) => m.path))}).`, { place });
  refuseTying(modules, config, files.config);
  return { modules, warnings: others.length === 0 ? [] : [warning(`${listed(others.map((m) => m.path))} has tensors in the weights file, but target_modules does not name it: left out, as PEFT does`, place)] };
}

function refuseTying(modules: readonly LoraFactors[], { raw }: AdapterConfig, file: string): void {
  if (raw['ensure_weight_tying'] !== true || !modules.some((m) => m.kind === 'embedding' || m.path === 'lm_head')) return;
  throw new LoraError('adapter', 'The adapter ties the embedding\'s update to the output layer\'s (ensure_weight_tying), which is not supported.', { place: { file, key: 'ensure_weight_tying' } });
}
