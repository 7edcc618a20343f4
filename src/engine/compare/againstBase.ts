import { readAnyAdapter } from '../../formats/adapterFormat';
import { linearsOf } from '../../formats/architecture/modules';
import { openBase, readWeight } from '../../formats/openBase';
import { readAdapterTask } from '../../formats/peft/task';
import { updateSvd } from '../../lora/updateSvd';
import { layoutOf } from '../../lora/merge';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import type { TfBinding } from '../../models/ops/tfBinding';
import { throwIfCancelled } from '../../common/cancellation';
import { baseOptionsOf } from '../model/openModel';
import { intrudersOf, type Intruders } from './intruders';

/** What an update is beside the weight that it changes. */
export interface AgainstBase {
  readonly path: string;
  /** ‖W‖F */
  readonly norm_base: number;
  /**
   * ‖dW‖ / ‖UᵀWV‖ along dW's own directions (LoRA paper, 7.3): how much it amplifies what is weak
   * in W. Null where dW is zero.
   */
  readonly amplification: OfBoth<number | null>;
  /** Null where they were not asked for. */
  readonly intruders: OfBoth<Intruders | null> | null;
}

interface OfBoth<T> {
  readonly a: T;
  readonly b: T;
}

export interface BaseOptions {
  readonly base: string;
  readonly adapters: readonly [string, string];
  /** For intruders, which take full SVDs; null: leave them out. */
  readonly binding: TfBinding | null;
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number) => void;
}

/**
 * Holds two adapters against their base, a layer's weight at a time. Errors: LoraError where one
 * does not fit.
 */
export async function compareWithBase({
  base: file,
  adapters,
  binding,
  signal,
  onProgress,
}: BaseOptions): Promise<{
  readonly adapters: readonly [Adapter, Adapter];
  readonly layers: readonly AgainstBase[];
}> {
  const base = await openBase(file, baseOptionsOf(await readAdapterTask(adapters[0])));
  try {
    const [a, b] = [
      (await readAnyAdapter(adapters[0], base)).adapter,
      (await readAnyAdapter(adapters[1], base)).adapter,
    ];
    const linears = new Map(
      base.spec.layers.flatMap(linearsOf).map((linear) => [linear.path, linear.transposed]),
    );
    const [ofA, ofB] = [a, b].map(({ modules }) => new Map(modules.map((m) => [m.path, m]))) as [
      Map<string, LoraFactors>,
      Map<string, LoraFactors>,
    ];
    const layers: AgainstBase[] = [];
    const paths = new Set([...ofA.keys(), ...ofB.keys()]);
    for (const path of paths) {
      throwIfCancelled(signal);
      const weight = await readWeight(base, `${path}.weight`);
      const [x, y] = [ofA.get(path), ofB.get(path)];
      const by_input = layoutOf((x ?? y)!, linears.get(path) ?? false) === 'by_input';
      const along = (m: LoraFactors | undefined) => (m ? amplification(weight, m, by_input) : null);
      layers.push({
        path,
        norm_base: Math.sqrt(weight.reduce((sum, w) => sum + w * w, 0)),
        amplification: { a: along(x), b: along(y) },
        intruders: binding && intrudersOfBoth(binding, weight, x, y, by_input),
      });
      onProgress(layers.length / paths.size);
      await new Promise(setImmediate); // lets a signal through between two layers
    }
    return { adapters: [a, b], layers };
  } finally {
    await base.close();
  }
}

function intrudersOfBoth(
  binding: TfBinding,
  weight: Float32Array,
  a: LoraFactors | undefined,
  b: LoraFactors | undefined,
  by_input: boolean,
): OfBoth<Intruders | null> {
  const found = intrudersOf(
    binding,
    weight,
    [a, b].filter((m) => m !== undefined),
    by_input,
  );
  return { a: a ? found[0]! : null, b: b ? found.at(-1)! : null };
}

function amplification(weight: Float32Array, m: LoraFactors, by_input: boolean): number | null {
  const { S, left, right } = updateSvd(m);
  const norm = Math.sqrt(S.reduce((sum, s) => sum + s * s, 0));
  if (norm === 0) return null;
  const [rowStride, columnStride] = by_input ? [1, m.out_features] : [m.in_features, 1];
  let square = 0;
  for (const v of right) {
    const image = Float64Array.from({ length: m.out_features }, (_, o) => {
      let sum = 0;
      for (let i = 0; i < m.in_features; i++)
        sum += weight[o * rowStride + i * columnStride]! * v[i]!;
      return sum;
    });
    for (const u of left) square += image.reduce((sum, x, o) => sum + x * u[o]!, 0) ** 2;
  }
  return norm / Math.sqrt(square);
}
