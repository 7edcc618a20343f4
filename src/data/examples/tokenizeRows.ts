import { LoraError } from '../../shared/errors';
import type { ImageCounts } from '../../shared/imageCounts';
import { NO_LABEL } from '../../shared/task';
import { countOf, escapeRegExp } from '../../shared/values';
import { ROW_SETTINGS, type RowSettings } from '../rows/settings';
import { encodeRow, type EncodedRow } from './encodeRow';
import { outsideFault } from '../tokenizer/vocabulary';
import { quote } from '../rows/describe';
import type { ProblemCollector } from '../dataset/problems';
import { RowReport } from '../rows/rowReport';
import { isStandardRole } from '../rows/roles';
import { contentOf } from '../chat/chat';
import { JinjaError } from '../chat/jinja/template';
import { foldSystem } from '../chat/systemMessage';
import type { Example, Sequence, TokensExample } from './example';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { Row, TextRow, Weighted } from '../rows/row';
import { cutImageFault, type RowImages } from './rowImages';

export interface TokenizeSettings {
  readonly tokenizer: Tokenizer;
  readonly max_length: number;
  readonly labels: 'assistant' | 'all';
  /**
   * Rows of the model's embedding, the limit for ids of tokenized rows. Default: the tokenizer's
   * vocabulary.
   */
  readonly vocab_size?: number;
  /** Default: the recipe's defaults. */
  readonly rows?: RowSettings;
  /** Reads the images of chats. Default: they are refused. */
  readonly images?: RowImages;
}

export interface DataStatistics {
  readonly examples: number;
  readonly tokens: number;
  /**
   * Labels that count in the loss; for tasks other than causal_lm, the number of labelled rows or
   * words.
   */
  readonly labelled_tokens: number;
  /** Tokens of the longest row before truncation. */
  readonly longest: number;
  /** Rows that were truncated to max_length. */
  readonly truncated: number;
  /** The most sequences that the model reads for one row. */
  readonly sequences: number;
  /** Those in all texts of the set. Not given: there are none. */
  readonly images?: ImageCounts;
}

/** A row in the form in which the model trains on it. */
export interface TokenizedRow<R extends Row = Row> {
  readonly example: Example;
  /** The row as it was encoded: a chat as its template accepts it. */
  readonly row: R;
  /** Tokens of the row before truncation. */
  readonly length: number;
  /** The row before truncation, of preferences the chosen answer; not for labels and pairs. */
  readonly encoded?: EncodedRow;
}

/** Turns rows into examples, one at a time. */
export interface RowTokenizer<R extends Row = Row> {
  /** Null where the row has errors or is skipped, which is reported. */
  readonly add: (row: R) => TokenizedRow<R> | null;
  readonly problems: ProblemCollector;
}

const NO_TEMPLATE = 'The base model has no chat template';

/**
 * Turns rows of causal_lm into examples, truncated to max_length. What is wrong in a row (the
 * template refuses it, an id is out of range, no label is left) is reported to `problems`.
 */
export function textTokenizer(
  problems: ProblemCollector,
  settings: TokenizeSettings,
): RowTokenizer<TextRow> {
  const warnOfSpecialTokens = specialTokenWarner(settings.tokenizer, problems);
  return {
    problems,
    add: (row) => {
      warnOfSpecialTokens(row);
      const encoded = tryEncode(row, settings, problems);
      const example = encoded && toExample(encoded, settings, problems);
      if (!example) return null;
      for (const finding of encoded.findings) problems.warn(finding, row.line);
      const weighted = withWeight(example, row);
      return { example: weighted, row: encoded.row, length: encoded.ids.length, encoded };
    },
  };
}

/** An example with the weight of its row. */
export const withWeight = <E extends Example>(example: E, { weight }: Weighted): E =>
  weight === undefined ? example : { ...example, weight };

/**
 * Labels of an example that count in the loss; for tasks other than causal_lm, labelled rows or
 * words.
 */
export function labelsIn(example: Example): number {
  switch (example.kind) {
    case 'tokens':
    case 'answer':
      return countLabels(example.labels);
    case 'preference':
      return countLabels(example.chosen.labels) + countLabels(example.rejected.labels);
    case 'unpaired':
      return countLabels(example.answer.labels);
    case 'ranking':
      return example.scores.length;
    default:
      return 1;
  }
}

/** Labels that count in the loss: not -100, and not at the first token, which nothing predicts. */
export function countLabels(labels: Int32Array): number {
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== NO_LABEL) count++;
  return count;
}

type Encoded = EncodedRow & { readonly row: TextRow };

function tryEncode(
  row: TextRow,
  { tokenizer, rows = ROW_SETTINGS, images }: TokenizeSettings,
  problems: ProblemCollector,
): Encoded | null {
  if (row.kind === 'messages' && !tokenizer.has_chat_template) {
    problems.sharedError(
      `${NO_TEMPLATE}, so chats cannot be written as text: put the chat_template.jinja of its instruct version into its folder, use that version, ` +
        'or give rows of {"prompt", "completion"} or {"text"}.',
      row.line,
    );
    return null;
  }
  if (row.kind === 'completion' && row.plain !== true && !tokenizer.has_chat_template)
    problems.warn(`${NO_TEMPLATE}: prompt and completion are joined without one.`, row.line);
  const strange = unknownRole(row, tokenizer);
  if (strange !== undefined) {
    problems.error(
      `The role ${quote(strange)} is not known: it must be system, user, assistant or tool, or one that the chat template names.`,
      row.line,
    );
    return null;
  }
  const encoded = attempt(row, tokenizer, images);
  if (!(encoded instanceof LoraError)) return encoded;
  const folded = isRefusal(encoded) ? foldSystem(row) : null;
  const again = folded && attempt(folded, tokenizer, images);
  if (again && !(again instanceof LoraError))
    return withoutSystem(again, encoded, rows, new RowReport(problems, row.line));
  problems.error(encoded.fix ? `${encoded.message} ${encoded.fix}` : encoded.message, row.line);
  return null;
}

