import { hasKinds, NO_LABEL, type ProblemType, type Task } from '../../shared/task';
import { quote } from '../rows/describe';
import type { ProblemCollector } from '../dataset/problems';
import type { Target } from '../examples/example';
import type { Label, Row } from '../rows/row';
import { countOf } from '../../shared/values';

/** The classes that a head distinguishes; for regression, the numbers that it predicts. */
export interface LabelSet {
  readonly problem_type: ProblemType;
  /** By class index. */
  readonly names: readonly string[];
}

/** More are probably numbers of a regression, and the head would be as large as the model. */
const MOST_CLASSES = 10_000;

/** What determines the labels of a task. */
export interface LabelSource {
  readonly task: Task;
  /** Null: inferred from the rows. */
  readonly problem_type: ProblemType | null;
  /** Labels of the base's head, if it has one. */
  readonly known: readonly string[] | null;
  /** Rows whose labels do not fit are left out (skip_faulty_rows). */
  readonly skip?: boolean;
}

/** The labels of a row, by its line. */
export interface RowLabel {
  readonly line: number;
  readonly label: Label | readonly Label[];
  /** Of the row's file. */
  readonly problems: ProblemCollector;
}

/**
 * Collects the labels of a file's rows. Equal labels are kept once, so that a row costs about 40
 * bytes.
 */
export class RowLabels {
  readonly items: RowLabel[] = [];
  private readonly known = new Map<unknown, Label | readonly Label[]>();

  constructor(private readonly problems: ProblemCollector) {}

  /** Rows without labels are ignored, and tagged rows that add no new label. */
  add(row: Row): void {
    const { problems } = this;
    switch (row.kind) {
      case 'labelled':
      case 'image':
        this.items.push({ line: row.line, label: this.shared(row.label), problems });
        break;
      case 'tagged': {
        const added = row.tags.filter((tag) => !this.known.has(tag));
        if (added.length > 0)
          this.items.push({
            line: row.line,
            label: added.map((tag) => this.shared(tag) as Label),
            problems,
          });
        break;
      }
      default:
    }
  }

  private shared(label: Label | readonly Label[]): Label | readonly Label[] {
    const key = typeof label === 'object' ? JSON.stringify(label) : label;
    const known = this.known.get(key);
    // the text of a list may be a label too
    if (known !== undefined && typeof known === typeof label) return known;
    this.known.set(key, label);
    return label;
  }
}

/**
 * The labels of a dataset: those of the base where they include all labels of the rows, else the
 * labels of the rows, sorted. Null where labels do not fit together, which is reported.
 */
export function labelSetOf(
  all: readonly RowLabel[],
  { task, problem_type: requested, known, skip = false }: LabelSource,
): LabelSet | null {
  const problem_type = problemTypeOf(all, { task, requested, skip });
  const faultOf =
    hasKinds(task) || task === 'image_cls' ? faultFinder(all, problem_type) : () => null;
  const labelled = all.filter((row) => {
    const fault = faultOf(row);
    if (fault !== null) row.problems.error(fault, row.line, 'label');
    return fault === null;
  });
  if (labelled.length < all.length && !skip) return null;
  if (problem_type === 'regression') return regressionSet(labelled);
  const values = [...new Set(labelled.flatMap(({ label }) => label))];
  const names = known && areAmong(values, known) ? known : values.sort(inOrder).map(String);
  const fault = classFault(names);
  if (fault === null) return { problem_type, names };
  const [first] = labelled;
  // not a fault of that row: it is no reason to leave it out
  first?.problems.sharedError(fault, first.line);
  return null;
}

function problemTypeOf(
  all: readonly RowLabel[],
  {
    task,
    requested,
    skip,
  }: Pick<LabelSource, 'task'> & {
    readonly requested: ProblemType | null;
    readonly skip: boolean;
  },
): ProblemType {
  if (hasKinds(task)) return requested ?? inferProblemType(all, skip);
  const usual = 'single_label_classification';
  return task === 'image_cls' ? (requested ?? usual) : usual;
}

