import { LoraError } from '../../shared/errors';
import { areFinite } from '../checkFinite';
import type { SafetensorsFile } from '../safetensors/read';
import type { Shards } from '../safetensors/shards';
import type { DType } from '../tensorInfo';
import type { Rounding } from './matrix';

/** PyTorch's names of dtypes. */
export const ROUNDING_OF: ReadonlyMap<string, Rounding> = new Map([
  ['float32', 'F32'],
  ['bfloat16', 'BF16'],
  ['float16', 'F16'],
]);

const FIX = 'Use the model in bf16, f16 or f32, or a .gguf file of it.';

export const damagedStorage = (file: SafetensorsFile, tensor: string, what: string): LoraError =>
  new LoraError('base', `The storage of a quantized weight is damaged: ${what}.`, {
    place: { file: file.file, tensor },
    fix: 'Download the model again, all of its files.',
  });

export const unsupportedStorage = (
  file: SafetensorsFile,
  tensor: string,
  what: string,
  fix = FIX,
): LoraError =>
  new LoraError('base', `The storage of a quantized weight is not supported. ${what}`, {
    place: { file: file.file, tensor },
    fix,
  });

/** The tensors of a checkpoint, and which of them are parts of quantized matrices. */
export class QuantizedFiles {
  /** The tensors that are parts. */
  readonly taken = new Set<string>();
  readonly names: readonly string[];

  constructor(
    private readonly placed: Shards['placed'],
    private readonly folder: string,
  ) {
    this.names = [...placed.keys()];
  }

  has(name: string): boolean {
    return this.placed.has(name);
  }

  fileOf(name: string): SafetensorsFile {
    const file = this.placed.get(name);
    if (file) return file;
    throw new LoraError('base', 'A tensor of a quantized weight is missing.', {
      place: { file: this.folder, tensor: name },
      fix: 'Download the model again, all of its files.',
    });
  }

  /** A part of this type, with so many elements. */
  take(name: string, dtype: DType, count: number): void {
    const file = this.fileOf(name);
    const { dtype: own, shape } = file.tensors.get(name)!;
    if (own !== dtype || shape.reduce((a, b) => a * b, 1) !== count)
      throw damagedStorage(file, name, `it is not ${count} numbers of type ${dtype}`);
    this.taken.add(name);
  }

  /** A part of any type, with so many bytes. */
  takeBytes(name: string, count: number): void {
    const file = this.fileOf(name);
    const { start, end } = file.tensors.get(name)!;
    if (end - start !== count)
      throw damagedStorage(file, name, `it has ${end - start} bytes, ${count} are needed`);
    this.taken.add(name);
  }

  /** A part with these numbers. */
  async takeEqual(name: string, numbers: Float32Array): Promise<void> {
    this.take(name, 'F32', numbers.length);
    const file = this.fileOf(name);
    const own = await file.readF32(name);
    if (own.some((value, i) => value !== numbers[i]))
      throw unsupportedStorage(file, name, 'It has other numbers than bitsandbytes.');
  }

  /** The shape of a part that is a matrix of this type. */
  matrixShape(name: string, dtype: DType): readonly [rows: number, width: number] {
    const file = this.fileOf(name);
    const { dtype: own, shape } = file.tensors.get(name)!;
    const [rows, width] = shape;
    if (own !== dtype || !rows || !width || shape.length !== 2)
      throw damagedStorage(file, name, `it is not a matrix of type ${dtype}`);
    this.taken.add(name);
    return [rows, width];
  }

  bytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.fileOf(name).readBytes(name);
  }

  /** Numbers in f32. @throws LoraError('base') when one of them is not finite. */
  async finite(name: string): Promise<Float32Array> {
    const file = this.fileOf(name);
    const values = await file.readF32(name);
    if (!areFinite(values))
      throw damagedStorage(file, name, 'it holds numbers that are not finite');
    return values;
  }
}
