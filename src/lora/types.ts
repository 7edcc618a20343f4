/** A layer that LoRA can adapt. Shapes are those of the maths: y = W x with W [out, in], however the file stores it. */
export interface TargetableModule {
  /** Module path as PEFT names it, without `base_model.model.`: model.layers.0.self_attn.q_proj */
  readonly path: string;
  readonly kind: 'linear' | 'embedding';
  readonly in_features: number;
  readonly out_features: number;
  /** The output layer: all-linear leaves it out, as PEFT does. */
  readonly is_output: boolean;
}

/** adapter_config.json as far as plain LoRA and rsLoRA go; other keys are kept in `raw`. */
export interface AdapterConfig {
  readonly r: number;
  readonly lora_alpha: number;
  readonly lora_dropout: number;
  readonly target_modules: string | readonly string[];
  readonly use_rslora: boolean;
  readonly base_model_name_or_path: string | null;
  readonly layers_to_transform: number | readonly number[] | null;
  readonly layers_pattern: string | readonly string[] | null;
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
  readonly exclude_modules: string | readonly string[] | null;
  readonly raw: Readonly<Record<string, unknown>>;
}

/** The factors of one adapted module: dW = scaling · B A. Linear: A [r, in], B [out, r].
 *  Embedding, as PEFT stores it: A (lora_embedding_A) [r, vocab], B (lora_embedding_B) [dim, r]. All row-major f32. */
export interface LoraFactors {
  readonly path: string;
  readonly kind: 'linear' | 'embedding';
  readonly r: number;
  readonly in_features: number;
  readonly out_features: number;
  readonly scaling: number;
  readonly A: Float32Array;
  readonly B: Float32Array;
}

export interface Adapter {
  readonly config: AdapterConfig;
  readonly modules: readonly LoraFactors[];
}
