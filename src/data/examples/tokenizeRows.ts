import { LoraError, type Problem } from '../../shared/errors';
import { escapeRegExp } from '../../shared/values';
import { ROW_SETTINGS, type RowSettings } from '../rows/settings';
import { encodeRow, type EncodedRow } from './encodeRow';
import { quote } from '../rows/describe';
import { ProblemCollector } from '../dataset/problems';
import { RowReport } from '../rows/rowReport';
import { foldSystem } from '../chat/systemMessage';
import { lengthOf, tokensOf, type Example, type TokensExample } from './example';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { Row, TextRow } from '../rows/row';

export interface TokenizeSettings {
  readonly max_length: number;
  readonly labels: 'assistant' | 'all';
  /**
   * Rows of the model's embedding, against which given ids are checked; left out: the tokenizer's
   * vocabulary.
   */
  readonly vocab_size?: number;
  /** Left out: the recipe's defaults. */
  readonly rows?: RowSettings;
}

export interface DataStatistics {
  readonly examples: number;
  readonly tokens: number;
  /**
   * Tokens that carry a label and have one before them to be predicted from; of other tasks than a
   * language model's, labelled rows or words.
   */
  readonly labelled_tokens: number;
  /** Tokens of the longest row before it is cut. */
  readonly longest: number;
  /** Rows that were cut to max_length. */
  readonly truncated: number;
}

export interface TokenizedRows {
  /** One for each row without faults that the settings do not skip, in their order. */
  readonly examples: readonly Example[];
  /** The row of each example as it was taken: a chat as its template took it. */
  readonly rows: readonly Row[];
  /** For each example, the tokens of its whole row. */
  readonly lengths: readonly number[];
  readonly problems: readonly Problem[];
}

export interface TokenizedTexts extends TokenizedRows {
  readonly examples: readonly TokensExample[];
  readonly rows: readonly TextRow[];
}

const NO_TEMPLATE = 'The base model has no chat template';

/**
 * Turns rows into examples, the beginning kept where they are too long. Faults of a row are among
 * the problems: template, ids, no label left.
 */
export function tokenizeRows(
  file: string,
  rows: readonly TextRow[],
  tokenizer: Tokenizer,
  settings: TokenizeSettings,
  onRow: (done: number) => void = () => undefined,
): TokenizedTexts {
  const problems = new ProblemCollector(file);
  const findSpecials = specialTokenFinder(tokenizer);
  const [examples, taken, lengths]: [TokensExample[], TextRow[], number[]] = [[], [], []];
  for (const [i, row] of rows.entries()) {
    warnOfSpecialTokens(row, findSpecials, problems);
    const encoded = tryEncode(row, tokenizer, settings, problems);
    const example =
      encoded &&
      toExample(
        encoded.row,
        encoded,
        settings,
        settings.vocab_size ?? tokenizer.vocab_size,
        problems,
      );
    if (example) {
      examples.push(example);
      taken.push(encoded.row);
      lengths.push(encoded.ids.length);
    }
    onRow(i + 1);
  }
  return { examples, rows: taken, lengths, problems: problems.problems() };
}

/** `image_length`: tokens of an image. */
export function statisticsOf(
  { examples, lengths }: Pick<TokenizedRows, 'examples' | 'lengths'>,
  image_length = 1,
): DataStatistics {
  return {
    examples: examples.length,
    tokens: examples.reduce((sum, example) => sum + tokensOf(example, image_length), 0),
    labelled_tokens: examples.reduce((sum, example) => sum + labelsIn(example), 0),
    longest: lengths.reduce((longest, length) => Math.max(longest, length), 0),
    truncated: lengths.filter(
      (length, i) => examples[i]!.kind !== 'image' && length > lengthOf(examples[i]!),
    ).length,
  };
}

function labelsIn(example: Example): number {
  return example.kind === 'tokens' ? countLabels(example.labels) : 1;
}

/** Labels that the loss counts: the first token has none before it. */
export function countLabels(labels: Int32Array): number {
  let count = 0;
  for (let t = 1; t < labels.length; t++) if (labels[t] !== -100) count++;
  return count;
}

type Encoded = EncodedRow & { readonly row: TextRow };

