import { readFileSync } from 'node:fs';
import path from 'node:path';
import { openBase } from '../../src/formats/base';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { BaseModel } from '../../src/formats/types';
import type { Adapter, LoraFactors } from '../../src/lora/types';
import { loadCausalLM } from '../../src/models/causalLM';
import { RawOps, type TfBinding } from '../../src/models/ops/raw';
import { tfjsOps } from '../../src/models/ops/tfjs';
import type { Ops } from '../../src/models/ops/types';
import type { CausalLM, LabelledInput } from '../../src/models/types';
import type { Tfjs } from '../../src/runtime/loadTfjs';
import { testTfjs } from './tfjs';

export const fixtures = path.resolve(import.meta.dirname, '../fixtures');

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller knows what the fixture holds
export const readJson = <T>(...at: string[]): T => JSON.parse(readFileSync(path.join(fixtures, ...at), 'utf8')) as T;

/** The table of ops that the product trains on. */
export async function rawOps(): Promise<RawOps> {
  return new RawOps(await tfBinding());
}

export async function tfBinding(): Promise<TfBinding & { getNumOfTensors(): number }> {
  const tf = await testTfjs();
  return (tf.findBackend('tensorflow') as unknown as { binding: TfBinding & { getNumOfTensors(): number } }).binding;
}

/** The table of ops on tfjs' own cpu backend, within the tfjs that libtensorflow's backend is part of. */
export async function cpuOps(): Promise<{ readonly ops: Ops; readonly alive: () => number }> {
  const tf = await testTfjs() as unknown as Tfjs;
  await tf.setBackend('cpu');
  return { ops: tfjsOps(tf), alive: () => tf.memory().numTensors };
}

export type Floats = ReadonlyMap<string, Float32Array>;

/** All floating-point tensors of a file of the fixtures. */
export function readFloats(...at: string[]): Promise<Floats> {
  return withSafetensors(path.join(fixtures, ...at), async (source) => {
    const names = [...source.tensors.values()].filter((t) => t.dtype.includes('F')).map((t) => t.name);
    return new Map(await Promise.all(names.map(async (name): Promise<[string, Float32Array]> => [name, await source.readF32(name)])));
  });
}

export interface SingleCase {
  readonly base: string;
  readonly base_loss: number;
  readonly adapter_loss: number;
  readonly inputs: BatchRows;
}

export interface BatchRows {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask?: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
}

export function inputOf({ input_ids, attention_mask, labels }: BatchRows): LabelledInput {
  const flat = (rows: readonly (readonly number[])[]) => Int32Array.from(rows.flat());
  const ids = flat(input_ids);
  return {
    batch: input_ids.length, length: input_ids[0]!.length, input_ids: ids, labels: flat(labels),
    attention_mask: attention_mask ? flat(attention_mask) : new Int32Array(ids.length).fill(1),
  };
}

export const NO_ADAPTER: Adapter = {
  config: {
    r: 1, lora_alpha: 1, lora_dropout: 0, target_modules: [], use_rslora: false, base_model_name_or_path: null, layers_to_transform: null, layers_pattern: null,
    rank_pattern: {}, alpha_pattern: {}, exclude_modules: null, raw: {},
  },
  modules: [],
};

export async function loadFixture(ops: Ops, base: string, adapter: string | null, options: { readonly lora_dropout?: number } = {}): Promise<CausalLM> {
  const start = adapter === null ? NO_ADAPTER : (await readPeftAdapter(path.join(fixtures, adapter))).adapter;
  return withBase(path.join(fixtures, base), (opened) => loadCausalLM(opened, start, { ops, ...options }));
}

export async function withBase<T>(file: string, use: (base: BaseModel) => Promise<T>): Promise<T> {
  const base = await openBase(file);
  try {
    return await use(base);
  } finally {
    await base.close();
  }
}

export const largest = (x: Float32Array): number => x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

/** Largest difference; NaN wherever one is NaN. */
export function gap(have: Float32Array, want: Float32Array): number {
  if (have.length !== want.length) throw new Error(`${have.length} numbers, expected ${want.length}`);
  return have.reduce((most, h, i) => Math.max(most, Math.abs(h - want[i]!)), 0);
}

/** Largest difference of a factor over two adapters that have the same modules. */
export function adapterGap(have: Adapter, want: Adapter): number {
  const byPath = new Map(want.modules.map((m) => [m.path, m]));
  const gaps = have.modules.map((m) => {
    const other: LoraFactors = byPath.get(m.path)!;
    return Math.max(gap(m.A, other.A), gap(m.B, other.B));
  });
  if (gaps.length !== want.modules.length) throw new Error('The adapters have other modules.');
  return Math.max(...gaps);
}
