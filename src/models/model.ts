import type { Adapter, TargetableModule } from '../lora/adapter';

/** Sequences [batch, length], row-major, right- or left-padded. */
export interface ModelInput {
  readonly batch: number;
  readonly length: number;
  /** Empty for images. */
  readonly input_ids: Int32Array;
  readonly attention_mask: Int32Array;
  /** Of sentence pairs; 0 where it is left out. */
  readonly token_type_ids?: Int32Array;
  /** Counted from 0 over each row where they are left out. */
  readonly position_ids?: Int32Array;
  /** Packed rows: a token sees only those of its own segment. */
  readonly segment_ids?: Int32Array;
  /** Images [batch, channels, height, width]; length is the number of patches and one. */
  readonly pixel_values?: Float32Array;
}

/**
 * Labels: a token's [batch, length] or a row's class [batch], -100 where nothing is learnt; or real
 * numbers [batch, num_labels]. Pairs need none: row i and row i + batch / 2 belong together.
 */
export interface LabelledInput extends ModelInput {
  readonly labels: Int32Array | Float32Array;
}

/**
 * What the loss compares: next_token and token: cross-entropy of labelled tokens; single_label: of
 * each row; multi_label: binary cross-entropy; regression: squared error; pairs: cross-entropy of
 * the rows' cosines (in-batch negatives).
 */
export type LossKind =
  'next_token' | 'token' | 'single_label' | 'multi_label' | 'regression' | 'pairs';

export interface OptimizerSettings {
  readonly learning_rate: number;
  readonly weight_decay: number;
  /** 0: no clipping. */
  readonly max_grad_norm: number;
  /** LoRA+ (Hayou et al. 2024): B's learning rate as a multiple of A's. */
  readonly loraplus_lr_ratio?: number | null;
}

/** Numbers under a name. */
export type ReadTensor = (name: string) => Promise<Float32Array>;

/**
 * AdamW's state: `exp_avg` and `exp_avg_sq` over one flat vector of all trained tensors, for each
 * module of the adapter in turn A, B and the magnitude, then the others; where every weight trains,
 * one of each for every tensor, such as `exp_avg.model.norm.weight`. What is read is of the moment.
 */
export interface OptimizerState {
  readonly step: number;
  readonly tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly read: () => Promise<Float32Array>;
  }[];
}

export interface GenerateOptions {
  readonly max_new_tokens: number;
  /** 0: greedy. */
  readonly temperature: number;
  readonly seed: number;
  readonly stop_ids: readonly number[];
  /** Called with each new token; false ends the generation. */
  readonly onToken?: (id: number) => boolean | undefined;
}

/** A tensor under its name in a file. */
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface LossSum {
  readonly loss_sum: number;
  /** What the sum counts: labelled tokens, rows, or rows times labels. */
  readonly labelled: number;
}

export interface Evaluation extends LossSum {
  /**
   * What the head gave, as `logits` gives it, but vectors of texts in their own length; null of a
   * language model.
   */
  readonly outputs: Float32Array | null;
}

/**
 * A model whose adapter trains, on frozen weights, or all of whose weights do. All methods run
 * where libtensorflow blocks: call them in a worker.
 */
export interface Model {
  /** model_type */
  readonly architecture: string;
  readonly modules: readonly TargetableModule[];
  readonly trainable_parameters: number;
  /**
   * Tensors and raw handles alive now; the same before and after each call below. Where every
   * weight trains, gradients are alive from `accumulate` to `step`.
   */
  readonly liveTensors: () => number;
  /**
   * What the head gives, f32 row-major: [batch, length, vocab or labels], [batch, labels], or
   * vectors [batch, d].
   */
  logits(input: ModelInput): Promise<Float32Array>;
  /**
   * Sum of the losses and their number; adds the gradient of the SUM to the accumulated gradients.
   * An error drops the gradients of the whole step. `dropout_seed` must differ for each batch of a
   * run. A batch without labels gives 0, 0 and adds nothing.
   */
  accumulate(input: LabelledInput, dropout_seed: number): Promise<LossSum>;
  /** The same without gradients and dropout. */
  evaluate(input: LabelledInput): Promise<Evaluation>;
  /**
   * Divides the accumulated gradients by `labelled`, clips, steps AdamW, clears them. grad_norm is
   * before clipping.
   */
  step(labelled: number, settings: OptimizerSettings): Promise<{ readonly grad_norm: number }>;
  /**
   * Accumulated gradients divided by `labelled`, under the names of the adapter's file, or of the
   * base's.
   */
  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>>;
  /** The adapter as it is now. */
  adapter(): Promise<Adapter>;
  /**
   * A weight of the base as it is in memory now, under its name and in its order in the checkpoint:
   * it never changes, unless every weight trains.
   */
  baseTensor(name: string): Promise<Float32Array>;
  optimizerState(): OptimizerState;
  /** Errors: RangeError where the state is another model's. */
  restoreOptimizer(step: number, read: ReadTensor): Promise<void>;
  /**
   * Takes each adapter so many times: those below from the lowest on, then the one that trains. 1:
   * as it is; 0: not at all.
   */
  rescale(scales: readonly number[]): Promise<void>;
  /** Causal language models only. Errors: LoraError for others. */
  generate(input_ids: readonly number[], options: GenerateOptions): Promise<number[]>;
  dispose(): void;
}
