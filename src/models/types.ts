import type { Adapter, TargetableModule } from '../lora/types';

/** Sequences [batch, length], row-major, right- or left-padded; labels -100 where nothing is learnt. */
export interface ModelInput {
  readonly batch: number;
  readonly length: number;
  readonly input_ids: Int32Array;
  readonly attention_mask: Int32Array;
}

export interface LabelledInput extends ModelInput {
  readonly labels: Int32Array;
}

export interface OptimizerSettings {
  readonly learning_rate: number;
  readonly weight_decay: number;
  /** 0: no clipping. */
  readonly max_grad_norm: number;
}

/** AdamW's state over one flat vector of all adapter tensors, for each module of the adapter in turn A, then B. */
export interface OptimizerState {
  readonly step: number;
  readonly exp_avg: Float32Array;
  readonly exp_avg_sq: Float32Array;
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

/** A frozen causal language model with an adapter that trains. All methods run where libtensorflow blocks: call them in a worker. */
export interface CausalLM {
  readonly architecture: string;
  readonly modules: readonly TargetableModule[];
  readonly trainable_parameters: number;
  /** Tensors and raw handles alive now; the same before and after each call below. */
  readonly liveTensors: () => number;
  /** logits [batch, length, vocab], f32 row-major. */
  logits(input: ModelInput): Promise<Float32Array>;
  /** Sum of the cross-entropies over the labels and their number; adds the gradient of the SUM to the accumulated gradients.
   *  `dropout_seed` must differ for each batch of a run. A batch without labels gives 0, 0 and adds nothing. */
  accumulate(input: LabelledInput, dropout_seed: number): Promise<{ readonly loss_sum: number; readonly labelled: number }>;
  /** The same without gradients and dropout. */
  evaluate(input: LabelledInput): Promise<{ readonly loss_sum: number; readonly labelled: number }>;
  /** Divides the accumulated gradients by `labelled`, clips, steps AdamW, clears them. grad_norm is before clipping. */
  step(labelled: number, settings: OptimizerSettings): Promise<{ readonly grad_norm: number }>;
  /** Accumulated gradients divided by `labelled`, under the names of the adapter's file. */
  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>>;
  /** The adapter as it is now. */
  adapter(): Promise<Adapter>;
  /** A weight of the base as it is in memory now, under its name and in its order in the checkpoint: it never changes. */
  baseTensor(name: string): Promise<Float32Array>;
  optimizerState(): Promise<OptimizerState>;
  restoreOptimizer(state: OptimizerState): void;
  generate(input_ids: readonly number[], options: GenerateOptions): Promise<number[]>;
  dispose(): void;
}
