import { ADAPTER_DTYPES } from '../../formats/adapterDtype';
import type { ResizeTarget } from '../../lora/resize';
import type { QuantizeOptions } from '../../formats/quantized/whileLoading';
import { PRODUCTS, type Products } from '../../shared/products';
import { BASE_DTYPES, type BaseDtype } from '../../shared/recipe';
import { LoraError } from '../../shared/errors';
import { QUANTIZE, type Quantize } from '../../shared/trainingSettings';
import { exactlyOne, flag, list, optional, required, withDefault, type Option } from './options';
import {
  anyText,
  adapterPath,
  fraction,
  oneOf,
  positiveWholeNumber,
  templateVariables,
} from './optionValues';

/** The base model. */
export const baseOption = required(
  anyText,
  'PATH',
  'base model: a folder, a .gguf file or a model.json',
);

/** The base of a merge, including an image model. */
export const mergeBaseOption = required(
  anyText,
  'PATH',
  'base model: a folder, a .gguf file, a model.json, or a .safetensors file of SD 1, SDXL or Flux',
);

/** The base of adapters that are read, which some formats need. */
export const adapterBaseOption = optional(
  anyText,
  'PATH',
  'base model: checks the adapter against it; .gguf adapters need it',
);

/** The element type of an adapter that is written. */
export const adapterDtypeOption = withDefault(
  'keep',
  oneOf(ADAPTER_DTYPES),
  ADAPTER_DTYPES.join('|'),
  "dtype of the adapter's numbers",
);

/** The adapters that are stacked on the base. */
export const adaptersOption = list(
  anyText,
  'DIR',
  'adapter; repeat to stack several in this order',
);

/** Whether an adapter may fit its base in part only. */
export const partialOption = flag('leave out the modules that do not fit the base');

/** Variables for the chat template, as in the recipe. */
export const templateVariablesOption = withDefault(
  '{}',
  templateVariables,
  'JSON',
  'variables for the chat template, as in the recipe',
);

/** The tools of chats that have none of their own. */
export const toolsOption = optional(
  anyText,
  'FILE',
  'JSON array of the tools that a chat may use, as in the recipe',
);

/** The place of a new adapter. */
export const derivedOutputOption = required(
  adapterPath,
  'PATH',
  'folder to write the adapter to; of an image model: a .safetensors file',
);

/** The dtype of the base in memory. */
export const baseDtypeOption = (value: BaseDtype): Option<BaseDtype> =>
  withDefault(value, oneOf(BASE_DTYPES), BASE_DTYPES.join('|'), 'dtype of the base in memory');

/** How the base is quantized while it is loaded. */
export const quantizeOption = optional(
  oneOf(QUANTIZE),
  QUANTIZE.join('|'),
  'quantize the base while it is loaded, as training.quantize does',
);

/** The option as a model is opened with it. */
export const quantizeOptions = (kind: Quantize | null): QuantizeOptions | null =>
  kind && { kind, modules_to_save: null };

/** @throws LoraError('usage') where a layers model of TensorFlow.js should be quantized */
export function refuseQuantizedLayers(kind: Quantize | null): void {
  if (kind === null) return;
  throw new LoraError('usage', 'A layers model is not quantized.', {
    fix: 'Do not quantize it (--quantize).',
  });
}

/** How tokens are computed: exactly by default where numbers are compared. */
export const productsOption = (value: Products): Option<Products> =>
  withDefault(
    value,
    oneOf(PRODUCTS),
    PRODUCTS.join('|'),
    'products of answers; rounded: activations to 8 bits for quantized weights, to bf16 for bf16',
  );

/** Three ways to choose the ranks of a smaller adapter. */
export const resizeOptions = exactlyOne({
  rank: optional(positiveWholeNumber, 'N', 'rank of every module'),
  energy: optional(fraction, 'SHARE', "share of the update's squared norm to keep, such as 0.99"),
  error: optional(fraction, 'SHARE', 'largest relative error of the update, such as 0.05'),
});

/** The one of resizeOptions that was given. */
export function resizeTarget({
  rank,
  energy,
  error,
}: {
  readonly rank: number | null;
  readonly energy: number | null;
  readonly error: number | null;
}): ResizeTarget {
  if (rank !== null) {
    return { kind: 'rank', rank };
  }
  return energy === null ? { kind: 'error', error: error! } : { kind: 'energy', energy };
}
