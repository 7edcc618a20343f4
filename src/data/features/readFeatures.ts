import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { openTable } from '../../formats/tables/openTable';
import type { RawRow } from '../../formats/tables/table';
import { plainNumber } from '../../shared/exactValues';
import { ProblemCollector } from '../dataset/problems';
import { kindOf, quote } from '../rows/describe';
import { decodeRow } from '../rows/rawRow';
import { RowReport } from '../rows/rowReport';
import type { Label } from '../rows/row';
import type { FeatureFile, FeatureRow, FeatureSettings } from './featureFile';
import { readFeatureTensors } from './tensors';
import { isTensorFile } from './tensorSource';

/**
 * Reads rows of numbers: a table whose columns are the features but for that of the labels, in the
 * order of the first row, or tensors of features and labels (.safetensors, .npz, .npy). What is
 * wrong in rows is in `problems`.
 *
 * @throws LoraError('dataset') where the file cannot be read or has no such columns
 */
export async function readFeatures(file: string, settings: FeatureSettings): Promise<FeatureFile> {
  if (isTensorFile(file)) return readFeatureTensors(file, settings);
  const table = await openTable(file);
  const problems = new ProblemCollector(file, { ...settings.collector, unit: table.unit });
  const rows: UnlabelledRow[] = [];
  let columns = settings.columns;
  try {
    const fingerprint = await table.readAll((raw) => {
      const report = new RowReport(problems, raw.number);
      const values = valuesOf(raw, report, table.unit);
      if (!values) return;
      columns ??= featureColumns(values, { ...settings, file });
      const row = featureRow(values, { ...settings, line: raw.number, columns, report });
      if (row) rows.push(row);
    });
    if (columns === null)
      throw new LoraError('dataset', 'The dataset has no rows.', { place: { file } });
    const labelled = withLabels(rows, problems);
    return { path: file, rows: labelled, columns, problems, fingerprints: [fingerprint] };
  } finally {
    await table.close();
  }
}

type Values = Readonly<Record<string, unknown>>;

/** A row whose label is as the file has it. */
interface UnlabelledRow {
  readonly line: number;
  readonly values: Float32Array;
  readonly cell: unknown;
}

function valuesOf(raw: RawRow, report: RowReport, unit: 'line' | 'row'): Values | null {
  if (raw.kind === 'fault') return report.error(raw.message);
  if (raw.kind === 'values') return raw.values;
  const text = decodeRow(raw.bytes, report, unit);
  if (text === null || text.trim() === '') return null;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : report.error('A row must be a JSON object.');
  } catch {
    return report.error(`The ${unit} is not valid JSON.`);
  }
}

/** @throws LoraError('dataset') where there is no column of labels, or another number of others */
function featureColumns(
  values: Values,
  { label, width, file }: Pick<FeatureSettings, 'label' | 'width'> & { readonly file: string },
): readonly string[] {
  const names = Object.keys(values);
  if (!names.includes(label))
    throw new LoraError('dataset', `The rows have no column ${quote(label)} for the labels.`, {
      place: { file, key: 'columns' },
      fix: `Name it in the recipe: "columns": {"label": ${quote(names.at(-1) ?? 'species')}}.`,
    });
  const columns = names.filter((name) => name !== label);
  if (columns.length === width || isOneList(columns, values)) return columns;
  throw new LoraError(
    'dataset',
    `The rows have ${columns.length} columns beside the labels (${columns.slice(0, 8).map(quote).join(', ')}${columns.length > 8 ? ', …' : ''}), but the model reads ${width} numbers.`,
    { place: { file }, fix: 'Remove the columns that are not inputs of the model.' },
  );
}

/** Whether all numbers are in one column, as lists. */
const isOneList = (columns: readonly string[], values: Values): boolean =>
  columns.length === 1 && Array.isArray(values[columns[0]!]);

interface RowReading extends Pick<FeatureSettings, 'label' | 'width'> {
  readonly line: number;
  readonly columns: readonly string[];
  readonly report: RowReport;
}

function featureRow(
  given: Values,
  { line, columns, label, width, report }: RowReading,
): UnlabelledRow | null {
  const missing = [...columns, label].find((name) => (given[name] ?? null) === null);
  if (missing !== undefined)
    return report.error(`The column ${quote(missing)} has no value.`, missing);
  const unknown = Object.keys(given).find((name) => name !== label && !columns.includes(name));
  if (unknown !== undefined)
    return report.error(`The column ${quote(unknown)} is not in the other rows.`, unknown);
  const cells = isOneList(columns, given)
    ? (given[columns[0]!] as readonly unknown[])
        .flat(Infinity)
        .map((cell) => [columns[0]!, cell] as const)
    : columns.map((name) => [name, given[name]] as const);
  if (cells.length !== width)
    return report.error(`The row has ${cells.length} numbers, but the model reads ${width}.`);
  const values = new Float32Array(width);
  for (const [i, [name, cell]] of cells.entries()) {
    const number = numberOf(cell);
    if (number === null || !Number.isFinite(Math.fround(number)))
      return report.error(
        `The column ${quote(name)} must be a number, not ${typeof cell === 'string' ? quote(cell) : kindOf(cell)}.`,
        name,
      );
    values[i] = number;
  }
  return { line, values, cell: given[label] };
}

/** A number, including one that a table of text holds; null: something else. */
export function numberOf(cell: unknown): number | null {
  const value = plainNumber(cell);
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  if (typeof value !== 'string' || !/^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i.test(value))
    return null;
  return Number(value);
}

/**
 * Labels of a file: numbers where all are numbers, including in a table of text; else names. A
 * label that is neither is reported.
 */
function withLabels(rows: readonly UnlabelledRow[], problems: ProblemCollector): FeatureRow[] {
  const areNumbers = rows.every(({ cell }) => [cell].flat().every((one) => numberOf(one) !== null));
  const labelOf = (cell: unknown): Label | null => {
    if (areNumbers) return numberOf(cell);
    const value = plainNumber(cell);
    return typeof value === 'string' || typeof value === 'number' ? value : null;
  };
  return rows.flatMap(({ line, values, cell }) => {
    const labels = Array.isArray(cell) ? cell.map(labelOf) : [labelOf(cell)];
    if (labels.includes(null)) {
      problems.error(`The label must be a name or a number, not ${kindOf(cell)}.`, line);
      return [];
    }
    const known = labels as Label[];
    return [{ line, values, label: Array.isArray(cell) ? known : known[0]! }];
  });
}
