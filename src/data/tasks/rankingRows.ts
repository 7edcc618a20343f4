import { plainNumber } from '../../shared/exactValues';
import { countOf } from '../../shared/values';
import { filled, type Columns } from '../rows/columns';
import { kindOf } from '../rows/describe';
import type { RankingRow } from '../rows/row';
import type { RowReport } from '../rows/rowReport';
import type { RowContext } from '../rows/settings';

type Read = (columns: Columns, context: RowContext) => RankingRow | null;

/** The most documents of a row: all of them are in one batch. */
const MOST_DOCUMENTS = 128;

/** Reads a query and one document with its score. */
export const readRatedDocument =
  (document: string, key: string): Read =>
  (columns, { line, report }) => {
    const [query, text] = [filled(columns, 'query', report), filled(columns, document, report)];
    const score = scoreOf(columns[key], key, report);
    if (query === null || text === null || score === null) return null;
    return { kind: 'ranking', line, query, documents: [text], scores: [score], isList: false };
  };

/** Reads a query and a list of documents, each with its score. */
export const readRatedDocuments =
  (key: string, scoreKey: string): Read =>
  (columns, { line, report }) => {
    const query = filled(columns, 'query', report);
    const documents = documentsOf(columns[key], key, report);
    const scores = scoresOf(columns[scoreKey], scoreKey, report);
    if (query === null || documents === null || scores === null) return null;
    if (scores.length !== documents.length)
      return report.error(
        `"${scoreKey}" has ${countOf(scores.length, 'entry')}, but "${key}" has ${documents.length}.`,
        scoreKey,
      );
    return { kind: 'ranking', line, query, documents, scores, isList: true };
  };

function documentsOf(value: unknown, key: string, report: RowReport): string[] | null {
  if (!Array.isArray(value))
    return report.error(`"${key}" must be a list of texts, not ${kindOf(value)}.`, key);
  const texts = value as readonly unknown[];
  const odd = texts.findIndex((text) => typeof text !== 'string' || text.trim() === '');
  if (odd >= 0)
    return report.error(
      `"${key}" must hold texts only, not ${texts[odd] === '' ? 'an empty one' : kindOf(texts[odd])}.`,
      `${key}[${odd}]`,
    );
  if (texts.length < 2)
    return report.error(`"${key}" must have at least two texts to put in order.`, key);
  if (texts.length > MOST_DOCUMENTS)
    return report.error(`"${key}" can have at most ${MOST_DOCUMENTS} texts.`, key);
  return texts as string[];
}

function scoresOf(value: unknown, key: string, report: RowReport): number[] | null {
  if (!Array.isArray(value))
    return report.error(`"${key}" must be a list of numbers, not ${kindOf(value)}.`, key);
  const scores = value.map((own: unknown, i) => scoreOf(own, `${key}[${i}]`, report));
  return scores.includes(null) ? null : (scores as number[]);
}

/** A number in the precision of f32; the cells of a CSV file are text. */
function scoreOf(value: unknown, key: string, report: RowReport): number | null {
  const plain = plainNumber(value);
  const isNumber = typeof plain === 'number' || (typeof plain === 'string' && plain.trim() !== '');
  const score = isNumber ? Math.fround(Number(plain)) : NaN;
  if (Number.isFinite(score)) return score;
  return report.error(`"${key}" must be a number, how well the document fits the query.`, key);
}
