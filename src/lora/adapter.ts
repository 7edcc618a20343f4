/**
 * A layer that LoRA can adapt. Shapes follow y = W x with W [out, in], however the file stores it.
 */
export interface TargetableModule {
  /** Module path as PEFT names it, without `base_model.model.`: model.layers.0.self_attn.q_proj */
  readonly path: string;
  readonly kind: ModuleKind;
  /** Its path in the vision-language model that its language model is a part of. */
  readonly path_in_model?: string;
  /** Of a convolution: channels times the sizes of the kernel. */
  readonly in_features: number;
  readonly out_features: number;
  /** The output layer: all-linear leaves it out, as PEFT does. */
  readonly is_output: boolean;
  /** Of a convolution: height and width; conv3d: frames, height and width. */
  readonly kernel?: readonly number[];
  /** Other names that target_modules has for it: of a layers model, the layer and its class. */
  readonly names?: readonly string[];
}

export type ModuleKind = 'linear' | 'embedding' | 'conv2d' | 'conv3d';

/** Whether a module is a convolution whose windows do not overlap. */
export const isConvolution = ({ kind }: { readonly kind: ModuleKind }): boolean =>
  kind === 'conv2d' || kind === 'conv3d';

/**
 * PEFT's trainable_token_indices: tokens of the input embedding, or of the modules whose paths end
 * with these names.
 */
export type TokenIndices = readonly number[] | Readonly<Record<string, readonly number[]>>;

/** adapter_config.json as far as it is understood; other keys are kept in `raw`. */
export interface AdapterConfig {
  readonly r: number;
  readonly lora_alpha: number;
  readonly lora_dropout: number;
  readonly target_modules: string | readonly string[];
  readonly use_rslora: boolean;
  readonly use_dora: boolean;
  readonly bias: 'none' | 'all' | 'lora_only';
  readonly modules_to_save: readonly string[] | null;
  readonly fan_in_fan_out: boolean;
  readonly base_model_name_or_path: string | null;
  readonly layers_to_transform: number | readonly number[] | null;
  readonly layers_pattern: string | readonly string[] | null;
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
  readonly exclude_modules: string | readonly string[] | null;
  /** Tokens whose rows are trained. Not given: none. */
  readonly trainable_token_indices?: TokenIndices | null;
  readonly raw: Readonly<Record<string, unknown>>;
}

/**
 * The factors of one adapted module: dW = scaling · B A. Linear: A [r, in], B [out, r]. Conv2d, as
 * PEFT stores it: A [r, channels, height, width], B [out, r, 1, 1], the same numbers; conv3d has
 * the frames before the height. Embedding: A (lora_embedding_A) [r, vocab], B (lora_embedding_B)
 * [dim, r]. All row-major f32.
 */
export interface LoraFactors {
  readonly path: string;
  readonly kind: ModuleKind;
  readonly r: number;
  readonly in_features: number;
  readonly out_features: number;
  readonly scaling: number;
  readonly A: Float32Array;
  readonly B: Float32Array;
  /** DoRA (Liu et al. 2024): length of each row of W + dW. [out] */
  readonly magnitude: Float32Array | null;
  readonly kernel?: readonly number[];
}

/**
 * A tensor of the base that is trained beside LoRA and saved with it: a bias, one of a module in
 * modules_to_save, or rows of an embedding or output layer (trainable_token_indices).
 */
export interface TrainedTensor {
  /** Its name in the model: classifier.weight, model.layers.0.self_attn.q_proj.bias. */
  readonly name: string;
  /** In the file's orientation; of `rows`: [rows, width]. */
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /**
   * The tokens whose rows these are; the others stay as they are, and an output layer that shares
   * the weight changes alike. Not given: the tensor is whole.
   */
  readonly rows?: readonly number[];
}

/** Element types in which the numbers of adapters are stored. */
export type AdapterDtype = 'F32' | 'F16' | 'BF16';

export interface Adapter {
  /** How its file stores it; F32 unless given. */
  readonly dtype?: AdapterDtype;
  /** Whether it comes from a file with kohya's factor names and dotted module names. */
  readonly has_dotted_names?: boolean;
  readonly config: AdapterConfig;
  readonly modules: readonly LoraFactors[];
  readonly trained: readonly TrainedTensor[];
}

/**
 * s in W' = W + s·BA: lora_alpha / r (Hu et al. 2021), or lora_alpha / √r (rsLoRA, Kalajdzievski
 * 2023).
 */
export function scalingOf(r: number, lora_alpha: number, use_rslora: boolean): number {
  return lora_alpha / (use_rslora ? Math.sqrt(r) : r);
}
