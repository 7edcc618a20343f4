import type { Parameters } from './parameters';
import type { OptimizerSettings, OptimizerState } from './types';

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPS = 1e-8;

/** AdamW (Loshchilov and Hutter 2019, algorithm 2) in the form of torch.optim.AdamW: decay first, then
 *  theta -= lr / (1 - β1^t) · m / (√v / √(1 - β2^t) + ε). */
export class AdamW {
  private step_count = 0;
  private exp_avg: Float32Array;
  private exp_avg_sq: Float32Array;

  constructor(size: number) {
    this.exp_avg = new Float32Array(size);
    this.exp_avg_sq = new Float32Array(size);
  }

  /** Changes the parameters in place. */
  step({ theta, gradients, all }: Pick<Parameters, 'theta' | 'gradients' | 'all'>, settings: OptimizerSettings): void {
    this.step_count++;
    for (const { offset, size, role } of all) {
      const ratio = role === 'B' ? settings.loraplus_lr_ratio ?? 1 : 1;
      this.stepRange(theta, gradients, offset, offset + size, settings.learning_rate * ratio, settings.weight_decay);
    }
  }

  private stepRange(theta: Float32Array, gradients: Float32Array, start: number, end: number, learning_rate: number, weight_decay: number): void {
    const { exp_avg: m, exp_avg_sq: v } = this;
    const decay = 1 - learning_rate * weight_decay;
    const size = learning_rate / (1 - BETA1 ** this.step_count);
    const root = Math.sqrt(1 - BETA2 ** this.step_count);
    for (let i = start; i < end; i++) {
      const g = gradients[i]!;
      const mean = m[i]! + (1 - BETA1) * (g - m[i]!);
      const square = BETA2 * v[i]! + (1 - BETA2) * g * g;
      m[i] = mean;
      v[i] = square;
      theta[i] = theta[i]! * decay - (size * mean) / (Math.sqrt(square) / root + EPS);
    }
  }

  state(): OptimizerState {
    return { step: this.step_count, exp_avg: this.exp_avg.slice(), exp_avg_sq: this.exp_avg_sq.slice() };
  }

  restore(state: OptimizerState): void {
    if (state.exp_avg.length !== this.exp_avg.length || state.exp_avg_sq.length !== this.exp_avg_sq.length) {
      throw new RangeError(`The optimizer's state is for ${state.exp_avg.length} numbers, the adapter has ${this.exp_avg.length}.`);
    }
    this.step_count = state.step;
    this.exp_avg = state.exp_avg.slice();
    this.exp_avg_sq = state.exp_avg_sq.slice();
  }
}

/** Divides the gradients by `labelled` and scales them down to `max_grad_norm` (0: never) as torch.nn.utils.clip_grad_norm_ does,
 *  in place. Returns the L2 norm before clipping. */
export function normalizeGradients(gradients: Float32Array, labelled: number, max_grad_norm: number): number {
  let squares = 0;
  for (let i = 0; i < gradients.length; i++) {
    const g = gradients[i]! / labelled;
    gradients[i] = g;
    squares += g * g;
  }
  const norm = Math.sqrt(squares);
  const factor = max_grad_norm > 0 ? Math.min(1, max_grad_norm / (norm + 1e-6)) : 1;
  if (factor < 1) for (let i = 0; i < gradients.length; i++) gradients[i]! *= factor;
  return norm;
}
