import { isObject } from '../../shared/values';
import type { DType } from '../tensorInfo';
import { DYNAMIC_MAP, FOUR_BIT_CODES, type FourBitType } from './codes';
import { FourBitMatrix, fourBitForm, type FourBitScales } from './fourBit';
import { INT8_FACTOR, IntegerMatrix, integerForm } from './integers';
import type { QuantizedTensor, Rounding } from './matrix';
import {
  damagedStorage,
  type QuantizedFiles,
  ROUNDING_OF,
  unsupportedStorage,
} from './storedTensors';

const STATE = /^(.+\.weight)\.quant_state\.bitsandbytes__(nf4|fp4)$/;
const SCALES = /^(.+)\.SCB$/;
/** The longest JSON text that is read. */
const MOST_STATE_BYTES = 4096;
const BLOCK_SIZES: readonly unknown[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
const NESTED_BLOCK = 256;

/**
 * The matrices that bitsandbytes quantized, by the names of their weights, as its QuantState and
 * Linear8bitLt save them.
 *
 * @throws LoraError('base') naming file and tensor.
 */
export async function bitsAndBytesTensors(
  files: QuantizedFiles,
): Promise<Map<string, QuantizedTensor>> {
  const found = new Map<string, QuantizedTensor>();
  for (const name of files.names) {
    const [, fourBit, type] = STATE.exec(name) ?? [];
    if (fourBit !== undefined)
      found.set(fourBit, await fourBitTensor(files, fourBit, { name, type: type as FourBitType }));
    const path = SCALES.exec(name)?.[1];
    if (path !== undefined) found.set(`${path}.weight`, await int8Tensor(files, path));
  }
  return found;
}

/** What the tensor `quant_state` says in JSON. */
interface State {
  readonly shape: readonly [rows: number, width: number];
  readonly block: number;
  readonly rounding: Rounding;
  readonly offset: number | null;
}

async function fourBitTensor(
  files: QuantizedFiles,
  weight: string,
  { name, type: code }: { readonly name: string; readonly type: FourBitType },
): Promise<QuantizedTensor> {
  const state = await readState(files, name, code);
  const { shape, block, rounding, offset } = state;
  const count = shape[0] * shape[1];
  const blocks = Math.ceil(count / block);
  const nested = offset !== null;
  files.takeBytes(weight, Math.ceil(count / 2));
  files.take(`${weight}.absmax`, nested ? 'U8' : 'F32', blocks);
  await files.takeEqual(`${weight}.quant_map`, FOUR_BIT_CODES[code]);
  if (nested) {
    files.take(`${weight}.nested_absmax`, 'F32', Math.ceil(blocks / NESTED_BLOCK));
    await files.takeEqual(`${weight}.nested_quant_map`, DYNAMIC_MAP);
  }
  const load = async () => {
    const scales = await readScales(files, weight, offset);
    const packed = await files.bytes(weight);
    return new FourBitMatrix({ code, shape, packed, block, scales, rounding });
  };
  const dtype: DType = code === 'nf4' ? 'NF4' : 'FP4';
  const { file } = files.fileOf(weight);
  return { dtype, file, shape, form: fourBitForm({ code, shape, block, rounding, nested }), load };
}

async function readScales(
  files: QuantizedFiles,
  weight: string,
  offset: number | null,
): Promise<FourBitScales> {
  if (offset === null) return { kind: 'plain', absmax: await files.finite(`${weight}.absmax`) };
  const absmax = await files.finite(`${weight}.nested_absmax`);
  return { kind: 'nested', codes: await files.bytes(`${weight}.absmax`), absmax, offset };
}

async function readState(files: QuantizedFiles, name: string, code: FourBitType): Promise<State> {
  const file = files.fileOf(name);
  const { start, end } = file.tensors.get(name)!;
  const bad = (what: string) => damagedStorage(file, name, what);
  if (end - start > MOST_STATE_BYTES) throw bad('its description is too long');
  files.takeBytes(name, end - start);
  const state = parse(await file.readBytes(name));
  if (!isObject(state)) throw bad('its description is not a JSON object');
  const { quant_type, shape, blocksize, dtype, nested_offset: offset, nested_blocksize } = state;
  const rounding = typeof dtype === 'string' ? ROUNDING_OF.get(dtype) : undefined;
  if (quant_type !== code) throw bad('its quant_type is another than in its name');
  if (!isMatrixShape(shape)) throw bad('its shape is not that of a matrix');
  if (!BLOCK_SIZES.includes(blocksize)) throw bad('bitsandbytes has no such blocksize');
  if (rounding === undefined) throw bad('its dtype is unknown');
  if (offset !== undefined && (typeof offset !== 'number' || !Number.isFinite(offset)))
    throw bad('its nested_offset is not a number');
  if (offset !== undefined && nested_blocksize !== NESTED_BLOCK)
    throw unsupportedStorage(file, name, `Its nested_blocksize is not ${NESTED_BLOCK}.`);
  return {
    shape,
    block: blocksize as number,
    rounding,
    offset: offset === undefined ? null : Math.fround(offset),
  };
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

const isMatrixShape = (shape: unknown): shape is [number, number] =>
  Array.isArray(shape) &&
  shape.length === 2 &&
  shape.every((size) => Number.isSafeInteger(size) && size > 0);

async function int8Tensor(files: QuantizedFiles, path: string): Promise<QuantizedTensor> {
  const [weight, scales] = [`${path}.weight`, `${path}.SCB`];
  const shape = files.matrixShape(weight, 'I8');
  files.take(scales, 'F32', shape[0]);
  await checkFormat(files, `${path}.weight_format`);
  const form = { shape, group: shape[1], rounding: 'F32' as const };
  const load = async () =>
    new IntegerMatrix({
      ...form,
      data: new Int8Array((await files.bytes(weight)).buffer),
      scales: await files.finite(scales),
      factor: INT8_FACTOR,
    });
  const { file } = files.fileOf(weight);
  return { dtype: 'INT8', file, shape, form: integerForm(form), load };
}

/** Rows after each other are 0; older versions have orders for certain GPUs. */
async function checkFormat(files: QuantizedFiles, name: string): Promise<void> {
  if (!files.has(name)) return;
  files.takeBytes(name, 1);
  const [order] = await files.bytes(name);
  if (order !== 0)
    throw unsupportedStorage(files.fileOf(name), name, 'Its rows are not stored in their order.');
}
