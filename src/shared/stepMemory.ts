import type { BaseDtype } from './recipe';
import type { Quantize } from './trainingSettings';

export const MEMORY_FITS = ['fits', 'recomputed', 'exceeds'] as const;

/** Whether a step fits into memory, fits only with gradient checkpointing, or does not fit. */
export type MemoryFit = (typeof MEMORY_FITS)[number];

/**
 * Why a run keeps its base in a type: requested; requested but not supported; chosen because the
 * processor multiplies bf16, because it saves memory, or because there is no reason not to use f32.
 */
export const STEP_REASONS = ['asked', 'refused', 'processor', 'memory', 'plain'] as const;
export type StepReason = (typeof STEP_REASONS)[number];

/** What a base can be kept in. The last ones: as training.quantize makes it. */
export const KEPT_TYPES = [
  ...(['float32', 'bfloat16', 'quantized'] as const satisfies BaseDtype[]),
  ...(['int8', 'nf4'] as const satisfies Quantize[]),
] as const;

/** The memory of a step that keeps the base in one type. */
export interface TypeMemory {
  readonly base_dtype: (typeof KEPT_TYPES)[number];
  /** Bytes without gradient checkpointing, and with it in all layers that support it. */
  readonly bytes: number;
  readonly recomputed_bytes: number;
  readonly fit: MemoryFit;
}

export const IMAGE_SOURCES = ['dataset', 'base'] as const;

/** The images of chats that a step is estimated with. */
export interface StepImages {
  /** Of the largest one. */
  readonly tokens: number;
  /** Whether it is in the dataset, or assumed by the base's image settings. */
  readonly from: (typeof IMAGE_SOURCES)[number];
}

/** The memory of a step in each type, for the largest batch of a training run. */
export interface StepMemory {
  readonly rows: number;
  /** Tokens of a row. */
  readonly length: number;
  /** Not given: there are none. */
  readonly images?: StepImages;
  /** Bytes of free memory. */
  readonly available: number;
  readonly types: readonly TypeMemory[];
}

/** The memory of a step that keeps the weights of a .gguf file quantized. */
export interface FileMemory extends TypeMemory {
  /** Of its matrices, such as Q8_0. */
  readonly type: string;
}

/** A published model that need not be there, and what a step would need. */
export interface CommonSize {
  /** OWNER/MODEL on the Hub. */
  readonly model: string;
  readonly parameters: number;
  readonly memory: StepMemory;
  /** None where quantized weights cannot be kept. */
  readonly files: readonly FileMemory[];
}

/** What a step needs in each form of the weights: the model's own types, then .gguf files. */
export const formsOfSize = ({
  memory,
  files,
}: CommonSize): readonly (Omit<TypeMemory, 'base_dtype'> & { readonly name: string })[] => [
  ...memory.types.map((own) => ({ ...own, name: own.base_dtype })),
  ...files.map((own) => ({ ...own, name: own.type })),
];
