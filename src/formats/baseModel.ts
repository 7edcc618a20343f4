import type { Spec } from './architecture/spec';
import type { WeightSource } from './weightSource';

/** tokenizer.json and tokenizer_config.json; made from the metadata of a GGUF file. */
export interface TokenizerFiles {
  readonly tokenizer: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>>;
  /** Jinja source; null: none. */
  readonly chat_template: string | null;
  /** The file that they are from, for messages. */
  readonly source: string;
  /** The file that the chat template is from, if it is another. */
  readonly chat_template_file?: string;
}

/** An open base model: its headers are checked, its weights not yet read. Close it. */
export interface BaseModel {
  /** The folder or the .gguf file. */
  readonly path: string;
  readonly name: string;
  /** Its name on the Hub, owner/name, where its place or its metadata tells it. */
  readonly hub: string | null;
  readonly format: 'safetensors' | 'gguf';
  /** config.json; made from the metadata of a GGUF file. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly spec: Spec;
  /** Tensors by their names in current transformers, whatever the file calls them. */
  readonly weights: WeightSource;
  /** Names of the tensors that an adapter replaces. */
  readonly replaced: ReadonlySet<string>;
  /** Names of the classifier's tensors that must be newly initialized. */
  readonly missing: readonly string[];
  /** Absolute paths of the weight files, for the fingerprint. */
  readonly weight_files: readonly string[];
  readonly parameters: number;
  /**
   * @throws LoraError('tokenizer') when the base has no tokenizer, or one that is not supported.
   */
  readTokenizer(): Promise<TokenizerFiles>;
  close(): Promise<void>;
}
