import path from 'node:path';
import { contentOf, type ChatVariables, type Message, type Span } from '../chat/chat';
import type { AnswerForm } from '../chat/calls/form';
import { parseAnswer } from '../chat/calls/parseAnswer';
import type { Row } from '../rows/row';
import { promptImages, type PromptImages } from './batchImages';
import type { EncodedRow } from './encodeRow';
import { lengthOf, type Example } from './example';
import type { TokenizedRow } from './tokenizeRows';

/** A row whose prediction is shown during training. */
export interface SampleRow {
  /** The row as text; for a chat, the message that is answered. */
  readonly text: string;
  /** The row's line in the dataset. */
  readonly line: number;
  readonly example: Example;
  /** The words of a tagged row, else empty. */
  readonly words: readonly string[];
  /** The answer that the row teaches. Null for tasks other than causal_lm. */
  readonly answer: SampleAnswer | null;
}

/** The last answer of a row, and what comes before it. */
export interface SampleAnswer {
  /** The row's own tokens before the answer. */
  readonly prompt_ids: readonly number[];
  /** The tokens of the answer, with those that end it. */
  readonly answer_ids: readonly number[];
  /** Those among `prompt_ids`; null: none. */
  readonly images: PromptImages | null;
  /** The messages before the one that is answered. Empty for rows that are no chats. */
  readonly before: readonly Message[];
  /** The message that is answered; null for rows that are no chats. */
  readonly asked: Message | null;
  /** The inputs of the chat template besides the messages. */
  readonly variables: ChatVariables;
}

const MAX_SAMPLE_ROWS = 2;

/** What is known of the rows that samples are chosen from. */
export interface SampleCandidates {
  readonly length: number;
  /** Whether the row can be shown: see `isShown`. */
  isShownAt(index: number): boolean;
  /** Rows of other kinds than chats are often sorted by label. */
  readonly maybeSorted: boolean;
}

/**
 * The indices of the first two rows that can be shown as text. For rows that may be sorted: one
 * from each half.
 */
export function selectSampleRows(rows: SampleCandidates): number[] {
  const shown: number[] = [];
  for (let i = 0; i < rows.length && shown.length < MAX_SAMPLE_ROWS; i++) {
    if (rows.maybeSorted && i < shown.length * (rows.length >> 1)) continue;
    if (rows.isShownAt(i)) shown.push(i);
  }
  return shown;
}

/** Whether rows that begin with this one may be sorted by label. */
export const maybeSorted = (first: Row['kind']): boolean =>
  first !== 'messages' && first !== 'completion';

/** Whether a row has a text to show, and an answer to that if it is a chat or a completion. */
export const isShown = (tokenized: TokenizedRow): boolean =>
  tokenized.encoded
    ? isAnswered(shownText(tokenized.row)) &&
      sampledSpan(tokenized.encoded, tokenized.example) !== undefined
    : sampleText(tokenized.row) !== '';

const isAnswered = (row: Row | null): boolean =>
  row?.kind === 'messages' || row?.kind === 'completion';

/** The row itself, or the answer that a preference teaches; null: it teaches none. */
function shownText(row: Row): Row | null {
  if (row.kind === 'preference') return row.chosen;
  if (row.kind !== 'unpaired') return row;
  return row.desirable ? row.answer : null;
}

/** How answers are written by templates that write no calls: the data may hold them as text. */
const PLAIN: AnswerForm = { calls: null, reasoning: null, contentOpen: '' };

/** Whether an answer of a row calls a tool, including in its text. */
export function holdsCalls(row: Row): boolean {
  if (row.kind === 'completion') return parseAnswer(row.completion, PLAIN).calls.length > 0;
  if (row.kind !== 'messages') return false;
  return row.messages.some(
    (message) =>
      message.role === 'assistant' &&
      ((message.tool_calls ?? []).length > 0 ||
        parseAnswer(contentOf(message), PLAIN).calls.length > 0),
  );
}

/** The last answer that the example contains, unless the row starts with it. */
const sampledSpan = (encoded: EncodedRow, example: Example) =>
  sampledSpans(encoded, example).at(-1);

const sampledSpans = ({ labelled }: EncodedRow, example: Example): readonly Span[] =>
  labelled.filter(({ start, end }) => start > 0 && end > start && start < lengthOf(example));

/** The last answer of a row, and what comes before it. Null: it has none. */
export const sampleAnswer = (tokenized: TokenizedRow): SampleAnswer | null =>
  sampleAnswers(tokenized).at(-1) ?? null;

/** The answers of a row, each with what comes before it. */
export function sampleAnswers(tokenized: TokenizedRow): SampleAnswer[] {
  const { encoded, example } = tokenized;
  const row = shownText(tokenized.row);
  if (!encoded || !row || !isAnswered(row)) return [];
  return sampledSpans(encoded, example).map((span) => {
    const messages = askedMessages(row, encoded, span.start);
    return {
      prompt_ids: encoded.ids.slice(0, span.start),
      images:
        encoded.images && encoded.reader
          ? promptImages(span.start, encoded.images, encoded.reader)
          : null,
      answer_ids: encoded.ids.slice(span.start, span.end),
      before: messages.slice(0, -1),
      asked: messages.at(-1) ?? null,
      variables: row.kind === 'messages' ? (row.variables ?? {}) : {},
    };
  });
}

/** The messages of a chat up to the answer that begins at a token. */
function askedMessages(row: Row, { labelled }: EncodedRow, start: number): readonly Message[] {
  if (row.kind !== 'messages') return [];
  const { messages } = row;
  const learnt = messages.flatMap(({ role, weight }, turn) =>
    role === 'assistant' && weight !== 0 ? [turn] : [],
  );
  // a template that marks its answers itself may mark several parts of one message
  const at =
    learnt.length === labelled.length
      ? labelled.findIndex((span) => span.start === start)
      : learnt.length - 1;
  return messages.slice(0, learnt[at] ?? messages.length);
}

/** The message that is answered, or the row as text; empty if there is none. */
export function sampleText(row: Row, answer?: SampleAnswer | null): string {
  return answer?.asked ? contentOf(answer.asked) : (textOf(row) ?? '');
}

function textOf(row: Row): string | undefined {
  switch (row.kind) {
    case 'completion':
      return row.prompt;
    case 'messages':
      return contentOf(row.messages.find((message) => message.role === 'user') ?? {});
    case 'labelled':
      return row.text_pair === null ? row.text : `${row.text}\n${row.text_pair}`;
    case 'tagged':
      return row.tokens.join(' ');
    case 'pair':
      return `${row.anchor}\n${row.positive}`;
    case 'ranking':
      return [row.query, ...row.documents].join('\n');
    case 'image':
      return path.join(path.basename(path.dirname(row.file)), path.basename(row.file));
    case 'preference':
      return textOf(row.chosen);
    case 'unpaired':
      return textOf(row.answer);
    default:
      return undefined;
  }
}
