import type { Adapters } from '../adapters';
import type { NamedTensor, OptimizerSettings, OptimizerState, ReadTensor } from '../model';
import { adamWStep, clipFactor, stepRange } from './adamw';
import type { Optimizer } from './optimizer';
import type { Reach } from './parameters';

const MOMENTS = ['exp_avg', 'exp_avg_sq'] as const;
/** Names the number of steps with images, where some tensors have a gradient in those alone. */
const IMAGE_STEPS = 'image_steps';

/** Trains the adapter's tensors, which are one flat vector. */
export class AdapterOptimizer implements Optimizer {
  private steps = 0;
  private imageSteps = 0;
  private readonly exp_avg: Float32Array;
  private readonly exp_avg_sq: Float32Array;

  constructor(private readonly adapters: Pick<Adapters, 'parameters' | 'notifyChanged'>) {
    this.exp_avg = new Float32Array(this.size);
    this.exp_avg_sq = new Float32Array(this.size);
  }

  get size(): number {
    return this.adapters.parameters.theta.length;
  }

  async step(labelled: number, settings: OptimizerSettings): Promise<number> {
    const { parameters } = this.adapters;
    const { theta, gradients, all } = parameters;
    const { exp_avg, exp_avg_sq } = this;
    const norm = normalizeGradients(gradients, labelled, settings.max_grad_norm);
    this.steps++;
    if (parameters.imagesReached) this.imageSteps++;
    for (const { offset, size, role, reach } of all) {
      const steps = this.stepsOf(reach);
      if (steps === null) continue;
      const ratio = role === 'B' ? (settings.loraplus_lr_ratio ?? 1) : 1;
      const learning_rate = settings.learning_rate * ratio;
      const step = adamWStep(steps, { ...settings, learning_rate });
      stepRange({ theta, gradients, exp_avg, exp_avg_sq }, offset, offset + size, step);
    }
    gradients.fill(0);
    parameters.imagesReached = false;
    await this.adapters.notifyChanged();
    return norm;
  }

  /** The number of a tensor's step; null: it has no gradient in this one. */
  private stepsOf(reach: Reach): number | null {
    switch (reach) {
      case 'always':
        return this.steps;
      case 'images':
        return this.adapters.parameters.imagesReached ? this.imageSteps : null;
      case 'never':
        return null;
    }
  }

  private get countsImages(): boolean {
    return this.adapters.parameters.all.some(({ reach }) => reach === 'images');
  }

  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>> {
    return Promise.resolve(this.adapters.parameters.namedGradients(labelled));
  }

  optimizerState(): OptimizerState {
    return {
      step: this.steps,
      tensors: [
        ...MOMENTS.map((name) => ({
          name,
          shape: [this.size],
          read: () => Promise.resolve(this[name].slice()),
        })),
        ...(this.countsImages ? [this.imageStepsTensor()] : []),
      ],
    };
  }

  private readonly imageStepsTensor = () => ({
    name: IMAGE_STEPS,
    shape: [1],
    read: () => Promise.resolve(Float32Array.of(this.imageSteps)),
  });

  async restore(step: number, read: ReadTensor): Promise<void> {
    for (const name of MOMENTS) {
      const data = await read(name);
      if (data.length !== this.size) {
        throw new RangeError(
          `The optimizer's state is for ${data.length} numbers, the adapter has ${this.size}.`,
        );
      }
      this[name].set(data);
    }
    this.steps = step;
    this.imageSteps = this.countsImages ? (await read(IMAGE_STEPS))[0]! : 0;
  }

  discardGradients(): void {
    const { parameters } = this.adapters;
    parameters.gradients.fill(0);
    parameters.imagesReached = false;
  }
}

/**
 * Divides the gradients by `labelled` and clips them, in place. Returns their L2 norm before
 * clipping.
 */
export function normalizeGradients(
  gradients: Float32Array,
  labelled: number,
  max_grad_norm: number,
): number {
  let squares = 0;
  for (let i = 0; i < gradients.length; i++) {
    const g = gradients[i]! / labelled;
    gradients[i] = g;
    squares += g * g;
  }
  const norm = Math.sqrt(squares);
  const factor = clipFactor(norm, max_grad_norm);
  if (factor < 1) {
    for (let i = 0; i < gradients.length; i++) gradients[i]! *= factor;
  }
  return norm;
}
