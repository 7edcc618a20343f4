import type { Spec } from './architecture/spec';
import type { WeightSource } from './weightSource';

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
