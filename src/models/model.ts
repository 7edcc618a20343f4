import type { Adapter, TargetableModule } from '../lora/adapter';
import type { Products } from '../shared/products';
import type { Objective } from '../shared/objective';
import type { TeacherSettings, TeacherTargets, TopTokens } from './heads/teacher';
import type { SpatialPositions } from './attention/rope';
import type { StepTimes } from './drafts/stepTimes';
import type { Tensor } from './ops/tensor';
import type { PlacedImage } from './vision/placedImage';
import type { LogitBlocks } from './sampling/logitBlocks';
import type { SamplingSettings } from './sampling/settings';

/** NEFTune (Jain et al. 2023): alpha, and the seed of a batch's noise. */
export interface EmbeddingNoise {
  readonly alpha: number;
  readonly seed: number;
}

/** Images for the tower of a model that reads texts as well. */
export interface ImagesInput {
  readonly batch: number;
  /** Positions that an image takes. */
  readonly length: number;
  /** [batch, channels, height, width] */
  readonly pixel_values: Float32Array;
}

/** What an encoder reads, padded on the right or on the left. */
export interface SourceInput {
  readonly batch: number;
  readonly length: number;
  readonly input_ids: Int32Array; // [batch, length]
  readonly attention_mask: Int32Array; // [batch, length]
}

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
  /** Of rows with images, where `position_ids` are the times. */
  readonly spatial_ids?: SpatialPositions;
  /** Packed rows: a token sees only those of its own segment. */
  readonly segment_ids?: Int32Array;
  /** Images whose vectors stand in place of tokens. */
  readonly placed_images?: readonly PlacedImage[];
  /** NEFTune: noise on the token embeddings, in training. */
  readonly noise?: EmbeddingNoise;
  /** Images [batch, channels, height, width]; then length is that of an image. */
  readonly pixel_values?: Float32Array;
  /** Of layers models, which have nothing else: rows in the shape of their input [batch, …]. */
  readonly inputs?: Float32Array;
  /** The images that texts are compared with. */
  readonly images?: ImagesInput;
  /** What the encoder of an encoder-decoder reads, whose decoder reads the rest. */
  readonly source?: SourceInput;
}

/**
 * Labels: a token's [batch, length] or a row's class [batch], -100 if it has none; or real numbers
 * [batch, num_labels]. Pairs have scores or none: rows i, i + batch / columns and so on belong
 * together. Documents have their scores [batch].
 */
export interface LabelledInput extends ModelInput {
  readonly labels: Int32Array | Float32Array;
  /** Of pairs: texts per row, the negatives included. Default: 2. */
  readonly columns?: number;
  /**
   * The weights of losses, in the shape of a token's or row's labels: [batch, length], [batch], or
   * one for each pair or list. If left out, all are 1.
   */
  readonly weights?: Float32Array;
  /** The teacher's targets for the labelled tokens, for distillation. */
  readonly teacher?: TeacherTargets;
  /** Rated documents, one a sequence: how many each list has; null: each is a row of its own. */
  readonly ranking?: { readonly groups: Int32Array | null };
  /** Answers that are compared instead of learned: the labels say which tokens they have. */
  readonly comparison?: Comparison;
}

/** Objectives with pairs of a chosen and a rejected answer. */
export type PairObjective = Exclude<Objective, { readonly method: 'kto' }>;

/** The inputs of a preference loss besides the model. */
export type Comparison =
  | {
      readonly kind: 'pairs';
      /** Rows i and i + batch / 2 are the chosen and the rejected answer of a pair. */
      readonly objective: PairObjective;
      /** Log-probabilities of the answers under the reference [batch]; null: it needs none. */
      readonly reference: Float64Array | null;
      /** By how much the reward of each chosen answer should exceed the other [batch / 2]. */
      readonly margins: Float64Array | null;
    }
  | {
      readonly kind: 'unpaired';
      readonly objective: Extract<Objective, { readonly method: 'kto' }>;
      readonly reference: Float64Array; // [batch]
      readonly desirable: readonly boolean[]; // [batch]
      /** Estimate of the KL divergence of the model from the reference, at least 0. */
      readonly kl: number;
    };

