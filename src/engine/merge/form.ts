import { linearsOf } from '../../formats/architecture/modules';
import { rowsOf } from '../../formats/gguf/adapter';
import type { GgufFamily } from '../../formats/gguf/family';
import { GGUF_TYPES } from '../../formats/gguf/header';
import { ggufName } from '../../formats/gguf/names';
import { stored } from '../../formats/gguf/order';
import type { BaseModel } from '../../formats/baseModel';
import type { DType } from '../../formats/tensorInfo';
import { layoutOf, type Layout } from '../../lora/merge';
import type { Adapter, LoraFactors, TrainedTensor } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { FLOATS, type SourceTensor } from './source';

/** q8_0: only in .gguf files. */
export const MERGE_DTYPES = {
  float32: 'F32',
  bfloat16: 'BF16',
  float16: 'F16',
  q8_0: 'Q8_0',
} as const satisfies Readonly<Record<string, DType>>;
export type MergeDtype = 'keep' | keyof typeof MERGE_DTYPES;

/** How the output holds its tensors. */
export interface OutputForm {
  /** `changes`: something is merged into it. Errors: LoraError where that cannot be. */
  readonly dtypeOf: (tensor: SourceTensor, changes: boolean) => DType;
  /** Of a tensor that the base lacks. */
  readonly added: DType;
  readonly layoutOf: (m: LoraFactors) => Layout;
  /** What a tensor that the base lacks is called. */
  readonly nameOf: (name: string) => string;
}

/**
 * A model folder: dtypes as the base has them or as asked for; quantised weights of a GGUF base
 * become float16. Whole numbers stay.
 */
export function folderForm(base: BaseModel, dtype: MergeDtype): OutputForm {
  const now = dtype === 'keep' ? null : MERGE_DTYPES[dtype];
  if (now === 'Q8_0')
    throw new LoraError('usage', 'A model folder holds no q8_0 weights.', {
      fix: 'Name an output that ends with .gguf, or another --dtype.',
    });
  const linears = new Map(
    base.spec.layers.flatMap(linearsOf).map((own) => [own.path, own.transposed]),
  );
  return {
    added: now ?? 'F32',
    layoutOf: (m) => layoutOf(m, linears.get(m.path) ?? false),
    nameOf: (name) => name,
    dtypeOf: ({ dtype: own, name }, changes) => {
      if (FLOATS.has(own)) return now ?? own;
      if (base.format === 'gguf') return now ?? 'F16';
      if (changes)
        throw new LoraError(
          'base',
          `The tensor holds numbers of type ${own}, into which nothing can be merged.`,
          { place: { file: base.path, tensor: name }, fix: 'Use the model in bf16, f16 or f32.' },
        );
      return own;
    },
  };
}

/**
 * A .gguf file: weights as the base has them or as asked for; those that change and are quantised
 * otherwise than q8_0 become float16. Norms, biases and tables of positions stay.
 */
export function ggufForm(family: GgufFamily, dtype: MergeDtype): OutputForm {
  const now = dtype === 'keep' ? null : MERGE_DTYPES[dtype];
  const fitting = (wanted: DType, { shape }: Pick<SourceTensor, 'shape'>): DType =>
    (shape.at(-1) ?? 1) % GGUF_TYPES.get(wanted)!.block === 0 ? wanted : 'F16';
  return {
    added: now ?? 'F16',
    layoutOf: (m) => layoutOf(m, false), // llama.cpp has no Conv1D
    nameOf: (name) => ggufName(name, family) ?? name,
    dtypeOf: (tensor, changes) => {
      if (now && isWeight(tensor)) return fitting(now, tensor);
      return !changes || FLOATS.has(tensor.dtype) || tensor.dtype === 'Q8_0' ? tensor.dtype : 'F16';
    },
  };
}

const isWeight = ({ stored: name, shape }: SourceTensor) =>
  shape.length === 2 && !name.startsWith('position_embd');

/** An adapter in the order of rows in which a .gguf file holds its base. */
export function inGgufOrder(adapter: Adapter, family: GgufFamily, head_dim: number): Adapter {
  return {
    ...adapter,
    modules: adapter.modules.map((m): LoraFactors => {
      const order = rowsOf(`${m.path}.weight`, family);
      const rows = (data: Float32Array, width: number) =>
        stored(data, order, { shape: [m.out_features, width], head_dim });
      return order === 'plain'
        ? m
        : { ...m, B: rows(m.B, m.r), magnitude: m.magnitude && rows(m.magnitude, 1) };
    }),
    trained: adapter.trained.map((tensor): TrainedTensor => {
      const storage = family.storage(tensor.name);
      return {
        ...tensor,
        shape: storage === 'transposed' ? tensor.shape.toReversed() : tensor.shape,
        data: stored(tensor.data, storage, { shape: tensor.shape, head_dim }),
      };
    }),
  };
}
