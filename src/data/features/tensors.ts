import { stat } from 'node:fs/promises';
import { hashFile } from '../../common/hashFile';
import { LoraError } from '../../shared/errors';
import type { FileFingerprint } from '../../shared/run';
import { ProblemCollector } from '../dataset/problems';
import type { FeatureFile, FeatureRow, FeatureSettings } from './featureFile';
import { openTensors, type RowTensor, type TensorSource } from './tensorSource';

const FEATURES = 'features' as const;
const LABELS = 'labels' as const;
/** Held in memory as float32. A small compressed file can promise any number of zeros. */
const MOST_NUMBERS = 2 ** 30;
/** Held in memory as float64. */
const MOST_LABELS = 2 ** 26;
/** Each row becomes an object. */
const MOST_ROWS = 2 ** 22;

/**
 * Reads the tensors features [rows, …] and labels [rows], integers for classes, or [rows, outputs],
 * of a .safetensors, .npz or .npy file.
 *
 * @throws LoraError('dataset') naming the tensor
 */
export async function readFeatureTensors(
  file: string,
  { label, width, collector }: FeatureSettings,
): Promise<FeatureFile> {
  const problems = new ProblemCollector(file, { ...collector, unit: 'row' });
  const source = await openTensors(file, /\.npy$/i.test(label) ? label : null);
  let rows: FeatureFile['rows'];
  try {
    rows = await rowsOf(source, file, width);
  } finally {
    await source.close();
  }
  const faults = rows.map(({ values, label }) => faultIn(values, label));
  faults.forEach((fault, i) => {
    if (fault !== null) problems.error(fault, rows[i]!.line);
  });
  const fingerprints: FileFingerprint[] = [];
  for (const own of source.files) {
    const { size } = await stat(own);
    fingerprints.push({ file: own, size, sha256: await hashFile(own) });
  }
  const sound = rows.filter((_, i) => faults[i] === null);
  return { path: file, rows: sound, columns: null, problems, fingerprints };
}

function faultIn(values: Float32Array, label: FeatureRow['label']): string | null {
  if (!values.every(Number.isFinite)) return 'A feature is NaN or infinite.';
  return [label].flat().every(Number.isFinite) ? null : 'A label is NaN or infinite.';
}

async function rowsOf(
  source: TensorSource,
  file: string,
  width: number,
): Promise<FeatureFile['rows']> {
  const fault = (tensor: string, message: string) =>
    new LoraError('dataset', message, {
      place: { file, tensor },
      fix: 'Write two tensors: features [rows, …] and labels [rows], integers for classes.',
    });
  const opened = async (name: 'features' | 'labels'): Promise<RowTensor> => {
    const found = await source.open(name);
    if (!found) throw fault(name, `The file has no tensor ${name}.`);
    return found;
  };
  const features = await opened(FEATURES);
  const labels = await opened(LABELS);
  const [count = 0, ...inner] = features.shape;
  const own = inner.reduce((a, b) => a * b, 1);
  if (own !== width)
    throw fault(
      FEATURES,
      `Each row has ${own} numbers (shape [${features.shape.join(', ')}]), but the model reads ${width}.`,
    );
  if (labels.shape[0] !== count || labels.shape.length > 2 || labels.shape[1] === 0)
    throw fault(
      LABELS,
      `The labels have the shape [${labels.shape.join(', ')}], but there are ${count} rows.`,
    );
  if (count * width > MOST_NUMBERS)
    throw fault(FEATURES, `The features are ${count * width} numbers, more than ${MOST_NUMBERS}.`);
  const outputs = labels.shape[1] ?? 1;
  if (count * outputs > MOST_LABELS)
    throw fault(LABELS, `The labels are ${count * outputs} numbers, more than ${MOST_LABELS}.`);
  if (count > MOST_ROWS)
    throw fault(FEATURES, `The features have ${count} rows, more than ${MOST_ROWS}.`);
  const x = await features.readF32();
  const y = await labels.readExact();
  const large = y.find((own) => Math.abs(own) > Number.MAX_SAFE_INTEGER && labels.holdsIntegers);
  if (large !== undefined)
    throw fault(
      LABELS,
      `The label ${large} has more than 53 bits: such labels cannot be told apart.`,
    );
  return Array.from({ length: count }, (_, i) => {
    const label = y.slice(i * outputs, (i + 1) * outputs);
    return {
      line: i + 1,
      values: x.slice(i * width, (i + 1) * width),
      label: labels.shape.length === 1 ? label[0]! : label,
    };
  });
}
