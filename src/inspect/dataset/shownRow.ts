import type { RowText } from '../../data/rows/rowTexts';
import type { TokensExample } from '../../data/examples/example';
import { labelPieces } from '../../data/examples/labelPieces';
import { textTokenizer, type TokenizeSettings } from '../../data/examples/tokenizeRows';
import { ProblemCollector } from '../../data/dataset/problems';
import type { TextRow } from '../../data/rows/row';
import type { DataRow, Piece, RowDetail, Turn } from '../../shared/pages/data/protocol';
import { escapeRegExp } from '../../shared/values';
import type { RowFacts } from './rowFacts';
import { withNamedImages, withShownImages } from './rowImages';
import {
  faultOf,
  fieldsOf,
  hashOf,
  jsonOf,
  textsOf,
  type ReadRow,
  type RowReading,
} from './rowReader';

/** Characters of a turn in the grid, and of a row that is opened. */
const SHORT = 300;
const LONG = 200_000;

/** What a model needs of rows of causal_lm. */
export type RowTools = Omit<TokenizeSettings, 'rows'>;

/**
 * A row in the grid.
 *
 * @param limit The most tokens that are learned of a row.
 */
export function gridRow(read: ReadRow, row: number, facts: RowFacts, limit: number): DataRow {
  const texts = textsOf(read);
  const known = row < facts.length ? facts : null;
  return {
    row,
    number: read.raw.number,
    turns: ends(withNamedImages(texts, read.row)).map(shortened),
    messages: texts.length,
    length: lengthOf(texts),
    tokens: known?.tokensAt(row) ?? null,
    isCut: (known?.tokensAt(row) ?? 0) > limit,
    fault: faultOf(read.problems.problems()),
    twin: known?.twinAt(row) ?? null,
    like: known?.likeAt(row) ?? null,
    isExcluded: known?.isExcluded(row) ?? false,
  };
}

/** Characters of all texts of a row. */
export const lengthOf = (texts: readonly RowText[]): number =>
  texts.reduce((sum, { text }) => sum + text.length, 0);

/** The first text that is no system message, and the last one. */
function ends(texts: readonly RowText[]): readonly RowText[] {
  const first = texts.find(({ role }) => role !== 'system') ?? texts[0];
  const last = texts.at(-1);
  return first === undefined ? [] : [first, ...(last && last !== first ? [last] : [])];
}

const shortened = ({ role, text }: RowText): Turn => ({
  role: role.slice(0, SHORT),
  text: text.slice(0, SHORT).replace(/\s+/g, ' '),
});

/** A row in full, at most 200,000 characters. */
export function rowDetail(
  read: ReadRow,
  row: number,
  { tools, reading, isExcluded }: DetailContext,
): RowDetail {
  const texts = textsOf(read);
  const raw = jsonOf(read.raw);
  const isShortened = raw.length > LONG || read.raw.kind === 'fault';
  const encoded = tools && !isShortened ? encodedPieces(read, tools, reading) : null;
  const problems = [...read.problems.problems(), ...(encoded?.problems ?? [])];
  let left = LONG;
  const turns = texts.map(({ role, text }) => {
    const shown = text.slice(0, left);
    left -= shown.length;
    return { role, text: shown };
  });
  return {
    row,
    number: read.raw.number,
    turns: isShortened ? turns : withShownImages(turns, read.row),
    pieces: encoded?.pieces ?? null,
    problems: problems.map(({ severity, message }) => ({ severity, message })),
    fields: isShortened
      ? []
      : fieldsOf(read.raw).map(({ path, value }) => ({ path: [...path], value })),
    raw: raw.slice(0, LONG),
    hash: hashOf(read.raw) ?? '',
    length: lengthOf(texts),
    isShortened,
    isExcluded,
  };
}

interface DetailContext {
  readonly tools: RowTools | null;
  readonly reading: RowReading;
  readonly isExcluded: boolean;
}

/** What a model reads of a row: what it learns, what it only reads, and what is cut off. */
function encodedPieces({ row }: ReadRow, tools: RowTools, { file, unit, settings }: RowReading) {
  if (!row || !isTextRow(row)) return null;
  const problems = new ProblemCollector(file, { unit });
  textTokenizer(problems, { ...tools, rows: settings }).add(row);
  // a row of which no label is left is shown, too
  const whole = { ...tools, max_length: Infinity, rows: settings };
  const example = textTokenizer(new ProblemCollector(file), whole).add(row)?.example;
  const pieces = example?.kind === 'tokens' ? cutPieces(example, tools) : null;
  return { pieces, problems: problems.problems() };
}

function cutPieces(example: TokensExample, tools: RowTools): Piece[] {
  const { max_length, tokenizer } = tools;
  const { input_ids, labels } = example;
  const kept = {
    ...example,
    input_ids: input_ids.slice(0, max_length),
    labels: labels.slice(0, max_length),
  };
  const pieces: Piece[] = labelPieces(kept, tokenizer).map(({ text, labelled, tokens }) => ({
    kind: labelled ? 'learnt' : 'context',
    text,
    tokens,
  }));
  const cut = [...input_ids.slice(max_length)];
  return cut.length === 0
    ? pieces
    : [
        ...pieces,
        { kind: 'cut', text: shortImages(tokenizer.decode(cut), tools), tokens: cut.length },
      ];
}

/** An image is thousands of the same token, which stands once, with their number. */
function shortImages(text: string, { tokenizer, images }: RowTools): string {
  if (!images || 'refused' in images) return text;
  const token = tokenizer.decode([images.reader.image_token]);
  if (token === '') return text;
  const runs = new RegExp(`(?:${escapeRegExp(token)}){2,}`, 'g');
  return text.replace(runs, (run) => `${token} × ${run.length / token.length}`);
}

export const isTextRow = (row: { readonly kind: string }): row is TextRow =>
  ['messages', 'completion', 'text', 'tokenized'].includes(row.kind);
