import type { ModelContext } from '../adapters';
import type { NamedTensor, OptimizerSettings, OptimizerState, ReadTensor } from '../model';
import { downloadAndFree, elementCount, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { Placements } from '../placements';
import { DenseWeight, type GradientSink, type WeightTensor } from '../weightTensor';
import { adamWStep, clipFactor, stepTensors, type AdamWStep } from './adamw';
import type { Optimizer } from './optimizer';
import { addRows } from './trainedRows';

const MOMENTS = ['exp_avg', 'exp_avg_sq'] as const;
type Moment = (typeof MOMENTS)[number];

/** A weight that trains in place, with its gradient since the last step and AdamW's moments. */
class OptimizedWeight implements GradientSink {
  readonly rows = null;
  readonly weight: DenseWeight;
  gradient: Tensor | null = null;
  exp_avg: Tensor;
  exp_avg_sq: Tensor;

  constructor(
    private readonly ops: Ops,
    data: Float32Array,
    private readonly shape: readonly number[],
  ) {
    const uploadZeros = () => ops.upload(new Float32Array(data.length), shape);
    this.weight = new DenseWeight(ops, ops.upload(data, shape), this);
    this.exp_avg = uploadZeros();
    this.exp_avg_sq = uploadZeros();
  }

  accumulate(gradient: Tensor): Promise<void> {
    const { ops, shape } = this;
    const reshaped =
      gradient.shape.length === shape.length
        ? gradient
        : thenFree(ops, ops.reshape(gradient, shape), gradient);
    this.gradient = this.gradient
      ? thenFree(ops, ops.add(this.gradient, reshaped), this.gradient, reshaped)
      : reshaped;
    return Promise.resolve();
  }

  async accumulateRows(rows: Int32Array, d: Tensor): Promise<void> {
    const gradient = new Float32Array(elementCount(this.shape));
    addRows(gradient, rows, await this.ops.download(d), this.shape.at(-1)!);
    await this.accumulate(this.ops.upload(gradient, this.shape));
  }

  /** Σ g² */
  async gradientSquares(): Promise<number> {
    const { ops, gradient } = this;
    if (!gradient) return 0;
    const sums = await downloadAndFree(ops, rowSquares(ops, gradient));
    return sums.reduce((total, sum) => total + sum, 0);
  }

  /** A weight without a gradient does not change, as in torch. */
  step(step: AdamWStep): void {
    const { ops, weight, gradient, exp_avg, exp_avg_sq } = this;
    if (!gradient) return;
    const moments = { theta: weight.tensor, exp_avg, exp_avg_sq };
    const next = stepTensors(ops, moments, gradient, step);
    weight.tensor = next.theta;
    this.exp_avg = next.exp_avg;
    this.exp_avg_sq = next.exp_avg_sq;
    this.discardGradient();
  }

  replaceMoment(moment: Moment, data: Float32Array): void {
    this.ops.free(this[moment]);
    this[moment] = this.ops.upload(data, this.shape);
  }

  discardGradient(): void {
    if (this.gradient) this.ops.free(this.gradient);
    this.gradient = null;
  }

  dispose(): void {
    this.discardGradient();
    this.weight.dispose();
    this.ops.free(this.exp_avg, this.exp_avg_sq);
  }
}

/** Sums of the squares of the rows of x. */
function rowSquares(ops: Ops, x: Tensor): Tensor {
  if (ops.fused) return ops.fused.rowDots(x, x, 1);
  const squares = ops.mul(x, x);
  return thenFree(ops, ops.sum(squares), squares);
}

/** Full fine-tuning: trains every weight of the base in f32 and in place, without a second copy. */
export class FullOptimizer implements Optimizer {
  private readonly weights = new Map<WeightTensor, OptimizedWeight>();
  private steps = 0;
  size = 0;

  /** `names`: of the base's tensors. */
  constructor(
    private readonly context: ModelContext,
    private readonly placements: Placements,
    private readonly names: readonly string[],
  ) {}

  /** Uploads a weight that trains, and owns it. */
  hold(data: Float32Array, shape: readonly number[]): DenseWeight {
    const optimized = new OptimizedWeight(this.context.ops, data, shape);
    this.weights.set(optimized.weight, optimized);
    this.size += data.length;
    return optimized.weight;
  }

  async step(labelled: number, settings: OptimizerSettings): Promise<number> {
    let squares = 0;
    for (const weight of this.weights.values()) squares += await weight.gradientSquares();
    const norm = Math.sqrt(squares) / labelled;
    this.steps++;
    const scale = clipFactor(norm, settings.max_grad_norm) / labelled;
    const step = adamWStep(this.steps, settings, scale);
    // Without a yield point: an interrupted step would leave the model between two states.
    for (const weight of this.weights.values()) weight.step(step);
    await this.context.adapters.notifyChanged();
    return norm;
  }

  async gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>> {
    const named = new Map<string, NamedTensor>();
    for (const name of this.names) {
      const sums = await this.placements.read(name, (weight) => this.optimized(weight).gradient);
      const data = sums.map((g) => g / labelled);
      named.set(name, { shape: this.placements.shapeOf(name), data });
    }
    return named;
  }

  optimizerState(): OptimizerState {
    const tensors = MOMENTS.flatMap((moment) =>
      this.names.map((name) => ({
        name: `${moment}.${name}`,
        shape: this.placements.shapeOf(name),
        read: () => this.placements.read(name, (weight) => this.optimized(weight)[moment]),
      })),
    );
    return { step: this.steps, tensors };
  }

  async restore(step: number, read: ReadTensor): Promise<void> {
    for (const moment of MOMENTS) {
      for (const [weight, optimized] of this.weights) {
        const data = await this.placements.arrange(weight, (name) => read(`${moment}.${name}`));
        optimized.replaceMoment(moment, data);
      }
    }
    this.steps = step;
  }

  discardGradients(): void {
    for (const weight of this.weights.values()) weight.discardGradient();
  }

  dispose(): void {
    for (const weight of this.weights.values()) weight.dispose();
  }

  private optimized(weight: WeightTensor): OptimizedWeight {
    return this.weights.get(weight)!;
  }
}
