import { createRandom } from '../shared/random';
import { scalingOf } from './scaling';
import type { LoraFactors, TargetableModule } from './types';

/** New factors as PEFT's default: A uniform in ±1/√in (Kaiming with a = √5), B = 0; for an embedding A = 0, B normal.
 *  The numbers depend on the seed and the module's path alone. */
export function initialFactors(module: TargetableModule, r: number, lora_alpha: number, use_rslora: boolean, seed: number): LoraFactors {
  const { path, kind, in_features, out_features } = module;
  const random = createRandom(seed, 'init', path);
  const A = new Float32Array(r * in_features);
  const B = new Float32Array(out_features * r);
  if (kind === 'embedding') for (let i = 0; i < B.length; i++) B[i] = normal(random);
  else for (let i = 0, bound = 1 / Math.sqrt(in_features); i < A.length; i++) A[i] = (2 * random() - 1) * bound;
  return { path, kind, r, in_features, out_features, scaling: scalingOf(r, lora_alpha, use_rslora), A, B };
}

/** Box and Muller 1958. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
