import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { GatheredMatrix, IntegerMatrix, integerForm } from './integers';
import type { QuantizedTensor, Rounding } from './matrix';
import { damagedStorage, type QuantizedFiles } from './storedTensors';

/*
 * Matrices of 4 bits as GPTQ (AutoGPTQ, GPTQModel) and AWQ (AutoAWQ, "gemm") store them: eight
 * numbers in each integer of 32 bits, a scale and a zero point for each group of a row.
 */

const WEIGHT = /^(.+)\.qweight$/;
/** Numbers of 4 bits in one of 32. */
const PER_WORD = 8;

/** Where the eight numbers of a word are: of GPTQ in their order, of AWQ the even ones first. */
const SHIFTS = {
  gptq: [0, 4, 8, 12, 16, 20, 24, 28],
  awq: [0, 16, 4, 20, 8, 24, 12, 28],
} as const;

interface PackedForm {
  readonly method: keyof typeof SHIFTS;
  readonly shape: readonly [rows: number, width: number];
  readonly groups: number;
  /** Of the scales, in which the values are computed, too. */
  readonly dtype: Rounding;
  /** The group of each column, where they are not in the order of the columns. */
  readonly order: Int32Array | null;
}

/**
 * The matrices that GPTQ or AWQ quantized to 4 bits, by the names of their weights.
 *
 * @throws LoraError('base') naming file and tensor.
 */
export async function packedTensors(files: QuantizedFiles): Promise<Map<string, QuantizedTensor>> {
  const found = new Map<string, QuantizedTensor>();
  for (const name of files.names) {
    const module = WEIGHT.exec(name)?.[1];
    if (module !== undefined) found.set(`${module}.weight`, await packedTensor(files, module));
  }
  return found;
}

/**
 * Refuses matrices of GPTQ or AWQ beside a config.json that says nothing of them: versions store
 * zero points in different ways under the same names.
 *
 * @throws LoraError('base')
 */
export function refuseUndescribed(
  names: Iterable<string>,
  config: Readonly<Record<string, unknown>>,
  config_file: string,
): void {
  const inner = config['text_config'];
  const settings =
    config['quantization_config'] ?? (isObject(inner) && inner['quantization_config']);
  if (isObject(settings) || ![...names].some((name) => WEIGHT.test(name))) return;
  throw new LoraError('base', 'The config does not say how the weights are quantized.', {
    place: { file: config_file, key: 'quantization_config' },
    fix: 'Download the model again, all of its files.',
  });
}

async function packedTensor(files: QuantizedFiles, path: string): Promise<QuantizedTensor> {
  const own = await formOf(files, path);
  const { shape, groups, dtype: rounding, order } = own;
  const group = shape[1] / groups;
  const load = async () => {
    const scales = await files.finite(`${path}.scales`);
    const numbers = { data: await integersOf(files, path, own), scales: turned(scales, groups) };
    return order
      ? new GatheredMatrix({ shape, ...numbers, order, rounding })
      : new IntegerMatrix({ shape, ...numbers, group, factor: 1, rounding });
  };
  const form = order ? null : integerForm({ shape, group, rounding });
  const { file } = files.fileOf(`${path}.qweight`);
  return { dtype: 'INT8', file, shape, form, load };
}

/** [groups, rows] -> [rows, groups] */
function turned(scales: Float32Array, groups: number): Float32Array {
  const rows = scales.length / groups;
  return scales.map((_, i) => scales[(i % groups) * rows + Math.floor(i / groups)]!);
}

/** What the shapes of the parts say, all of which it takes. */
async function formOf(files: QuantizedFiles, path: string): Promise<PackedForm> {
  const [qweight, scales] = [`${path}.qweight`, `${path}.scales`];
  const [height, columns] = files.matrixShape(qweight, 'I32');
  const file = files.fileOf(scales);
  const info = file.tensors.get(scales)!;
  const [groups = 0, rows = 0] = info.shape;
  const method = rows === columns ? 'gptq' : 'awq';
  const width = method === 'gptq' ? height * PER_WORD : height;
  const isWhole = rows === (method === 'gptq' ? columns : columns * PER_WORD);
  const { dtype } = info;
  if (!isWhole || rows % PER_WORD !== 0 || groups < 1 || width % groups !== 0)
    throw damagedStorage(file, scales, 'its groups do not fit its rows');
  if (dtype !== 'F16' && dtype !== 'BF16' && dtype !== 'F32')
    throw damagedStorage(file, scales, `its scales are of type ${dtype}`);
  files.take(scales, dtype, groups * rows);
  files.take(`${path}.qzeros`, 'I32', (groups * rows) / PER_WORD);
  const order = await orderOf(files, `${path}.g_idx`, { width, groups });
  return { method, shape: [rows, width], groups, dtype, order };
}

/** Null: the groups follow each other. */
async function orderOf(
  files: QuantizedFiles,
  name: string,
  { width, groups }: { readonly width: number; readonly groups: number },
): Promise<Int32Array | null> {
  if (!files.has(name)) return null;
  files.take(name, 'I32', width);
  const file = files.fileOf(name);
  const order = await file.readInts(name);
  if (order.some((group) => group < 0 || group >= groups))
    throw damagedStorage(file, name, `it names groups beyond the ${groups} that there are`);
  return order.every((group, i) => group === Math.floor((i * groups) / width)) ? null : order;
}

/** The integers less their zero points, row by row. */
async function integersOf(
  files: QuantizedFiles,
  path: string,
  { method, shape: [rows, width], groups, order }: PackedForm,
): Promise<Int8Array> {
  const words = await files.fileOf(`${path}.qweight`).readInts(`${path}.qweight`);
  const zeros = await files.fileOf(`${path}.qzeros`).readInts(`${path}.qzeros`);
  const shifts = SHIFTS[method];
  const [perRow, isGptq] = [rows / PER_WORD, method === 'gptq'];
  const data = new Int8Array(rows * width);
  for (let i = 0; i < width; i++) {
    const group = order ? order[i]! : Math.floor((i * groups) / width);
    for (let row = 0; row < rows; row++) {
      const [at, shift] = [row >> 3, shifts[row & 7]!];
      const zero = (zeros[group * perRow + at]! >>> shift) & 15;
      const value = isGptq
        ? words[(i >> 3) * rows + row]! >>> shifts[i & 7]!
        : words[i * perRow + at]! >>> shift;
      // GPTQ stores one less
      data[row * width + i] = (value & 15) - (isGptq ? (zero + 1) & 15 : zero);
    }
  }
  return data;
}
