import { scanRows } from '../../src/data/dataset/dataset';
import { ProblemCollector, throwErrors } from '../../src/data/dataset/problems';
import { batchesOf, type BatchSettings } from '../../src/data/examples/batchOrder';
import type { Example, PackedExample, TokensExample } from '../../src/data/examples/example';
import { examplesOf } from '../../src/data/examples/examples';
import { pack } from '../../src/data/examples/pack';
import { splitExamples } from '../../src/data/examples/split';
import {
  textTokenizer,
  type RowTokenizer,
  type TokenizedRow,
  type TokenizeSettings,
} from '../../src/data/examples/tokenizeRows';
import type { Row, TextRow } from '../../src/data/rows/row';
import { ROW_SETTINGS, type RowSettings } from '../../src/data/rows/settings';
import { RowLabels, type RowLabel } from '../../src/data/tasks/labelSet';
import { taskTokenizer, type TaskSettings } from '../../src/data/tasks/tokenizeTaskRows';

/** The rows of a file, all in memory, with all of its problems. */
export async function scanDataset(file: string, settings: RowSettings = ROW_SETTINGS) {
  const rows: Row[] = [];
  const scanned = await scanRows(file, { rows: settings }, (row) => rows.push(row));
  return { ...scanned, rows };
}

/** The rows of a file. @throws LoraError('dataset') with all errors */
export async function readDataset(file: string, settings?: RowSettings) {
  const dataset = await scanDataset(file, settings);
  throwErrors(dataset.problems);
  return dataset;
}

/** The examples of rows of causal_lm, with the rows and their lengths. */
export function tokenizeRows(file: string, rows: readonly TextRow[], settings: TokenizeSettings) {
  const all = tokenizeAll(textTokenizer(new ProblemCollector(file), settings), rows);
  return { ...all, examples: all.examples as readonly TokensExample[] };
}

/** The same for rows of other tasks. */
export const tokenizeTaskRows = (file: string, rows: readonly Row[], settings: TaskSettings) =>
  tokenizeAll(taskTokenizer(new ProblemCollector(file), settings), rows);

/** The labels of rows. */
export function labelsOf(rows: readonly Row[], problems: ProblemCollector): readonly RowLabel[] {
  const labels = new RowLabels(problems);
  for (const row of rows) labels.add(row);
  return labels.items;
}

/** The batches of an epoch. */
export const batchesIn = <E extends Example>(
  examples: readonly E[],
  settings: BatchSettings,
): E[][] =>
  batchesOf(examplesOf(examples), settings).map((batch) => batch.map((i) => examples[i]!));

/** The rows that examples are packed into. */
export const packRows = (examples: readonly TokensExample[], max_length: number): PackedExample[] =>
  pack(examplesOf(examples), max_length).map((row) => ({
    kind: 'packed',
    parts: row.map((i) => examples[i]!),
  }));

/** Items, split as the examples of a dataset. */
export function splitItems(items: readonly number[], share: number, seed: number) {
  const { train, validation } = splitExamples(Int32Array.from(items), share, seed);
  return { train: [...train], validation: [...validation] };
}

function tokenizeAll<R extends Row>(tokenizer: RowTokenizer<R>, rows: readonly R[]) {
  const all = rows.map(tokenizer.add).filter((row): row is TokenizedRow<R> => row !== null);
  return {
    examples: all.map(({ example }) => example),
    rows: all.map(({ row }) => row),
    lengths: all.map(({ length }) => length),
    problems: tokenizer.problems.problems(),
  };
}
