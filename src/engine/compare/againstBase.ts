import { throwIfCancelled } from '../../common/cancellation';
import { linearsOf } from '../../formats/architecture/layerLinears';
import type { BaseModel } from '../../formats/baseModel';
import { openBase, readWeight } from '../../formats/openBase';
import { readAdapterTask } from '../../formats/peft/task';
import { storedModules } from '../../lora/experts';
import { updateSvd } from '../../lora/updateSvd';
import { layoutOf } from '../../lora/merge';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import type { TfBinding } from '../../models/ops/tfBinding';
import { readAdapters } from '../adapters/readAdapters';
import { baseOptionsOf } from '../model/openModel';
import { findIntruders, type Intruders, type LayerWeight } from './intruders';

/** The updates of one layer compared with its weight. */
export interface LayerAgainstBase {
  readonly path: string;
  /** ‖W‖F */
  readonly norm_base: number;
  /**
   * ‖dW‖ / ‖UᵀWV‖ along dW's own directions (LoRA paper, section 7.3): how much the update
   * amplifies directions that are weak in W. Null if dW is zero.
   */
  readonly amplification: OfBoth<number | null>;
  /** Null if they were not computed. */
  readonly intruders: OfBoth<Intruders | null> | null;
}

interface OfBoth<T> {
  readonly a: T;
  readonly b: T;
}

/** A comparison of two adapters with their base. */
export interface BaseComparison {
  readonly base: string;
  readonly adapters: readonly [string, string];
  /** For intruder dimensions, which need full SVDs; null leaves them out. */
  readonly binding: TfBinding | null;
  readonly warn: (message: string) => void;
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number) => void;
}

/** Both adapters and what was found for each layer that one of them changes. */
export interface ComparedWithBase {
  readonly adapters: readonly [Adapter, Adapter];
  readonly layers: readonly LayerAgainstBase[];
}

/**
 * Compares two adapters with their base; one weight is in memory at a time.
 * @throws LoraError when an adapter does not fit the base, or the job is cancelled.
 */
export async function compareWithBase(comparison: BaseComparison): Promise<ComparedWithBase> {
  const { base: file, adapters: places, binding, warn, signal, onProgress } = comparison;
  const base = await openBase(file, baseOptionsOf(await readAdapterTask(places[0])));
  try {
    const [a, b] = (await readAdapters(places, base, { warn, partial: false })) as [
      Adapter,
      Adapter,
    ];
    const transposed = new Map(
      base.spec.layers.flatMap(linearsOf).map((linear) => [linear.path, linear.transposed]),
    );
    const [modulesOfA, modulesOfB] = [modulesByPath(a), modulesByPath(b)];
    const paths = new Set([...modulesOfA.keys(), ...modulesOfB.keys()]);
    const layers: LayerAgainstBase[] = [];
    for (const path of paths) {
      throwIfCancelled(signal);
      const factors = { a: modulesOfA.get(path), b: modulesOfB.get(path) };
      const layout = layoutOf((factors.a ?? factors.b)!, transposed.get(path) ?? false);
      const data = await weightOf(base, (factors.a ?? factors.b)!);
      const weight: LayerWeight = { data, isByInput: layout === 'by_input' };
      layers.push({
        path,
        norm_base: Math.sqrt(data.reduce((sum, w) => sum + w * w, 0)),
        amplification: {
          a: factors.a ? amplification(weight, factors.a) : null,
          b: factors.b ? amplification(weight, factors.b) : null,
        },
        intruders: binding && intrudersOfBoth(binding, weight, factors),
      });
      onProgress(layers.length / paths.size);
      await new Promise(setImmediate); // lets an abort signal arrive between two layers
    }
    return { adapters: [a, b], layers };
  } finally {
    await base.close();
  }
}

/** The weight of a module, even where the base has those of gate and up of an expert apart. */
async function weightOf(base: BaseModel, module: LoraFactors): Promise<Float32Array> {
  const name = `${module.path}.weight`;
  const parts = base.weights.tensors.has(name) ? [module] : storedModules([module]);
  if (parts.length === 1) return readWeight(base, name);
  const data = new Float32Array(module.out_features * module.in_features);
  let start = 0;
  for (const { path } of parts) {
    const part = await readWeight(base, `${path}.weight`);
    data.set(part, start);
    start += part.length;
  }
  return data;
}

const modulesByPath = ({ modules }: Adapter): ReadonlyMap<string, LoraFactors> =>
  new Map(modules.map((m) => [m.path, m]));

function intrudersOfBoth(
  binding: TfBinding,
  weight: LayerWeight,
  { a, b }: OfBoth<LoraFactors | undefined>,
): OfBoth<Intruders | null> {
  const updates = [a, b].filter((factors) => factors !== undefined);
  const found = findIntruders(binding, weight, updates);
  return { a: a ? found[0]! : null, b: b ? found.at(-1)! : null };
}

function amplification({ data, isByInput }: LayerWeight, m: LoraFactors): number | null {
  const { S, left, right } = updateSvd(m);
  const norm = Math.sqrt(S.reduce((sum, s) => sum + s * s, 0));
  if (norm === 0) {
    return null;
  }
  const { in_features, out_features } = m;
  const [outStride, inStride] = isByInput ? [1, out_features] : [in_features, 1];
  let squared = 0; // ‖UᵀWV‖²
  for (const v of right) {
    const image = Float64Array.from({ length: out_features }, (_, o) => {
      let sum = 0;
      for (let i = 0; i < in_features; i++) {
        sum += data[o * outStride + i * inStride]! * v[i]!;
      }
      return sum;
    }); // W v
    for (const u of left) {
      squared += image.reduce((sum, x, o) => sum + x * u[o]!, 0) ** 2;
    }
  }
  return squared > 0 ? norm / Math.sqrt(squared) : null;
}
