import { stat } from 'node:fs/promises';
import { hashFile } from '../../common/hashFile';
import { withSafetensors, type SafetensorsFile } from '../../formats/safetensors/read';
import { LoraError } from '../../shared/errors';
import { ProblemCollector } from '../dataset/problems';
import type { FeatureFile, FeatureRow, FeatureSettings } from './featureFile';

const FEATURES = 'features';
const LABELS = 'labels';
/** Rows that are held in memory as float32. */
const MOST_NUMBERS = 2 ** 30;

/**
 * Reads a .safetensors file with the tensors features [rows, …] and labels [rows], integers for
 * classes, or [rows, outputs].
 *
 * @throws LoraError('dataset') naming the tensor
 */
export async function readFeatureTensors(
  file: string,
  { width, collector }: FeatureSettings,
): Promise<FeatureFile> {
  const problems = new ProblemCollector(file, { ...collector, unit: 'row' });
  const rows = await withSafetensors(file, (source) => rowsOf(source, file, width), 'dataset');
  const faults = rows.map(({ values, label }) => faultIn(values, label));
  faults.forEach((fault, i) => {
    if (fault !== null) problems.error(fault, rows[i]!.line);
  });
  const { size } = await stat(file);
  const fingerprint = { file, size, sha256: await hashFile(file) };
  const sound = rows.filter((_, i) => faults[i] === null);
  return { path: file, rows: sound, columns: null, problems, fingerprint };
}

function faultIn(values: Float32Array, label: FeatureRow['label']): string | null {
  if (!values.every(Number.isFinite)) return 'A feature is NaN or infinite.';
  return [label].flat().every(Number.isFinite) ? null : 'A label is NaN or infinite.';
}

async function rowsOf(
  source: SafetensorsFile,
  file: string,
  width: number,
): Promise<FeatureFile['rows']> {
  const fault = (tensor: string, message: string) =>
    new LoraError('dataset', message, {
      place: { file, tensor },
      fix: 'Write two tensors: features [rows, …] and labels [rows], integers for classes.',
    });
  const [features, labels] = [FEATURES, LABELS].map((name) => {
    const found = source.header.tensors.get(name);
    if (!found) throw fault(name, `The file has no tensor ${name}.`);
    return found;
  }) as readonly StoredShape[] as [StoredShape, StoredShape];
  const [count = 0, ...inner] = features.shape;
  const own = inner.reduce((a, b) => a * b, 1);
  if (own !== width)
    throw fault(
      FEATURES,
      `Each row has ${own} numbers (shape [${features.shape.join(', ')}]), but the model reads ${width}.`,
    );
  if (labels.shape[0] !== count || labels.shape.length > 2)
    throw fault(
      LABELS,
      `The labels have the shape [${labels.shape.join(', ')}], but there are ${count} rows.`,
    );
  if (count * width > MOST_NUMBERS)
    throw fault(FEATURES, `The features are ${count * width} numbers, more than ${MOST_NUMBERS}.`);
  const x = await numbersIn(source, FEATURES);
  const y = await labelsIn(source);
  const large = y.find((label) => Math.abs(label) > Number.MAX_SAFE_INTEGER && isInteger(labels));
  if (large !== undefined)
    throw fault(
      LABELS,
      `The label ${large} has more than 53 bits: such labels cannot be told apart.`,
    );
  const outputs = labels.shape[1] ?? 1;
  return Array.from({ length: count }, (_, i) => {
    const label = y.slice(i * outputs, (i + 1) * outputs);
    return {
      line: i + 1,
      values: x.slice(i * width, (i + 1) * width),
      label: labels.shape.length === 1 ? label[0]! : label,
    };
  });
}

interface StoredShape {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** Integers, which models do not have, by their dtype. */
const INTEGERS: Readonly<Record<string, (bytes: ArrayBuffer) => Iterable<number | bigint>>> = {
  BOOL: (bytes) => new Uint8Array(bytes),
  U8: (bytes) => new Uint8Array(bytes),
  I8: (bytes) => new Int8Array(bytes),
  U16: (bytes) => new Uint16Array(bytes),
  I16: (bytes) => new Int16Array(bytes),
  U32: (bytes) => new Uint32Array(bytes),
  I32: (bytes) => new Int32Array(bytes),
  I64: (bytes) => new BigInt64Array(bytes),
};

const isInteger = ({ dtype }: StoredShape): boolean => Object.hasOwn(INTEGERS, dtype);

/** A tensor's numbers as float32, including those of integers. */
async function numbersIn(source: SafetensorsFile, name: string): Promise<Float32Array> {
  const integers = INTEGERS[source.header.tensors.get(name)!.dtype];
  if (!integers) return source.readF32(name);
  return Float32Array.from(integers((await source.readBytes(name)).buffer), Number);
}

/** The labels; those of 53 bits are exact, which float32 would round to other classes. */
async function labelsIn(source: SafetensorsFile): Promise<readonly number[]> {
  const integers = INTEGERS[source.header.tensors.get(LABELS)!.dtype];
  if (!integers) return [...(await source.readF32(LABELS))];
  return Array.from(integers((await source.readBytes(LABELS)).buffer), Number);
}
