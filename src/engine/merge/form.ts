import { linearsOf } from '../../formats/architecture/layerLinears';
import { factorOrder } from '../../formats/gguf/factorOrder';
import type { GgufFamily, GgufStorage } from '../../formats/gguf/family';
import { GGUF_TYPES } from '../../formats/gguf/header';
import { ggufName } from '../../formats/gguf/names';
import { PADDING_ROWS, toGgufOrder, type HeadLayout } from '../../formats/gguf/order';
import { QUANTIZED_DTYPES } from '../../formats/quantized/checkpoint';
import { isFloat } from '../../formats/safetensors/read';
import type { BaseModel } from '../../formats/baseModel';
import type { DType } from '../../formats/tensorInfo';
import { layoutOf, type Layout } from '../../lora/merge';
import type { Adapter, LoraFactors, TrainedTensor } from '../../lora/adapter';
import { storedModules } from '../../lora/experts';
import { LoraError } from '../../shared/errors';
import { FLOATS, type SourceTensor } from './source';

/** The dtypes that weights can be converted to; q8_0 only in .gguf files. */
export const MERGE_DTYPES = {
  float32: 'F32',
  bfloat16: 'BF16',
  float16: 'F16',
  q8_0: 'Q8_0',
} as const satisfies Readonly<Record<string, DType>>;

/** The dtype of the merged weights; keep: as in the base. */
export type MergeDtype = 'keep' | keyof typeof MERGE_DTYPES;

/** How the output stores its tensors. */
export interface OutputForm {
  /**
   * The dtype of a tensor of the base; `isChanged`: the merge changes its numbers.
   * @throws LoraError when nothing can be merged into it.
   */
  readonly dtypeOf: (tensor: SourceTensor, isChanged: boolean) => DType;
  /** The dtype of a tensor that the base lacks. */
  readonly added: DType;
  readonly layoutOf: (m: LoraFactors) => Layout;
  /** The name of a tensor that the base lacks. */
  readonly nameOf: (name: string) => string;
}

const requestedType = (dtype: MergeDtype): DType | null =>
  dtype === 'keep' ? null : MERGE_DTYPES[dtype];

/**
 * A model folder: floating-point weights keep their dtype or get the requested one, quantized ones
 * of a GGUF base become float16 and others what the embedding is, integers stay.
 * @throws LoraError('usage') for q8_0.
 */
export function folderForm(base: BaseModel, dtype: MergeDtype): OutputForm {
  const requested = requestedType(dtype);
  if (requested === 'Q8_0') {
    throw new LoraError('usage', 'A model folder cannot hold q8_0 weights.', {
      fix: 'Choose an output that ends with .gguf, or another data type (--dtype).',
    });
  }
  const dequantized = dtypeOfNumbers(base);
  const transposed = new Map(
    base.spec.layers.flatMap(linearsOf).map((linear) => [linear.path, linear.transposed]),
  );
  return {
    added: requested ?? 'F32',
    layoutOf: (m) => layoutOf(m, transposed.get(m.path) ?? false),
    nameOf: (name) => name,
    dtypeOf: ({ dtype: storedType, name }, isChanged) => {
      if (FLOATS.has(storedType)) {
        return requested ?? storedType;
      }
      if (isFloat(storedType) && (isChanged || requested)) {
        return requested ?? 'BF16'; // holds every number of 8 bits
      }
      if (base.format === 'gguf') {
        return requested ?? 'F16';
      }
      if (QUANTIZED_DTYPES.has(storedType)) {
        return requested ?? dequantized;
      }
      if (isChanged) {
        throw new LoraError('base', `Nothing can be merged into a tensor of type ${storedType}.`, {
          place: { file: base.path, tensor: name },
          fix: 'Use the model in bf16, f16 or f32.',
        });
      }
      return storedType;
    },
  };
}

/** The dtype of the matrices that are not quantized. */
function dtypeOfNumbers({ weights }: BaseModel): DType {
  const matrices = [...weights.tensors.values()].filter(({ shape }) => shape.length === 2);
  return matrices.find(({ dtype }) => FLOATS.has(dtype))?.dtype ?? 'F16';
}

