import type { Adapter, TargetableModule } from '../lora/adapter';

/** Sequences [batch, length], row-major, padded on the right or on the left. */
export interface ModelInput {
  readonly batch: number;
  readonly length: number;
  /** Empty for images. */
  readonly input_ids: Int32Array;
  readonly attention_mask: Int32Array;
  /** Of sentence pairs; 0 if left out. */
  readonly token_type_ids?: Int32Array;
  /** If left out, counted from 0 in each row. */
  readonly position_ids?: Int32Array;
  /** Packed rows: a token sees only those of its own segment. */
  readonly segment_ids?: Int32Array;
  /** Images [batch, channels, height, width]; then length is the number of patches plus one. */
  readonly pixel_values?: Float32Array;
}

/**
 * Labels: a token's [batch, length] or a row's class [batch], -100 if it has none; or real numbers
 * [batch, num_labels]. Pairs need none: rows i and i + batch / 2 belong together.
 */
export interface LabelledInput extends ModelInput {
  readonly labels: Int32Array | Float32Array;
}

/**
 * next_token and token: cross-entropy of the labelled tokens; single_label: cross-entropy of each
 * row; multi_label: binary cross-entropy; regression: squared error; pairs: cross-entropy of the
 * rows' cosines (in-batch negatives).
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

/** Reads the numbers stored under a name. */
export type ReadTensor = (name: string) => Promise<Float32Array>;

/**
 * AdamW's state. LoRA: `exp_avg` and `exp_avg_sq` over one flat vector of all trained tensors: A, B
 * and the magnitude of each module of the adapter, then the others. Full fine-tuning: one of each
 * per tensor, such as `exp_avg.model.norm.weight`. `read` returns the numbers at the time of the
 * call.
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
  /** Asked between two operations on the prompt; true ends the generation. */
  readonly isStopped?: () => boolean;
  /** Called with each new token; returns false to end the generation. */
  readonly onToken?: (id: number) => boolean | undefined;
}

/** A tensor of a file, in whose terms it is named. */
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface LossSum {
  readonly loss_sum: number;
  /** Number of terms of the sum: labelled tokens, rows, or rows times labels. */
  readonly labelled: number;
}

export interface Evaluation extends LossSum {
  /** As `Model.logits` returns them, but embeddings are not normalized; null for next_token. */
  readonly outputs: Float32Array | null;
}

/**
 * A model that trains: its adapter on frozen weights, or all of its weights. libtensorflow blocks
 * the thread, so call it in a worker.
 */
export interface Model {
  /** model_type of the base's config.json. */
  readonly architecture: string;
  readonly modules: readonly TargetableModule[];
  readonly trainable_parameters: number;
  /**
   * Number of live tensors. It is the same before and after each call of a method, except that in
   * full fine-tuning gradients live from `accumulate` to `step`.
   */
  readonly liveTensors: () => number;
  /**
   * The head's outputs in f32, row-major: [batch, length, vocab or labels], [batch, labels], or
   * embeddings [batch, d].
   */
  logits(input: ModelInput): Promise<Float32Array>;
  /**
   * The sum of the losses; accumulates the gradient of the sum. An error discards all gradients
   * since the last step. `dropout_seed` must differ for each batch of a run. A batch without labels
   * adds nothing.
   */
  accumulate(input: LabelledInput, dropout_seed: number): Promise<LossSum>;
  /** The sum of the losses, without gradients and dropout. */
  evaluate(input: LabelledInput): Promise<Evaluation>;
  /**
   * Divides the accumulated gradients by `labelled`, clips them, takes a step of AdamW and discards
   * them. `grad_norm` is the L2 norm before clipping.
   */
  step(labelled: number, settings: OptimizerSettings): Promise<{ readonly grad_norm: number }>;
  /**
   * The accumulated gradients divided by `labelled`, by the names of the adapter's or base's file.
   */
  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>>;
  /** The adapter with its present numbers. */
  adapter(): Promise<Adapter>;
  /**
   * The present numbers of a weight of the base, in the order of the checkpoint. They change in
   * full fine-tuning only.
   */
  baseTensor(name: string): Promise<Float32Array>;
  optimizerState(): OptimizerState;
  /** @throws RangeError if the state is that of another model. */
  restoreOptimizer(step: number, read: ReadTensor): Promise<void>;
  /**
   * Multiplies what each adapter adds by a factor: the frozen adapters from the lowest on, then the
   * one that trains. 1: unchanged; 0: off.
   */
  rescale(scales: readonly number[]): Promise<void>;
  /** @throws LoraError('base') unless it is a causal language model. */
  generate(input_ids: readonly number[], options: GenerateOptions): Promise<number[]>;
  dispose(): void;
}