function tryEncode(
  row: TextRow,
  tokenizer: Tokenizer,
  { rows = ROW_SETTINGS }: TokenizeSettings,
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
  if (row.kind === 'completion' && !tokenizer.has_chat_template)
    problems.warn(
      `${NO_TEMPLATE}: prompt and completion are put together as they stand.`,
      row.line,
    );
  const encoded = attempt(row, tokenizer);
  if (!(encoded instanceof LoraError)) return encoded;
  const folded = foldSystem(row);
  const again = folded && attempt(folded, tokenizer);
  if (again && !(again instanceof LoraError))
    return withoutSystem(again, encoded, rows, new RowReport(problems, row.line));
  problems.error(encoded.fix ? `${encoded.message} ${encoded.fix}` : encoded.message, row.line);
  return null;
}

function attempt(row: TextRow, tokenizer: Tokenizer): Encoded | LoraError {
  try {
    return { ...encodeRow(row, tokenizer), row };
  } catch (error) {
    if (error instanceof LoraError) return error;
    throw error;
  }
}

/** For a row whose system message is what the template refuses. */
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
  row: TextRow,
  { ids, learnt }: EncodedRow,
  settings: TokenizeSettings,
  vocab_size: number,
  problems: ProblemCollector,
): TokensExample | null {
  const outside = row.kind === 'tokenized' ? ids.findIndex((id) => id >= vocab_size) : -1;
  if (outside >= 0) {
    problems.error(
      `The token id ${ids[outside]!} is not in the vocabulary of ${vocab_size}.`,
      row.line,
      `input_ids[${outside}]`,
    );
    return null;
  }
  const input_ids = Int32Array.from(
    ids.length > settings.max_length ? ids.slice(0, settings.max_length) : ids,
  );
  const labels = settings.labels === 'all' ? input_ids.slice() : labelsOf(input_ids, learnt);
  if (countLabels(labels) > 0) return { kind: 'tokens', line: row.line, input_ids, labels };
  const { unlabelled_rows } = settings.rows ?? ROW_SETTINGS;
  if (unlabelled_rows === 'error')
    problems.error(
      `${unlabelled(ids.length, learnt[0]?.start, settings.max_length)}, or set unlabelled_rows to "skip".`,
      row.line,
    );
  else
    problems.warn(
      `No token is left to learn within max_length = ${settings.max_length}; the row is left out.`,
      row.line,
    );
  return null;
}

function labelsOf(input_ids: Int32Array, learnt: EncodedRow['learnt']): Int32Array {
  const labels = new Int32Array(input_ids.length).fill(-100);
  for (const { start, end } of learnt)
    labels.set(input_ids.subarray(start, end), Math.min(start, labels.length));
  return labels;
}

function unlabelled(length: number, start: number | undefined, max_length: number): string {
  if (length <= max_length || start === undefined)
    return `No token is left to learn: the row has ${length} ${length === 1 ? 'token' : 'tokens'}. Give it an answer`;
  return (
    `No token is left to learn: the answer begins after ${start} of the row's ${length} tokens, but max_length is ${max_length}. ` +
    'Raise max_length, shorten what stands before the answer'
  );
}

/** Gives the special tokens that stand in a text. */
function specialTokenFinder(tokenizer: Tokenizer): (text: string) => readonly string[] {
  const tokens = [...tokenizer.special_tokens.keys()].filter((token) => token.trim() !== '');
  const any = new RegExp(tokens.map(escapeRegExp).join('|') || '(?!)');
  return (text) => (any.test(text) ? tokens.filter((token) => text.includes(token)) : []);
}

/**
 * They are recognised in what people write too: a message can so end its own turn, or begin
 * another's.
 */
function warnOfSpecialTokens(
  row: TextRow,
  find: (text: string) => readonly string[],
  problems: ProblemCollector,
): void {
  const texts =
    row.kind === 'messages'
      ? row.messages.map((message) => message.content)
      : row.kind === 'completion'
        ? [row.prompt, row.completion]
        : [];
  for (const token of new Set(texts.flatMap(find))) {
    problems.warn(
      `A message holds the special token ${quote(token)}: the model reads it as such, not as text.`,
      row.line,
    );
  }
}
