import type { ProblemType, Task } from '../../shared/task';
import { quote } from '../rows/describe';
import type { ProblemCollector } from '../dataset/problems';
import type { Target } from '../examples/example';
import type { Label, Row } from '../rows/row';

/** What a head for labels tells apart; of regression the numbers that it gives. */
export interface LabelSet {
  readonly problem_type: ProblemType;
  /** By their number. */
  readonly names: readonly string[];
}

/** So that numbers taken for classes do not make a head of the size of the model. */
const MOST_CLASSES = 10_000;
const NO_LABEL = -100;

/**
 * The labels of a dataset's rows: the base's own where it has them all, else those that the rows
 * have, in order. Null where a row's label does not fit, which is reported.
 */
export function labelSetOf(
  rows: readonly Row[],
  task: Task,
  wanted: ProblemType | null,
  known: readonly string[] | null,
  problems: ProblemCollector,
): LabelSet | null {
  const labelled = rows.flatMap((row) =>
    row.kind === 'labelled'
      ? [{ line: row.line, label: row.label }]
      : row.kind === 'tagged'
        ? [{ line: row.line, label: row.tags }]
        : row.kind === 'image'
          ? [{ line: row.line, label: row.label }]
          : [],
  );
  const problem_type =
    task === 'seq_cls' ? (wanted ?? problemOf(labelled)) : 'single_label_classification';
  const before = problems.errorCount;
  if (task === 'seq_cls')
    for (const { line, label } of labelled) checkLabel(label, problem_type, line, problems);
  if (problems.errorCount > before) return null;
  if (problem_type === 'regression') return numbersOf(labelled, problems);
  const values = [...new Set(labelled.flatMap(({ label }) => label))];
  const names = known && areAmong(values, known) ? known : [...values].sort(inOrder).map(String);
  if (names.length > MOST_CLASSES)
    return refuse(
      `The rows have ${names.length} different labels, which is too many for classes`,
      'set problem_type to "regression" if they are numbers to be told',
      labelled[0]!.line,
      problems,
    );
  if (names.length < 2)
    return refuse(
      `All rows have the label ${quote(names[0] ?? '')}: there is nothing to tell apart`,
      'give rows of at least two classes',
      labelled[0]!.line,
      problems,
    );
  return { problem_type, names };
}

type Labelled = readonly { readonly line: number; readonly label: Label | readonly Label[] }[];

function problemOf(rows: Labelled): ProblemType {
  const hasFraction = (label: Label) => typeof label === 'number' && !Number.isInteger(label);
  if (rows.some(({ label }) => [label].flat().some(hasFraction))) return 'regression';
  return rows.some(({ label }) => typeof label === 'object')
    ? 'multi_label_classification'
    : 'single_label_classification';
}

function checkLabel(
  label: Label | readonly Label[],
  problem: ProblemType,
  line: number,
  problems: ProblemCollector,
): void {
  const all = [label].flat();
  if (problem === 'regression') {
    const odd = all.find((one): one is string => typeof one === 'string');
    if (odd !== undefined)
      problems.error(
        `Other rows are labelled with numbers to be told (regression), this one with ${quote(odd)}.`,
        line,
        'label',
      );
  } else if (problem === 'single_label_classification' && typeof label === 'object') {
    problems.error(
      'A row must have one label, not a list: set problem_type to "multi_label_classification" where several can hold.',
      line,
      'label',
    );
  } else if (problem === 'multi_label_classification') {
    if (typeof label !== 'object')
      problems.error(
        'Other rows have lists of labels, this one has not: give a list here too, [] where none holds.',
        line,
        'label',
      );
    else if (new Set(label.map(String)).size < label.length)
      problems.error(
        'A label stands twice in the list: name the labels that hold, instead of a 0 or 1 for each.',
        line,
        'label',
      );
  }
}

function numbersOf(rows: Labelled, problems: ProblemCollector): LabelSet | null {
  const width = [rows[0]?.label].flat().length;
  for (const { line, label } of rows) {
    if ([label].flat().length !== width)
      problems.error(
        `The row has ${[label].flat().length} numbers, others have ${width}.`,
        line,
        'label',
      );
  }
  return {
    problem_type: 'regression',
    names: width === 1 ? ['value'] : Array.from({ length: width }, (_, i) => `value ${i}`),
  };
}

function refuse(fault: string, fix: string, line: number, problems: ProblemCollector): null {
  problems.error(`${fault}: ${fix}.`, line, 'label');
  return null;
}

/** Numbers by size, then names. */
function inOrder(a: Label, b: Label): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [x, y] = [String(a), String(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** By their names; numbers only where they are as many. */
function areAmong(values: readonly Label[], known: readonly string[]): boolean {
  return (
    values.every((value) => known.includes(String(value))) ||
    (values.every((value) => indexIn(known, value) !== null) && values.length === known.length)
  );
}

function indexIn(names: readonly string[], label: Label): number | null {
  const at = names.indexOf(String(label));
  if (at >= 0) return at;
  return typeof label === 'number' && Number.isInteger(label) && label >= 0 && label < names.length
    ? label
    : null;
}

/** The number of a class. Errors: RangeError for one that the set does not have. */
export function classOf(label: Label, { names }: LabelSet): number {
  const at = indexIn(names, label);
  if (at === null)
    throw new RangeError(
      `The model has no label ${quote(String(label))}; it has ${names.slice(0, 12).map(quote).join(', ')}.`,
    );
  return at;
}

/** What the loss compares a row with. Errors: RangeError for an unknown label. */
export function targetOf(label: Label | readonly Label[], set: LabelSet): Target {
  const all = [label].flat();
  switch (set.problem_type) {
    case 'single_label_classification':
      if (typeof label === 'object')
        throw new RangeError('The row has a list of labels, the model tells one.');
      return Int32Array.of(classOf(label, set));
    case 'regression':
      if (all.length !== set.names.length || !all.every((one) => typeof one === 'number'))
        throw new RangeError(
          `The label must be ${set.names.length === 1 ? 'a number' : `${set.names.length} numbers`}.`,
        );
      return Float32Array.from(all);
    case 'multi_label_classification': {
      const held = new Set(all.map((one) => classOf(one, set)));
      return Float32Array.from(set.names, (_, i) => (held.has(i) ? 1 : 0));
    }
  }
}

/** A label for each word's first token, none for the others. */
export function tagLabels(
  tags: readonly Label[],
  starts: readonly number[],
  length: number,
  set: LabelSet,
): Int32Array {
  const labels = new Int32Array(length).fill(NO_LABEL);
  starts.forEach((start, word) => {
    if (start < length) labels[start] = classOf(tags[word]!, set);
  });
  return labels;
}