/** Finds what is wrong with a row's label; null if nothing is. */
function faultFinder(
  rows: readonly RowLabel[],
  problem_type: ProblemType,
): (row: RowLabel) => string | null {
  if (problem_type !== 'regression') return ({ label }) => labelFault(label, problem_type);
  const first = rows.find(({ label }) => labelFault(label, problem_type) === null);
  const width = [first?.label].flat().length;
  return ({ label }) => {
    const count = [label].flat().length;
    return (
      labelFault(label, problem_type) ??
      (count === width ? null : `The row has ${countOf(count, 'number')}, others have ${width}.`)
    );
  };
}

function classFault(names: readonly string[]): string | null {
  if (names.length > MOST_CLASSES)
    return `The rows have ${names.length} different labels, which is too many for classes: set problem_type to "regression" if they are numbers to be predicted.`;
  if (names.length < 2)
    return `All rows have the label ${quote(names[0] ?? '')}, so there is nothing to classify: give rows of at least two classes.`;
  return null;
}

/** `skip`: a few rows that do not fit the others, and are left out, do not decide. */
function inferProblemType(rows: readonly RowLabel[], skip: boolean): ProblemType {
  const areMany = (test: (row: RowLabel) => boolean) =>
    skip ? 2 * rows.filter(test).length > rows.length : rows.some(test);
  const isNumber = (label: Label) => typeof label === 'number';
  const hasFraction = rows.some(({ label }) =>
    [label].flat().some((one) => isNumber(one) && !Number.isInteger(one)),
  );
  if (hasFraction && areMany(({ label }) => [label].flat().every(isNumber))) return 'regression';
  return areMany(({ label }) => typeof label === 'object')
    ? 'multi_label_classification'
    : 'single_label_classification';
}

function labelFault(label: RowLabel['label'], problem_type: ProblemType): string | null {
  switch (problem_type) {
    case 'regression': {
      const name = [label].flat().find((one) => typeof one === 'string');
      return name === undefined
        ? null
        : `The labels of other rows are numbers (regression), but this one is ${quote(name)}.`;
    }
    case 'single_label_classification':
      return typeof label === 'object'
        ? 'A row must have one label, not a list: set problem_type to "multi_label_classification" if a row can have several.'
        : null;
    case 'multi_label_classification':
      if (typeof label !== 'object')
        return 'Other rows have lists of labels, but this one has a single label: give a list here too, [] for no label.';
      return new Set(label.map(String)).size < label.length
        ? 'A label is twice in the list: name the labels that apply, instead of a 0 or 1 for each.'
        : null;
  }
}

function regressionSet(rows: readonly RowLabel[]): LabelSet {
  const width = [rows[0]?.label].flat().length;
  return {
    problem_type: 'regression',
    names: width === 1 ? ['value'] : Array.from({ length: width }, (_, i) => `value ${i}`),
  };
}

/** Numbers by value, names by code unit. */
function inOrder(a: Label, b: Label): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [x, y] = [String(a), String(b)];
  if (x === y) return 0;
  return x < y ? -1 : 1;
}

/**
 * Whether all labels of the rows are among the base's: by name, or by class index where the rows
 * have as many labels as the base.
 */
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

/**
 * The index of a class, given by its name or index.
 *
 * @throws RangeError for a label that the set does not have.
 */
export function classOf(label: Label, { names }: LabelSet): number {
  const at = indexIn(names, label);
  if (at === null)
    throw new RangeError(
      `The model has no label ${quote(String(label))}; it has ${names.slice(0, 12).map(quote).join(', ')}.`,
    );
  return at;
}

/**
 * The target of a row's loss: a class index, one number per output, or 0 and 1 for each class.
 *
 * @throws RangeError for labels that do not fit the set.
 */
export function targetOf(label: Label | readonly Label[], set: LabelSet): Target {
  const all = [label].flat();
  switch (set.problem_type) {
    case 'single_label_classification':
      if (typeof label === 'object')
        throw new RangeError('The row has a list of labels, but the model predicts one.');
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

/**
 * Labels of tokens: the class of each word at its first token, -100 (ignored) elsewhere.
 *
 * @param starts Index of each word's first token; at or beyond `length`: it was cut off.
 * @throws RangeError for a label that the set does not have.
 */
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
