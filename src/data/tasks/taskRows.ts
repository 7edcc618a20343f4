import { filled, type Columns } from '../rows/columns';
import { kindOf } from '../rows/describe';
import type { RowReport } from '../rows/rowReport';
import type { RowContext } from '../rows/settings';
import type { Label, LabelledRow, PairRow, TaggedRow } from '../rows/row';
import { countOf } from '../../shared/values';

type Read<R> = (columns: Columns, context: RowContext) => R | null;

/** Reads a text, the second text where the row has one, and its label or list of labels. */
export const readLabelled =
  (first: string, second: string, key: string): Read<LabelledRow> =>
  (columns, { line, report }) => {
    const text = filled(columns, first, report);
    const hasPair = columns[second] !== undefined && columns[second] !== null;
    const text_pair = hasPair ? filled(columns, second, report) : null;
    const value = columns[key];
    const label = Array.isArray(value) ? labels(value, key, report) : labelOf(value, key, report);
    if (text === null || label === null || (hasPair && text_pair === null)) return null;
    return { kind: 'labelled', line, text, text_pair, label };
  };

/** Reads words and a tag for each. */
export const readTagged =
  (key: string): Read<TaggedRow> =>
  (columns, { line, report }) => {
    const words = columns['tokens'];
    const values = columns[key];
    if (!Array.isArray(words) || words.length === 0)
      return report.error(`"tokens" must be a list of words, not ${kindOf(words)}.`, 'tokens');
    const odd = words.findIndex((word) => typeof word !== 'string');
    if (odd >= 0)
      return report.error(
        `"tokens" must hold words only, not ${kindOf(words[odd])}.`,
        `tokens[${odd}]`,
      );
    if (!Array.isArray(values))
      return report.error(`"${key}" must be a list of tags, not ${kindOf(values)}.`, key);
    if (values.length !== words.length)
      return report.error(
        `"${key}" has ${countOf(values.length, 'entry')}, but "tokens" has ${words.length}.`,
        key,
      );
    const tags = labels(values, key, report);
    return tags && { kind: 'tagged', line, tokens: words as string[], tags };
  };

/** Reads two texts that belong together. */
export const readPair =
  (first: string, second: string): Read<PairRow> =>
  (columns, { line, report }) => {
    const [anchor, positive] = [filled(columns, first, report), filled(columns, second, report)];
    return anchor === null || positive === null ? null : { kind: 'pair', line, anchor, positive };
  };

function labels(values: readonly unknown[], key: string, report: RowReport): Label[] | null {
  const read = values.map((value, i) => labelOf(value, `${key}[${i}]`, report));
  return read.includes(null) ? null : (read as Label[]);
}

function labelOf(value: unknown, key: string, report: RowReport): Label | null {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'string' && value.trim() !== '') return value;
  return report.error(
    `A label must be a name or a number, not ${value === '' ? 'an empty text' : kindOf(value)}.`,
    key,
  );
}
