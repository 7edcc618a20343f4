import { isObject } from '../../shared/values';
import type { LoraError } from '../../shared/errors';
import { isFloat, type SafetensorsFile } from '../safetensors/read';
import { IntegerMatrix, integerForm } from './integers';
import type { QuantizedTensor, Rounding } from './matrix';
import {
  damagedStorage,
  type QuantizedFiles,
  ROUNDING_OF,
  unsupportedStorage,
} from './storedTensors';

/** Names of a weight's parts (torchao.prototype.safetensors). */
const DATA = /^(.+)\._weight_qdata$/;
/** What is read; both hold integers of 8 bits. */
const TYPES: readonly unknown[] = ['Int8Tensor', 'IntxUnpackedToInt8Tensor'];
/** Types of 4 bits, which torchao computes with on GPUs alone. */
const OF_GPUS: readonly unknown[] = [
  'Int4Tensor',
  'Int4TilePackedTo4dTensor',
  'Int4PlainInt32Tensor',
];
const FIX_OF_GPUS =
  'Use the model that is not quantized with "quantize": "nf4", which takes as little memory, a .gguf file of it, or quantize it with torchao\'s IntxWeightOnlyConfig.';
/** Settings that say how inputs are quantized, too. */
const OF_INPUTS = ['act_quant_kwargs', 'activation_quantization'];
const PARTS: readonly unknown[] = ['qdata', 'scale', 'zero_point'];
/** The longest description that is read. */
const MOST_TEXT = 1 << 16;

/**
 * The matrices that torchao quantized to integers, by the names of their weights, as transformers
 * saves them.
 *
 * @throws LoraError('base') naming file and tensor, including for other types of torchao.
 */
export function torchAoTensors(files: QuantizedFiles): Map<string, QuantizedTensor> {
  const found = new Map<string, QuantizedTensor>();
  for (const name of files.names) {
    const path = DATA.exec(name)?.[1];
    if (path !== undefined) found.set(`${path}.weight`, integerTensor(files, path));
  }
  return found;
}

interface Description {
  readonly group: number;
  readonly rounding: Rounding;
  readonly hasZeros: boolean;
}

function integerTensor(files: QuantizedFiles, path: string): QuantizedTensor {
  const [qdata, scale, zero] = ['qdata', 'scale', 'zero_point'].map(
    (part) => `${path}._weight_${part}`,
  ) as [string, string, string];
  const { group, rounding, hasZeros } = describe(files, path);
  const shape = files.matrixShape(qdata, 'I8');
  const [rows, width] = shape;
  const file = files.fileOf(scale);
  const { dtype } = file.tensors.get(scale)!;
  if (width % group !== 0 || !isFloat(dtype))
    throw damagedStorage(file, scale, 'its groups do not fit its rows');
  const count = rows * (width / group);
  files.take(scale, dtype, count);
  if (hasZeros) files.take(zero, 'I8', count);
  const form = { shape, group, rounding };
  const load = async () => {
    const data = new Int8Array((await files.bytes(qdata)).buffer);
    if (hasZeros) subtractZeros(files, zero, { data, group, zeros: await files.bytes(zero) });
    return new IntegerMatrix({ ...form, data, scales: await files.finite(scale), factor: 1 });
  };
  return { dtype: 'INT8', file: file.file, shape, form: integerForm(form), load };
}

/** What the metadata of the file say. */
function describe(files: QuantizedFiles, path: string): Description {
  const qdata = `${path}._weight_qdata`;
  const file = files.fileOf(qdata);
  const text = file.header.metadata[`${path}.weight`] ?? '';
  const own = text.length > MOST_TEXT ? null : parse(text);
  if (!isObject(own) || !isObject(own['_data']))
    throw damagedStorage(file, qdata, 'the metadata do not describe it');
  const { _type: type, _data: data, _tensor_data_names: parts } = own;
  if (!TYPES.includes(type)) throw unknownType(file, qdata, type);
  const quantizesInputs = OF_INPUTS.some((key) => (data[key] ?? null) !== null);
  if (quantizesInputs || !Array.isArray(parts) || !parts.every((part) => PARTS.includes(part)))
    throw unsupportedStorage(file, qdata, 'Its inputs are quantized, too.');
  const { block_size, dtype } = data;
  const rounding = isObject(dtype) ? ROUNDING_OF.get(String(dtype['_data'])) : undefined;
  const [one, group] = Array.isArray(block_size) ? (block_size as unknown[]) : [];
  if (one !== 1 || !Number.isSafeInteger(group) || (group as number) < 1 || !rounding)
    throw damagedStorage(file, qdata, 'the metadata do not describe its groups');
  return { group: group as number, rounding, hasZeros: parts.includes('zero_point') };
}

function unknownType(file: SafetensorsFile, tensor: string, type: unknown): LoraError {
  const name = `torchao's ${String(type).slice(0, 60)}`;
  if (!OF_GPUS.includes(type)) return unsupportedStorage(file, tensor, `${name} is not read.`);
  const problem = `${name} is packed for GPUs, and is not read.`;
  return unsupportedStorage(file, tensor, problem, FIX_OF_GPUS);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function subtractZeros(
  files: QuantizedFiles,
  name: string,
  parts: { readonly data: Int8Array; readonly zeros: Uint8Array; readonly group: number },
): void {
  const { data, group } = parts;
  const zeros = new Int8Array(parts.zeros.buffer, parts.zeros.byteOffset);
  if (zeros.every((zero) => zero === 0)) return;
  for (let i = 0; i < data.length; i++) {
    const value = data[i]! - zeros[Math.floor(i / group)]!;
    data[i] = value;
    if (data[i] !== value)
      throw unsupportedStorage(files.fileOf(name), name, 'Its zero points are too large.');
  }
}