/**
 * A .gguf file: weights keep their dtype or get the requested one; quantized weights that change
 * become float16, except for q8_0. Norms, biases and what llama.cpp has in float32 keep theirs.
 */
export function ggufForm(family: GgufFamily, dtype: MergeDtype): OutputForm {
  const requested = requestedType(dtype);
  return {
    added: requested ?? 'F16',
    layoutOf: (m) => layoutOf(m, false), // llama.cpp has no Conv1D
    nameOf: (name) => ggufName(name, family) ?? name,
    dtypeOf: (tensor, isChanged) => {
      if (requested && isWeight(tensor)) {
        return fitsBlocks(tensor, requested) ? requested : 'F16';
      }
      const isKept = !isChanged || FLOATS.has(tensor.dtype) || tensor.dtype === 'Q8_0';
      return isKept ? tensor.dtype : 'F16';
    },
  };
}

/** Matrices that llama.cpp only has in float32: tables of biases, short convolutions, routers. */
const NO_WEIGHTS =
  /^(?:position_embd|token_types)|\.bias$|\.(?:attn_rel_b|ssm_conv1d|shortconv\.conv|ffn_gate_inp)\.weight$/;

const isWeight = ({ stored: name, shape }: SourceTensor): boolean =>
  shape.length >= 2 && !NO_WEIGHTS.test(name);

/** Whether the rows consist of whole blocks of the type. */
const fitsBlocks = ({ shape }: SourceTensor, dtype: DType): boolean =>
  (shape.at(-1) ?? 1) % GGUF_TYPES.get(dtype)!.block === 0;

/** The adapter with its rows in the order in which a .gguf file stores those of its base. */
export function inGgufOrder(adapter: Adapter, family: GgufFamily, heads: HeadLayout): Adapter {
  return {
    ...adapter,
    modules: storedModulesOf(adapter.modules, family).map((m): LoraFactors => {
      const name = `${m.path}.weight`;
      if (family.storage(name) === 'after_padding') return withoutPadding(m);
      const { rows, columns } = factorOrder(name, family);
      if (columns !== 'plain')
        return { ...m, A: toGgufOrder(m.A, columns, { ...heads, shape: [m.r, m.in_features] }) };
      if (rows === 'plain') return m;
      const reorder = (data: Float32Array, width: number) =>
        toGgufOrder(data, rows, { ...heads, shape: [m.out_features, width] });
      return { ...m, B: reorder(m.B, m.r), magnitude: m.magnitude && reorder(m.magnitude, 1) };
    }),
    trained: adapter.trained.map((tensor): TrainedTensor => {
      const { name, shape, data } = tensor;
      const storage = family.storage(name);
      return {
        ...tensor,
        shape: storedShape(shape, storage),
        data: toGgufOrder(data, storage, { ...heads, shape }),
      };
    }),
  };
}

/** Factors of a table of positions whose first rows the file leaves out: A is [r, rows]. */
function withoutPadding(m: LoraFactors): LoraFactors {
  const in_features = m.in_features - PADDING_ROWS;
  const A = new Float32Array(m.r * in_features);
  for (let rank = 0; rank < m.r; rank++)
    A.set(
      m.A.subarray(rank * m.in_features + PADDING_ROWS, (rank + 1) * m.in_features),
      rank * in_features,
    );
  return { ...m, A, in_features };
}

/** Gate and up of experts are tensors of their own also where the checkpoint has them in turn. */
const storedModulesOf = (
  modules: readonly LoraFactors[],
  { experts }: GgufFamily,
): readonly LoraFactors[] => (experts === 'in_turn' ? storedModules(modules, experts) : modules);

function storedShape(shape: readonly number[], storage: GgufStorage): readonly number[] {
  if (storage === 'transposed') return shape.toReversed();
  if (storage === 'after_padding')
    return shape.map((size, axis) => (axis === 0 ? size - PADDING_ROWS : size));
  const isSqueezed = storage === 'squeezed' || storage === 'value_channels';
  return isSqueezed ? shape.filter((_, axis) => axis !== 1) : shape;
}
