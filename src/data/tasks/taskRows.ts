import { pairParts } from '../examples/pairParts';
import { filled, type Columns } from '../rows/columns';
import { imagePathFault } from '../rows/contentParts';
import { kindOf } from '../rows/describe';
import type { RowReport } from '../rows/rowReport';
import type { RowContext } from '../rows/settings';
import type { CaptionedRow, Label, LabelledRow, PairRow, TaggedRow } from '../rows/row';
import { plainNumber } from '../../shared/exactValues';
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
    const negatives = negativesOf(columns, report);
    const score = scoreOf(columns, report);
    if (anchor === null || positive === null || negatives === null || score === null) return null;
    return { kind: 'pair', line, anchor, positive, ...pairParts(negatives, score) };
  };

/** Reads the file of an image and the text that belongs to it. */
export const readCaptioned =
  (key: string): Read<CaptionedRow> =>
  (columns, { line, report }) => {
    const [image, text] = [filled(columns, 'image', report), filled(columns, key, report)];
    if (image === null || text === null) return null;
    const fault = imagePathFault(image);
    if (fault !== null) return report.error(`"image" ${fault}.`, 'image');
    return { kind: 'captioned', line, image, text };
  };

/** The most columns of negatives that a row can have. */
const MOST_NEGATIVES = 16;
const NUMBERED = Array.from({ length: MOST_NEGATIVES }, (_, i) => `negative_${i + 1}`);
/** The columns of texts that do not belong to an anchor, as sentence-transformers names them. */
export const NEGATIVE_COLUMNS: readonly string[] = ['negative', ...NUMBERED, 'negatives'];
/** The columns of a pair's score. */
export const SCORE_COLUMNS: readonly string[] = ['score', 'label'];

/** Null where one has an error. */
function negativesOf(columns: Columns, report: RowReport): string[] | null {
  const list = columns['negatives'];
  if (list !== undefined && !Array.isArray(list))
    return report.error(`"negatives" must be a list of texts, not ${kindOf(list)}.`, 'negatives');
  const listed = (list ?? []) as readonly unknown[];
  const odd = listed.findIndex((text) => typeof text !== 'string' || text.trim() === '');
  if (odd >= 0)
    return report.error(
      `"negatives" must hold texts only, not ${kindOf(listed[odd])}.`,
      `negatives[${odd}]`,
    );
  if (listed.length > MOST_NEGATIVES)
    return report.error(`A row can have at most ${MOST_NEGATIVES} negatives.`, 'negatives');
  const named = ['negative', ...NUMBERED]
    .filter((key) => columns[key] !== undefined && columns[key] !== null)
    .map((key) => filled(columns, key, report));
  return named.includes(null) ? null : [...(named as string[]), ...(listed as string[])];
}

/** Undefined without a score; null where it is not one. */
function scoreOf(columns: Columns, report: RowReport): number | undefined | null {
  const key = SCORE_COLUMNS.find((name) => columns[name] !== undefined && columns[name] !== null);
  if (key === undefined) return undefined;
  const plain = plainNumber(columns[key]);
  const isNumber = typeof plain === 'number' || (typeof plain === 'string' && plain.trim() !== '');
  const score = isNumber ? Math.fround(Number(plain)) : NaN;
  if (Number.isFinite(score)) return score;
  return report.error(`"${key}" must be a number, how similar the two texts are.`, key);
}

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
