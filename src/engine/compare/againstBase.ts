import { linearsOf } from '../../formats/architecture/modules';
import { openBase, readWeight } from '../../formats/base';
import { adapterBaseOf } from '../../formats/peft/againstBase';
import { readPeftAdapter } from '../../formats/peft/read';
import { readAdapterTask } from '../../formats/peft/task';
import { factored } from '../../lora/factored';
import { layoutOf } from '../../lora/merge';
import type { Adapter, LoraFactors } from '../../lora/types';
import { throwIfCancelled } from '../cancelled';
import { optionsOf } from '../session';

/** What an update is beside the weight that it changes. */
export interface AgainstBase {
  readonly path: string;
  /** ‖W‖F */
  readonly norm_base: number;
  /** ‖dW‖ / ‖UᵀWV‖ along dW's own directions (LoRA paper, 7.3): how much it amplifies what is weak in W. Null where dW is zero. */
  readonly amplification: { readonly a: number | null; readonly b: number | null };
}

/** Holds two adapters against their base, a layer's weight at a time. Errors: LoraError where one does not fit. */
export async function compareWithBase(file: string, folders: readonly [string, string], signal: AbortSignal): Promise<{ readonly adapters: readonly [Adapter, Adapter]; readonly layers: readonly AgainstBase[] }> {
  const base = await openBase(file, optionsOf(await readAdapterTask(folders[0])));
  try {
    const [a, b] = [(await readPeftAdapter(folders[0], adapterBaseOf(base))).adapter, (await readPeftAdapter(folders[1], adapterBaseOf(base))).adapter];
    const linears = new Map(base.spec.layers.flatMap(linearsOf).map((linear) => [linear.path, linear.transposed]));
    const [ofA, ofB] = [a, b].map(({ modules }) => new Map(modules.map((m) => [m.path, m]))) as [Map<string, LoraFactors>, Map<string, LoraFactors>];
    const layers: AgainstBase[] = [];
    for (const path of new Set([...ofA.keys(), ...ofB.keys()])) {
      throwIfCancelled(signal);
      const weight = await readWeight(base, `${path}.weight`);
      const along = (m: LoraFactors | undefined) => (m ? amplification(weight, m, linears.get(path) ?? false) : null);
      layers.push({ path, norm_base: Math.sqrt(weight.reduce((sum, w) => sum + w * w, 0)), amplification: { a: along(ofA.get(path)), b: along(ofB.get(path)) } });
    }
    return { adapters: [a, b], layers };
  } finally {
    await base.close();
  }
}

function amplification(weight: Float32Array, m: LoraFactors, transposed: boolean): number | null {
  const { S, left, right } = factored(m);
  const norm = Math.sqrt(S.reduce((sum, s) => sum + s * s, 0));
  if (norm === 0) return null;
  const [rowStride, columnStride] = layoutOf(m, transposed) === 'by_input' ? [1, m.out_features] : [m.in_features, 1];
  let square = 0;
  for (const v of right) {
    const image = Float64Array.from({ length: m.out_features }, (_, o) => {
      let sum = 0;
      for (let i = 0; i < m.in_features; i++) sum += weight[o * rowStride + i * columnStride]! * v[i]!;
      return sum;
    });
    for (const u of left) square += image.reduce((sum, x, o) => sum + x * u[o]!, 0) ** 2;
  }
  return norm / Math.sqrt(square);
}
