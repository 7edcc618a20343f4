import { layersIn, type Kernel, type OwnLayer } from './kernels';
import type { LayersModel, LayerVariable, Tensor, Tf } from './tf';

/** The factors of a kernel before training: A [r, in], B [out, r], dW = scaling · (BA)ᵀ. */
export interface KernelFactors {
  readonly kernel: Kernel;
  readonly r: number;
  readonly lora_alpha: number;
  readonly scaling: number;
  readonly A: Float32Array;
  readonly B: Float32Array;
}

/** A kernel with factors that train. */
export interface AdaptedKernel extends Omit<KernelFactors, 'A' | 'B'> {
  readonly A: LayerVariable;
  readonly B: LayerVariable;
}

/**
 * A model of tfjs whose kernels are W + s·(BA)ᵀ wherever its layers read them. W and all other
 * weights are frozen but those in `trained`; batch norms use their stored statistics, including in
 * training.
 */
export class AdaptedModel {
  readonly adapted: readonly AdaptedKernel[];
  private readonly undo: (() => unknown)[] = [];
  /** W + dW while `withKernels` runs. */
  private readonly computed = new Map<AdaptedKernel, Tensor>();

  /** @param trained Weights of the model that train beside the factors. */
  constructor(
    private readonly tf: Tf,
    readonly model: LayersModel,
    factors: readonly KernelFactors[],
    readonly trained: readonly LayerVariable[] = [],
  ) {
    this.freeze();
    this.adapted = factors.map((own) => this.attach(own));
  }

  /** What trains. */
  get variables(): LayerVariable[] {
    return [...this.adapted.flatMap(({ A, B }) => [A, B]), ...this.trained];
  }

  /**
   * Calls `compute` with the kernels computed once, however often layers read them. Within tidy
   * only: that frees them.
   */
  withKernels<T>(compute: () => T): T {
    for (const own of this.adapted) this.computed.set(own, this.kernelOf(own));
    try {
      return compute();
    } finally {
      this.computed.clear();
    }
  }

  /** Adds the updates to the kernels, and restores the model: it has no factors afterwards. */
  merge(): void {
    for (const own of this.adapted)
      this.tf.tidy(() => void own.kernel.variable.write(this.kernelOf(own)));
    this.detach();
  }

  /** Restores the model as it was, and frees the factors. */
  detach(): void {
    for (const restore of this.undo.reverse()) restore();
    this.undo.length = 0;
    for (const { A, B } of this.adapted) for (const factor of [A, B]) factor.dispose();
  }

  /** W + s·(BA)ᵀ in the kernel's shape. */
  private kernelOf({ kernel, A, B, scaling }: AdaptedKernel): Tensor {
    const { tf } = this;
    return tf.tidy(() => {
      const update = tf.matMul(A.read(), B.read(), true, true); // [in, out]
      const W = kernel.variable.read();
      return tf.add(W, tf.reshape(tf.mul(update, scaling), W.shape));
    });
  }

  private freeze(): void {
    for (const layer of layersIn(this.model)) {
      const { trainable } = layer;
      // layers that are not trainable hide their factors from model.fit
      layer.trainable = true;
      this.undo.push(() => (layer.trainable = trainable));
      if (layer.getClassName() === 'BatchNormalization') this.useStatistics(layer);
    }
    for (const weight of this.model.weights)
      if (!this.trained.includes(weight)) this.keepFrozen(weight);
  }

  /** tfjs sets this for all weights of a model, for example when a sequential one is compiled. */
  private keepFrozen(weight: LayerVariable): void {
    const { trainable } = weight;
    weight.trainable = false;
    Object.defineProperty(weight, 'trainable', {
      get: () => false,
      set: () => undefined,
      configurable: true,
    });
    this.undo.push(() => {
      delete (weight as Partial<LayerVariable>).trainable;
      weight.trainable = trainable;
    });
  }

  private useStatistics(layer: OwnLayer): void {
    const call = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => call(inputs, { ...kwargs, training: false });
    // the method of the class is visible again
    this.undo.push(() => delete (layer as Partial<OwnLayer>).call);
  }

  private attach({ kernel, A, B, ...rest }: KernelFactors): AdaptedKernel {
    const { path, owner, property, variable, in_features, out_features } = kernel;
    const factor = (name: string, values: Float32Array, shape: [number, number]) => {
      const start = this.tf.tensor2d(values, shape);
      const made = new this.tf.LayerVariable(start, 'float32', `${path}/${name}`);
      start.dispose();
      return made;
    };
    const own: AdaptedKernel = {
      ...rest,
      kernel,
      A: factor('lora_A', A, [rest.r, in_features]),
      B: factor('lora_B', B, [out_features, rest.r]),
    };
    const read = () => this.computed.get(own) ?? this.kernelOf(own);
    owner[property] = Object.create(variable, { read: { value: read } }) as LayerVariable;
    owner._trainableWeights.push(own.A, own.B);
    this.undo.push(() => {
      owner[property] = variable;
      owner._trainableWeights = owner._trainableWeights.filter((w) => w !== own.A && w !== own.B);
    });
    return own;
  }
}
