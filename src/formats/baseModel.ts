import type { Spec } from './architecture/spec';

/** Element types of safetensors and of GGUF, by their files' names. */
export type DType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U64'
  | 'U32'
  | 'U16'
  | 'U8'
  | 'BOOL'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'Q2_K'
  | 'Q3_K'
  | 'IQ4_NL'
  | 'IQ4_XS';

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  /** Row-major, outermost first (GGUF's dimensions reversed). */
  readonly shape: readonly number[];
}

/**
 * Tensors of a checkpoint under the names and in the row order of the original Hugging Face
 * checkpoint.
 */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Widened or dequantised to f32, row-major; into `target`, which has its size, where that is
   * given. Errors: LoraError naming file and tensor.
   */
  readF32(name: string, target?: Float32Array): Promise<Float32Array>;
  /** The bits of bf16: as they are stored, else rounded, a part at a time. */
  readBF16(name: string, target?: Uint16Array): Promise<Uint16Array>;
  close(): Promise<void>;
}

/** A tensor that stands in for one of the base's. */
export interface ReplacedTensor {
  readonly shape: readonly number[];
  readonly read: () => Promise<Float32Array>;
}

/**
 * tokenizer.json and tokenizer_config.json as objects (made from the metadata where the base is a
 * GGUF file).
 */
export interface TokenizerFiles {
  readonly tokenizer: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>>;
  /** Jinja source; null where the base has none. */
  readonly chat_template: string | null;
  /** For messages. */
  readonly source: string;
}

/** A base model on disk, headers read and checked, weights not yet read. */
export interface BaseModel {
  /** The folder or the .gguf file. */
  readonly path: string;
  readonly name: string;
  readonly format: 'safetensors' | 'gguf';
  /** config.json, either layout; made from the metadata where the base is a GGUF file. */
  readonly config: Readonly<Record<string, unknown>>;
  /** What the model is. */
  readonly spec: Spec;
  /** Tensors under current transformers' names, whatever the file calls them. */
  readonly weights: WeightSource;
  /** Names of tensors that an adapter has brought. */
  readonly replaced: ReadonlySet<string>;
  /** Names of the head's tensors that the checkpoint lacks: a new head. */
  readonly missing: readonly string[];
  /** Absolute paths of the weight files, for the fingerprint. */
  readonly weight_files: readonly string[];
  readonly parameters: number;
  /** Errors: LoraError when the base has no tokenizer. */
  readTokenizer(): Promise<TokenizerFiles>;
  close(): Promise<void>;
}