/** Of each pair or row, without what is added for all of them. */
export interface ComparisonResult {
  readonly losses: Float64Array; // [pairs or rows]
  /** Log-probabilities of the answers, or their means per token where the loss takes those. */
  readonly logps: Float64Array; // [batch]
  /** What the answers are compared by, as TRL defines it. */
  readonly rewards: Float64Array; // [batch]
  /** Mean cross-entropy that is added to the loss with a weight; null: none. */
  readonly nll: number | null;
}

/**
 * next_token and token: cross-entropy of the labelled tokens; single_label: cross-entropy of each
 * row; multi_label: binary cross-entropy; regression: squared error; pairs: see `embeddingLoss`.
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

/** The images of a prompt, and the positions of its tokens. */
export interface PromptImages extends SpatialPositions {
  readonly times: Int32Array;
  /** The position of the token after the prompt. */
  readonly next: number;
  readonly placed: readonly PlacedImage[];
}

export interface GenerateOptions extends SamplingSettings {
  /** Not given: the prompt has none. */
  readonly images?: PromptImages;
  readonly max_new_tokens: number;
  readonly stop_ids: readonly number[];
  /** Of tokens after the prompt. Default: exact. */
  readonly products?: Products;
  /** Asked between two operations on the prompt; true ends the generation. */
  readonly isStopped?: () => boolean;
  /** Called with each new token; returns false to end the generation. */
  readonly onToken?: (id: number) => boolean | undefined;
}

/** The tokens of a sequence so far. Its decoder alone changes and frees it. */
export interface Sequence {
  /** Keys and values of each layer [kv_heads, length or capacity, head_dim]. */
  caches: { readonly k: Tensor; readonly v: Tensor }[];
  length: number;
  /** Tokens that the caches have room for; 0: as many as there are. */
  capacity: number;
  /** Of an encoder-decoder: keys and values of what the encoder read [heads, length, head_dim]. */
  sources?: { readonly k: Tensor; readonly v: Tensor }[];
  /** Of an encoder-decoder: what the encoder is going to read. */
  prompt?: readonly number[];
  /** What the positions of further tokens are beyond their number. Not given: 0. */
  shift?: number;
  /** Tokens of a draft that the caches have after `length`. Not given: 0. */
  drafted?: number;
}

/** What checks drafts of a sequence. */
export interface DraftChecks {
  /** A step of more rows takes much longer. */
  readonly rows: number;
  /** How long steps take. */
  readonly times: StepTimes;
  /** The next token of the draft that was in the last step belongs to the sequence. */
  keep(sequence: Sequence): void;
}

/** How the next tokens of a prompt are read. */
export interface ReadOptions {
  /** Whether they are the last ones, whose logits are wanted. */
  readonly isLast: boolean;
  /** Those of the whole prompt. Not given: it has none. */
  readonly images?: PromptImages;
  /** Whether the logits after each of them are wanted, [m, vocab], whether they are the last. */
  readonly all?: boolean;
  /** Asked between two operations. */
  readonly isStopped?: () => boolean;
}

/** What the next token is drawn from. */
export interface NextLogits {
  readonly logits: Float32Array; // [vocab]
  readonly blocks: LogitBlocks | null;
}

/**
 * Reads prompts, and writes several sequences at once: every step is one pass over the weights. One
 * call at a time. The sequences of a call that is stopped or fails are empty afterwards.
 */
export interface Decoder {
  /** Bytes of what a sequence of `length` tokens keeps. */
  bytesOf(length: number): number;
  /**
   * Number of tokens that can follow a prompt of `length` tokens.
   *
   * @throws PromptTooLong if the prompt has more tokens than the model has positions.
   */
  remainingPositions(length: number): number;
  /** A sequence without a token. */
  open(): Sequence;
  /**
   * Reads up to CHUNK_TOKENS more tokens of a prompt. Logits [vocab] after the last one of the
   * prompt, else null.
   */
  read(
    sequence: Sequence,
    ids: Int32Array,
    options: ReadOptions,
  ): Promise<Float32Array | null | 'stopped'>;
  /**
   * The next token of each sequence, none of which is empty. Logits [vocab] after each; with drafts
   * of the tokens after these, one for each sequence, after each of them and of its draft. The
   * sequences do not have their drafts: see `keep`. With the temperatures at which the tokens of
   * each sequence are drawn, there are blocks of the logits where a kernel computes them.
   */
  step(
    sequences: readonly Sequence[],
    ids: readonly number[],
    drafts?: readonly (readonly number[])[],
    temperatures?: readonly number[],
  ): Promise<NextLogits[]>;
  /** Null: it takes no drafts. */
  readonly drafts: DraftChecks | null;
  /** The start token of a decoder, whose prompt an encoder reads. */
  readonly startIds?: readonly number[];
  /** Whether `copy` can leave out the last tokens. */
  readonly copiesParts: boolean;
  /** A copy of the first `length` tokens; of all if it can copy no part. */
  copy(sequence: Sequence, length: number): Sequence;
  /** Frees the keys and values: the sequence is empty. */
  close(sequence: Sequence): void;
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
  /** Sum of their weights, by which the sum is divided: `labelled` where all weights are 1. */
  readonly weight: number;
}

