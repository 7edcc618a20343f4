import { isModuleToSave } from '../../lora/modulesToSave';
import { LoraError } from '../../shared/errors';
import type { Quantize } from '../../shared/trainingSettings';
import { targetableLinears, towersOf } from '../architecture/modules';
import type { EmbeddingSpec, LinearSpec, Spec } from '../architecture/spec';
import { areFinite } from '../checkFinite';
import type { WeightSource } from '../weightSource';
import { fourBitForm, quantizeNf4 } from './fourBit';
import { integerForm, quantizeInt8 } from './integers';
import type { QuantizedMatrix, QuantizedTensor, RowForm } from './matrix';

/** How the weights of a base are quantized while they are loaded. */
export interface QuantizeOptions {
  readonly kind: Quantize;
  /** PEFT's modules_to_save, which train and stay as they are. */
  readonly modules_to_save: readonly string[] | null;
}

type Shape = readonly [rows: number, width: number];

interface Quantizer {
  readonly dtype: 'NF4' | 'INT8';
  readonly form: (shape: Shape) => RowForm | null;
  readonly quantize: (values: Float32Array, shape: Shape) => QuantizedMatrix;
}

const QUANTIZERS: Readonly<Record<Quantize, Quantizer>> = {
  nf4: {
    dtype: 'NF4',
    form: (shape) => fourBitForm({ code: 'nf4', shape, block: 64, rounding: 'F32', nested: true }),
    quantize: quantizeNf4,
  },
  int8: {
    dtype: 'INT8',
    form: (shape) => integerForm({ shape, group: shape[1], rounding: 'F32' }),
    quantize: quantizeInt8,
  },
};

/**
 * The linear layers that are quantized, as transformers chooses them: not those of heads, which may
 * be tied, and no experts, which are one parameter there.
 */
function quantizedLinears(spec: Spec): LinearSpec[] {
  const all = towersOf(spec).flatMap(({ embedding, layers }) => [
    ...embeddingLinears(embedding),
    ...layers.flatMap(targetableLinears),
  ]);
  return [...new Map(all.map((own) => [own.path, own])).values()];
}

function embeddingLinears(embedding: EmbeddingSpec): LinearSpec[] {
  if (embedding.kind !== 'tokens') return [];
  const { projection, per_layer } = embedding;
  return [projection, per_layer?.projection].filter((own) => own !== undefined);
}

const shapeOf = ({ out_features, in_features }: LinearSpec): Shape => [out_features, in_features];

/** Whether the linear layers are matrices that can be quantized: not the Conv1D of GPT-2. */
export const canQuantize = (spec: Spec): boolean =>
  !quantizedLinears(spec).some(({ transposed }) => transposed);

/** How the kernels would read the matrices of a model that is quantized while it is loaded. */
export function formsWhileLoading(spec: Spec, kind: Quantize): ReadonlyMap<string, RowForm | null> {
  const { form } = QUANTIZERS[kind];
  return new Map(quantizedLinears(spec).map((own) => [`${own.path}.weight`, form(shapeOf(own))]));
}

/**
 * The linear layers of a base as they are quantized when they are read, one at a time.
 *
 * @param file The base, for messages.
 * @throws LoraError('base') for a base of which nothing can be quantized.
 */
export function quantizedWhileLoading(
  source: WeightSource,
  spec: Spec,
  { kind, modules_to_save }: QuantizeOptions,
  file: string,
): Map<string, QuantizedTensor> {
  if (!canQuantize(spec))
    throw new LoraError('base', `The layers of ${spec.family} cannot be quantized (Conv1D).`, {
      place: { file },
      fix: 'Remove training.quantize (--quantize).',
    });
  const { dtype, form, quantize } = QUANTIZERS[kind];
  const isKept = ({ path }: LinearSpec) => isModuleToSave(path, modules_to_save);
  const tensors = quantizedLinears(spec)
    .filter((own) => !isKept(own))
    .map((own): [string, QuantizedTensor] => {
      const [name, shape] = [`${own.path}.weight`, shapeOf(own)];
      const load = async () => {
        const values = await source.readF32(name);
        requireFinite(values, { file, tensor: name });
        const matrix = quantize(values, shape);
        requireFinite(matrix.scales(), { file, tensor: name });
        return matrix;
      };
      return [name, { dtype, file, shape, form: form(shape), load }];
    });
  return new Map(tensors);
}

function requireFinite(
  values: Float32Array,
  place: { readonly file: string; readonly tensor: string },
): void {
  if (areFinite(values)) return;
  throw new LoraError('base', 'The tensor holds numbers that cannot be quantized.', {
    place,
    fix: 'Download the base again, or remove training.quantize.',
  });
}
