/** The programs that `lora use --in` prepares an adapter for. */
export const USE_TOOLS = ['ollama', 'lm-studio', 'llama.cpp', 'vllm', 'mlx', 'server'] as const;
export type UseTool = (typeof USE_TOOLS)[number];

/** What programs of llama.cpp make of a model: text, vectors of sentences, or scores. */
export const LLAMA_OUTPUTS = ['text', 'vectors', 'scores'] as const;
export type LlamaOutput = (typeof LLAMA_OUTPUTS)[number];

/** What they are called. */
export const USE_LABELS: Readonly<Record<UseTool, string>> = {
  ollama: 'Ollama',
  'lm-studio': 'LM Studio',
  'llama.cpp': 'llama.cpp',
  vllm: 'vLLM',
  mlx: 'mlx-lm',
  server: 'LoRA Workbench',
};

/** A program to start: its name or path, and what follows. */
export type CommandLine = readonly [program: string, ...args: string[]];

/** The result of `lora use --json`. */
export interface PreparedUse {
  readonly in: UseTool;
  readonly base: string;
  /** Whether the adapter was merged into it. */
  readonly merged: boolean;
  /** What was written: absolute paths of files and folders. */
  readonly files: readonly string[];
  /** To be run one after the other; the last one uses the adapter. */
  readonly commands: readonly CommandLine[];
  /** The same for a shell; null where a path holds what a shell would act on. */
  readonly lines: readonly string[] | null;
  /** Full path of the last command's program; null: it is not on the PATH. */
  readonly program: string | null;
  readonly notes: readonly string[];
}

/** The key of an error's place where merging would help: `lora use --merge`. */
export const NEEDS_MERGE = 'merge';