export interface Evaluation extends LossSum {
  /** As `Model.logits` returns them, but embeddings are not normalized; null for next_token. */
  readonly outputs: Float32Array | null;
  /** Only with a teacher: the weighted sum of the divergences from it. */
  readonly divergence_sum?: number;
  /** Only where answers are compared; then the sum has a term for each pair or row. */
  readonly compared?: ComparisonResult;
  /** Only of `accumulate`: how many tokens each mixture sent to each of its experts. */
  readonly expert_counts?: readonly Float64Array[]; // [mixtures][experts]
}

/** The interface of a model that training needs. */
export type TrainedModel = Pick<
  Model,
  'accumulate' | 'evaluate' | 'step' | 'optimizerState' | 'trainable_parameters'
> &
  Partial<Pick<Model, 'joinsRows'>>;

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
   * Whether rows side by side in one, as segments, train as they do below each other, and attention
   * skips what segments do not see of each other.
   */
  readonly joinsRows: boolean;
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
  /** The last layer's vectors after its norm [batch, length, d]. Those of padding mean nothing. */
  hiddenStates(input: ModelInput): Promise<Float32Array>;
  /**
   * The weighted sum of the losses; accumulates the gradient of the sum. An error discards all
   * gradients since the last step. `dropout_seed` must differ for each batch of a run. A batch
   * without labels adds nothing.
   */
  accumulate(input: LabelledInput, dropout_seed: number): Promise<Evaluation>;
  /** The weighted sum of the losses, without gradients, dropout, noise and label smoothing. */
  evaluate(input: LabelledInput): Promise<Evaluation>;
  /**
   * The sum of the log-probabilities of the labelled tokens of each row [batch].
   *
   * @throws LoraError('base') unless it is a causal language model.
   */
  logProbabilities(input: LabelledInput): Promise<Float64Array>;
  /**
   * The most probable tokens at each labelled token [labelled, top_k], for a model that learns from
   * this one.
   *
   * @throws LoraError('base') unless it is a causal language model.
   */
  topTokens(
    input: LabelledInput,
    settings: Pick<TeacherSettings, 'temperature' | 'top_k'>,
  ): Promise<TopTokens>;
  /**
   * Divides the accumulated gradients by `weight`, clips them, takes a step of AdamW and discards
   * them. `grad_norm` is the L2 norm before clipping.
   */
  step(weight: number, settings: OptimizerSettings): Promise<{ readonly grad_norm: number }>;
  /**
   * The accumulated gradients divided by `weight`, by the names of the adapter's or base's file.
   */
  gradients(weight: number): Promise<ReadonlyMap<string, NamedTensor>>;
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
   * trainable one. 1: unchanged; 0: off.
   */
  rescale(scales: readonly number[]): Promise<void>;
  /**
   * `products` are those of steps; prompts are read by exact ones. Default: exact.
   *
   * @throws LoraError('base') unless it is a causal language model.
   */
  decoder(products?: Products): Decoder;
  /** @throws LoraError('base') unless it is a causal language model. */
  generate(input_ids: readonly number[], options: GenerateOptions): Promise<number[]>;
  /**
   * Loads the vision encoder, before the first input with images.
   *
   * @throws LoraError('base') where there is none, or one of its tensors is missing or wrong
   */
  loadImages(): Promise<void>;
  dispose(): void;
}