/** Whether a template refuses a row itself, rather than that it fails or takes too long. */
const isRefusal = ({ cause }: LoraError): boolean =>
  cause instanceof JinjaError && cause.problem === 'refusal';

/** A role that is none of the usual ones, and that the chat template does not name either. */
function unknownRole(row: TextRow, { chat_template }: Tokenizer): string | undefined {
  if (row.kind !== 'messages') return undefined;
  const names = (role: string) =>
    [`'${role}'`, `"${role}"`].some((quoted) => chat_template?.includes(quoted));
  return row.messages.map(({ role }) => role).find((role) => !isStandardRole(role) && !names(role));
}

function attempt(row: TextRow, tokenizer: Tokenizer, images?: RowImages): Encoded | LoraError {
  try {
    return { ...encodeRow(row, tokenizer, images), row };
  } catch (error) {
    if (error instanceof LoraError) return error;
    throw error;
  }
}

/** For a row that the template accepts only without its system message. */
function withoutSystem(
  folded: Encoded,
  refusal: LoraError,
  { chats }: RowSettings,
  report: RowReport,
): Encoded | null {
  const fault = `The system message is refused. ${refusal.message.replace(/\.$/, '')}`;
  if (chats.system_refused !== 'fold')
    return report.refuse(
      chats.system_refused,
      fault,
      'remove it, or set chats.system_refused to "fold"',
    );
  report.warn(`${fault}; it is put in front of the first user message (chats.system_refused).`);
  return folded;
}

function toExample(
  encoded: Encoded,
  settings: TokenizeSettings,
  problems: ProblemCollector,
): TokensExample | null {
  const { row, ids, labelled } = encoded;
  const { max_length, tokenizer, vocab_size = tokenizer.vocab_size } = settings;
  const outside = ids.findIndex((id) => id >= vocab_size);
  if (outside >= 0) {
    const isText = row.kind !== 'tokenized';
    problems.error(
      isText
        ? outsideFault(ids[outside]!, vocab_size, tokenizer)
        : `The token id ${ids[outside]!} is not in the vocabulary of ${vocab_size}.`,
      row.line,
      ...(isText ? [] : [`input_ids[${outside}]`]),
    );
    return null;
  }
  const { images = [] } = encoded;
  const fault = cutImageFault(images, max_length);
  if (fault !== null) {
    problems.error(`${fault}.`, row.line);
    return null;
  }
  const sequence = sequenceOf(encoded, settings.labels, max_length);
  const own = { ...sequence, ...(images.length > 0 && { images }) };
  if (countLabels(sequence.labels) > 0) return { kind: 'tokens', line: row.line, ...own };
  const { unlabelled_rows } = settings.rows ?? ROW_SETTINGS;
  if (unlabelled_rows === 'error')
    problems.error(
      `${noLabelFault(ids.length, labelled[0]?.start, max_length)}, or set unlabelled_rows to "skip".`,
      row.line,
    );
  else
    problems.warn(
      `No label is left within max_length = ${max_length}; the row is skipped.`,
      row.line,
    );
  return null;
}

/** The first tokens of an encoded row, at most so many, and their labels. */
export function sequenceOf(
  { ids, labelled, unlearnt }: EncodedRow,
  wanted: TokenizeSettings['labels'],
  most: number,
): Sequence {
  const input_ids = Int32Array.from(ids.length > most ? ids.slice(0, most) : ids);
  const labels = wanted === 'all' ? input_ids.slice() : labelsOf(input_ids, labelled);
  for (const { start, end } of unlearnt) labels.fill(NO_LABEL, start, end);
  return { input_ids, labels };
}

/** The ids in the labelled spans, -100 elsewhere. */
function labelsOf(input_ids: Int32Array, labelled: EncodedRow['labelled']): Int32Array {
  const labels = new Int32Array(input_ids.length).fill(NO_LABEL);
  for (const { start, end } of labelled)
    labels.set(input_ids.subarray(start, end), Math.min(start, labels.length));
  return labels;
}

function noLabelFault(length: number, start: number | undefined, max_length: number): string {
  if (length <= max_length || start === undefined)
    return `No label is left: the row has ${countOf(length, 'token')}. Give it an answer`;
  return (
    `No label is left: the answer begins after ${start} of the row's ${countOf(length, 'token')}, but max_length is ${max_length}. ` +
    'Raise max_length, shorten the text before the answer'
  );
}

/** Finds the special tokens in a text. */
function specialTokenFinder(tokenizer: Tokenizer): (text: string) => readonly string[] {
  const tokens = [...tokenizer.special_tokens.keys()].filter((token) => token.trim() !== '');
  const any = new RegExp(tokens.map(escapeRegExp).join('|') || '(?!)');
  return (text) => (any.test(text) ? tokens.filter((token) => text.includes(token)) : []);
}

/** Special tokens are recognized in messages too, which can so end their turn or start another. */
export function specialTokenWarner(
  tokenizer: Tokenizer,
  problems: ProblemCollector,
): (row: TextRow) => void {
  const find = specialTokenFinder(tokenizer);
  return (row) => {
    for (const token of new Set(writtenTexts(row).flatMap(find))) {
      problems.warn(
        `A message contains the special token ${quote(token)}: the model reads it as a special token, not as text.`,
        row.line,
      );
    }
  };
}

function writtenTexts(row: TextRow): readonly string[] {
  if (row.kind === 'messages') return row.messages.map(contentOf);
  return row.kind === 'completion' ? [row.prompt, row.completion] : [];
}
