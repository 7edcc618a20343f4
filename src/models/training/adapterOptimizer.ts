import type { Adapters } from '../adapters';
import type { NamedTensor, OptimizerSettings, OptimizerState, ReadTensor } from '../model';
import type { Ops } from '../ops/ops';
import { adamWStep } from './adamw';
import { joinedRanges, stepAdapter, wordsOf, type SteppedRange } from './adapterStep';
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

  /** `ops`: whose kernels take the steps; null: none does. */
  constructor(
    private readonly adapters: Pick<Adapters, 'parameters' | 'notifyChanged'>,
    private readonly ops: Ops | null = null,
  ) {
    const zeros = () => ops?.allocateHostF32(this.size) ?? new Float32Array(this.size);
    this.exp_avg = zeros();
    this.exp_avg_sq = zeros();
  }

  get size(): number {
    return this.adapters.parameters.theta.length;
  }

  async step(labelled: number, settings: OptimizerSettings): Promise<number> {
    const { parameters } = this.adapters;
    const { theta, gradients } = parameters;
    const { exp_avg, exp_avg_sq } = this;
    this.steps++;
    if (parameters.imagesReached) this.imageSteps++;
    const { max_grad_norm } = settings;
    const step = { divisor: labelled, max_grad_norm, ranges: this.ranges(settings) };
    const vectors = { theta, gradients, exp_avg, exp_avg_sq };
    const byKernel = this.ops?.fused?.adapterStep;
    const norm = byKernel ? byKernel(vectors, wordsOf(step)) : stepAdapter(vectors, step);
    parameters.imagesReached = false;
    await this.adapters.notifyChanged();
    return norm;
  }

  /** The numbers that have a gradient in this step. */
  private ranges(settings: OptimizerSettings): SteppedRange[] {
    const { all } = this.adapters.parameters;
    const ranges = all.flatMap(({ offset, size, role, reach }): SteppedRange[] => {
      const steps = this.stepsOf(reach);
      if (steps === null) return [];
      const ratio = role === 'B' ? (settings.loraplus_lr_ratio ?? 1) : 1;
      const learning_rate = settings.learning_rate * ratio;
      const step = adamWStep(steps, { ...settings, learning_rate });
      return [{ ...step, start: offset, end: offset + size }];
    });
    return joinedRanges(ranges);
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
