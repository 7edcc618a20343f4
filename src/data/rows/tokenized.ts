import { NO_LABEL } from '../../shared/task';
import { countOf, isObject } from '../../shared/values';
import { kindOf, quote } from './describe';
import type { Columns } from './columns';
import type { RowReport } from './rowReport';
import type { RowContext } from './settings';
import type { Row } from './row';

/**
 * A row of token ids that another tool wrote, with its padding cut off. Without labels, every token
 * is a label. Null where the row has errors, which are reported.
 */
export function readTokenized(columns: Columns, { line, report }: RowContext): Row | null {
  const ids = integers(columns, 'input_ids', report);
  const labels = 'labels' in columns ? integers(columns, 'labels', report) : ids;
  const mask =
    'attention_mask' in columns ? integers(columns, 'attention_mask', report) : ids?.map(() => 1);
  if (!ids || !labels || !mask) return null;
  if (ids.length === 0) return report.error('"input_ids" is empty.', 'input_ids');
  const before = report.errorCount;
  checkIds(ids, 'input_ids', report);
  checkLabels(ids, labels, report);
  const kept = unpadded(mask, ids.length, report);
  if (report.errorCount > before || !kept) return null;
  const cut = (values: readonly number[]) => values.slice(kept.start, kept.end);
  return {
    kind: 'tokenized',
    line,
    input_ids: cut(ids),
    labels: cut(labels),
    attention_mask: cut(mask),
  };
}

/** A column that must be a list of whole numbers. Null: it is not, which is reported. */
export function integers(columns: Columns, key: string, report: RowReport): number[] | null {
  const value = columns[key];
  if (!Array.isArray(value))
    return report.error(`"${key}" must be a list of whole numbers, not ${kindOf(value)}.`, key);
  const wrong = value.findIndex((item) => !Number.isSafeInteger(item));
  if (wrong < 0) return value as number[];
  return report.error(
    `"${key}" must hold whole numbers only, not ${describeItem(value[wrong])}.`,
    `${key}[${wrong}]`,
  );
}

function describeItem(item: unknown): string {
  if (Array.isArray(item) || isObject(item)) return kindOf(item);
  return typeof item === 'string' ? quote(item) : String(item);
}

/** Reports a token id below 0. */
export function checkIds(ids: readonly number[], key: string, report: RowReport): void {
  const wrong = ids.findIndex((id) => id < 0);
  if (wrong >= 0) report.error(`A token id cannot be ${ids[wrong]!}.`, `${key}[${wrong}]`);
}

function checkLabels(ids: readonly number[], labels: readonly number[], report: RowReport): void {
  if (labels.length !== ids.length) {
    report.error(
      `"labels" has ${countOf(labels.length, 'entry')}, but "input_ids" has ${ids.length}.`,
      'labels',
    );
    return;
  }
  const wrong = labels.findIndex((label, i) => label !== NO_LABEL && label !== ids[i]);
  if (wrong < 0) return;
  const shifted = labels.every(
    (label, i) => label === NO_LABEL || i + 1 === ids.length || label === ids[i + 1],
  );
  report.error(
    shifted
      ? '"labels" are shifted by one token: each label must be at the position of its token in "input_ids" (training shifts them itself).'
      : `A label must be its token's id (${ids[wrong]!}) or ${NO_LABEL}, not ${labels[wrong]!}.`,
    `labels[${wrong}]`,
  );
}

/** The range in which the mask is 1. */
function unpadded(
  mask: readonly number[],
  length: number,
  report: RowReport,
): { readonly start: number; readonly end: number } | null {
  if (mask.length !== length)
    return report.error(
      `"attention_mask" has ${countOf(mask.length, 'entry')}, but "input_ids" has ${length}.`,
      'attention_mask',
    );
  const start = mask.indexOf(1);
  const end = mask.lastIndexOf(1) + 1;
  const wrong = mask.findIndex((bit, i) => bit !== (i >= start && i < end ? 1 : 0));
  if (start < 0) return report.error('"attention_mask" is 0 everywhere.', 'attention_mask');
  if (wrong >= 0)
    return report.error(
      '"attention_mask" must be 1 on all tokens and 0 on padding at the ends.',
      `attention_mask[${wrong}]`,
    );
  return { start, end };
}
