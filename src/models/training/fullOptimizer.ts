import type { Adapters } from '../adapters';
import { adamWStep, clipFactor, stepTensors, type AdamWStep } from './adamw';
import { WeightTensor, type GradientSink } from '../weightTensor';
import { elementCount, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { Placements } from '../placements';
import { addRows } from './trainedRows';
import type { Optimizer } from './optimizer';
import type { NamedTensor, OptimizerSettings, OptimizerState, ReadTensor } from '../model';

const MOMENTS = ['exp_avg', 'exp_avg_sq'] as const;
type Moment = (typeof MOMENTS)[number];

/**
 * A weight that trains where it lies, with its gradient since the last step and AdamW's moments.
 */
class OptimizedWeight implements GradientSink {
  readonly held: WeightTensor;
  gradient: Tensor | null = null;
  exp_avg: Tensor;
  exp_avg_sq: Tensor;

  constructor(
    private readonly ops: Ops,
    data: Float32Array,
    private readonly shape: readonly number[],
  ) {
    const zeros = () => ops.upload(new Float32Array(data.length), shape);
    this.held = new WeightTensor(ops, ops.upload(data, shape), this);
    this.exp_avg = zeros();
    this.exp_avg_sq = zeros();
  }

  accumulate(gradient: Tensor): Promise<void> {
    const { ops, shape } = this;
    const own =
      gradient.shape.length === shape.length
        ? gradient
        : thenFree(ops, ops.reshape(gradient, shape), gradient);
    this.gradient = this.gradient
      ? thenFree(ops, ops.add(this.gradient, own), this.gradient, own)
      : own;
    return Promise.resolve();
  }

  async accumulateRows(rows: Int32Array, d: Tensor): Promise<void> {
    const whole = new Float32Array(elementCount(this.shape));
    addRows(whole, rows, await this.ops.download(d), this.shape.at(-1)!);
    await this.accumulate(this.ops.upload(whole, this.shape));
  }

  /** Σ g² */
  async squares(): Promise<number> {
    const { ops, gradient } = this;
    if (!gradient) return 0;
    const product = ops.fused ? null : ops.mul(gradient, gradient);
    const rows = ops.fused
      ? ops.fused.rowDots(gradient, gradient, 1)
      : thenFree(ops, ops.sum(product!), product!);
    const sums = await ops.download(rows);
    ops.free(rows);
    return sums.reduce((sum, one) => sum + one, 0);
  }

  /** What has no gradient stays as it is, as in torch. */
  step(step: AdamWStep): void {
    const { ops, held, gradient } = this;
    if (!gradient) return;
    const { theta, exp_avg, exp_avg_sq } = stepTensors(
      ops,
      { theta: held.tensor, exp_avg: this.exp_avg, exp_avg_sq: this.exp_avg_sq },
      gradient,
      step,
    );
    held.tensor = theta;
    this.exp_avg = exp_avg;
    this.exp_avg_sq = exp_avg_sq;
    this.discardGradient();
  }

  replace(moment: Moment, data: Float32Array): void {
    this.ops.free(this[moment]);
    this[moment] = this.ops.upload(data, this.shape);
  }

  discardGradient(): void {
    if (this.gradient) this.ops.free(this.gradient);
    this.gradient = null;
  }

  dispose(): void {
    this.discardGradient();
    this.held.dispose();
    this.ops.free(this.exp_avg, this.exp_avg_sq);
  }
}

/** Every weight of the base trains, in f32, where it lies: no second copy of it. */
export class FullOptimizer implements Optimizer {
  private readonly tensors = new Map<WeightTensor, OptimizedWeight>();
  private steps = 0;
  size = 0;

  /** `names`: of the base's tensors. */
  constructor(
    private readonly ops: Ops,
    private readonly adapters: Adapters,
    private readonly placements: Placements,
    private readonly names: readonly string[],
  ) {}

  hold(data: Float32Array, shape: readonly number[]): WeightTensor {
    const tensor = new OptimizedWeight(this.ops, data, shape);
    this.tensors.set(tensor.held, tensor);
    this.size += data.length;
    return tensor.held;
  }

  async step(labelled: number, settings: OptimizerSettings): Promise<number> {
    const { tensors } = this;
    let squares = 0;
    for (const tensor of tensors.values()) squares += await tensor.squares();
    const norm = Math.sqrt(squares) / labelled;
    const step = adamWStep(
      ++this.steps,
      settings,
      clipFactor(norm, settings.max_grad_norm) / labelled,
    );
    // all at once: a step that is broken off would leave the model between two
    for (const tensor of tensors.values()) tensor.step(step);
    await this.adapters.changed();
    return norm;
  }

  async gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>> {
    const named = new Map<string, NamedTensor>();
    for (const name of this.names) {
      const data = await this.placements.read(name, (held) => this.tensors.get(held)!.gradient);
      named.set(name, {
        shape: this.placements.shapeOf(name),
        data: data.map((g) => g / labelled),
      });
    }
    return named;
  }

  optimizerState(): OptimizerState {
    const tensors = MOMENTS.flatMap((moment) =>
      this.names.map((name) => ({
        name: `${moment}.${name}`,
        shape: this.placements.shapeOf(name),
        read: () => this.placements.read(name, (held) => this.tensors.get(held)![moment]),
      })),
    );
    return { step: this.steps, tensors };
  }

  async restore(step: number, read: ReadTensor): Promise<void> {
    for (const moment of MOMENTS) {
      for (const [held, tensor] of this.tensors)
        tensor.replace(
          moment,
          await this.placements.arrange(held, (name) => read(`${moment}.${name}`)),
        );
    }
    this.steps = step;
  }

  discardGradients(): void {
    for (const tensor of this.tensors.values()) tensor.discardGradient();
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
  }
}
