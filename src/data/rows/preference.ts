import { contentKey } from '../../shared/exactValues';
import { NO_LABEL } from '../../shared/task';
import { exchange, type Message } from '../chat/chat';
import { CHAT_COLUMNS, toChatRow } from './chatRow';
import { text, type Columns } from './columns';
import { kindOf } from './describe';
import { readMessages } from './messages';
import type { PreferenceRow, TextRow, UnpairedRow } from './row';
import type { RowContext } from './settings';
import { checkIds, integers } from './tokenized';

// TRL's rows of preferences: https://huggingface.co/docs/trl/dataset_formats

/** Columns that may stand beside a pair. `ref_…`: log-probabilities of another program. */
export const PAIR_COLUMNS: readonly string[] = [
  'prompt',
  'margin',
  'ref_chosen_logps',
  'ref_rejected_logps',
  ...CHAT_COLUMNS,
];

const SIDES = ['chosen', 'rejected'] as const;
type Side = (typeof SIDES)[number];
type Answers<T> = Readonly<Record<Side, T>>;

/**
 * A prompt with a chosen and a rejected answer: texts, or lists of messages. Without a prompt, it
 * is what both begin with.
 */
export function readPreference(columns: Columns, context: RowContext): PreferenceRow | null {
  const { line, report } = context;
  const facts = readFacts(columns, context);
  const sides = readSides(columns, context);
  if (!facts || !sides) return null;
  const { chosen, rejected } = sides;
  if (isSame(chosen, rejected))
    return report.error(
      '"chosen" and "rejected" are the same, so there is nothing to prefer.',
      'rejected',
    );
  return { kind: 'preference', line, chosen, rejected, ...facts };
}

function readSides(columns: Columns, context: RowContext): Answers<TextRow> | null {
  const { report } = context;
  const kinds = SIDES.map((side) => Array.isArray(columns[side]));
  if (kinds[0] !== kinds[1])
    return report.error(
      `"rejected" must be ${kinds[0] ? 'a list of messages' : 'text'} as "chosen" is, not ${kindOf(columns['rejected'])}.`,
      'rejected',
    );
  return kinds[0] ? readChats(columns, context) : readTexts(columns, context);
}

/** Texts. A prompt that both begin with is not a message of its own, so it gets no template. */
function readTexts(columns: Columns, context: RowContext): Answers<TextRow> | null {
  const { line, report } = context;
  const chosen = text(columns, 'chosen', report);
  const rejected = text(columns, 'rejected', report);
  if (chosen === null || rejected === null) return null;
  if (columns['prompt'] !== undefined) {
    const prompt = text(columns, 'prompt', report);
    if (prompt === null || isBlank({ chosen, rejected }, context)) return null;
    return sidesOf((side) => completion(prompt, { chosen, rejected }[side], columns, context));
  }
  const [prompt, first, second] = splitTexts(chosen, rejected);
  const answers = { chosen: first, rejected: second };
  if (chosen !== rejected && isBlank(answers, context)) return null;
  const plain = (side: Side): TextRow => ({
    kind: 'completion',
    line,
    prompt,
    completion: answers[side],
    plain: true,
  });
  return { chosen: plain('chosen'), rejected: plain('rejected') };
}

function completion(
  prompt: string,
  answer: string,
  columns: Columns,
  context: RowContext,
): TextRow | null {
  const hasMore = CHAT_COLUMNS.some((key) => columns[key] !== undefined && columns[key] !== null);
  return hasMore
    ? toChatRow(exchange(prompt, answer), 'prompt', columns, context)
    : { kind: 'completion', line: context.line, prompt, completion: answer };
}

function isBlank(answers: Answers<string>, { report }: RowContext): boolean {
  const blank = SIDES.filter((side) => answers[side].trim() === '');
  for (const side of blank) report.error(`"${side}" is empty.`, side);
  return blank.length > 0;
}

/** TRL's extract_prompt: what both begin with, without the space before the answers. */
function splitTexts(chosen: string, rejected: string): readonly [string, string, string] {
  const end = Math.min(chosen.length, rejected.length);
  let at = 0;
  while (at < end && chosen[at] === rejected[at]) at++;
  // at the end of one of the texts, its last character is left to it
  if (at === end) at = Math.max(0, end - 1);
  else if (at > 0 && chosen[at - 1] === ' ') at--;
  // an emoji is not cut in half
  if (at > 0 && isHighSurrogate(chosen.charCodeAt(at - 1))) at--;
  return [chosen.slice(0, at), chosen.slice(at), rejected.slice(at)];
}

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code < 0xdc00;

/** Lists of messages. A prompt of texts or messages stands before both of them. */
function readChats(columns: Columns, context: RowContext): Answers<TextRow> | null {
  const { report } = context;
  const chosen = readMessages(columns['chosen'], 'chosen', report);
  const rejected = readMessages(columns['rejected'], 'rejected', report);
  if (!chosen || !rejected) return null;
  const empty = { chosen, rejected };
  for (const side of SIDES)
    if (empty[side].length === 0) return report.error(`"${side}" is empty.`, side);
  const split = splitChats(columns, { chosen, rejected }, context);
  if (!split) return null;
  const { prompt, answers } = split;
  return sidesOf((side) => {
    if (answers[side].every(({ role }) => role !== 'assistant'))
      return report.error(`"${side}" has no message of the assistant.`, side);
    const messages = [...prompt.map(notLearnt), ...answers[side]];
    return toChatRow(messages, side, columns, context);
  });
}

/** A message of the prompt, which is not learned. */
const notLearnt = (message: Message): Message =>
  message.role === 'assistant' ? { ...message, weight: 0 } : message;

interface SplitChats {
  readonly prompt: readonly Message[];
  readonly answers: Answers<readonly Message[]>;
}

function splitChats(
  columns: Columns,
  answers: Answers<readonly Message[]>,
  { report }: RowContext,
): SplitChats | null {
  const { prompt } = columns;
  if (prompt === undefined) return withoutPrompt(answers);
  if (Array.isArray(prompt)) {
    const messages = readMessages(prompt, 'prompt', report);
    return messages && { prompt: messages, answers };
  }
  if (typeof prompt !== 'string')
    return report.error(
      `"prompt" must be text or a list of messages, not ${kindOf(prompt)}.`,
      'prompt',
    );
  if (SIDES.every((side) => answers[side][0]?.role === 'assistant'))
    return { prompt: [{ role: 'user', content: prompt }], answers };
  const isRepeated = SIDES.every((side) =>
    answers[side].some(({ role, content }) => role === 'user' && content === prompt),
  );
  if (isRepeated) return withoutPrompt(answers);
  return report.error(
    '"prompt" is not among the messages of "chosen" and "rejected", which do not begin with the assistant: remove it, or give it as a list of messages.',
    'prompt',
  );
}

/** TRL's extract_prompt: the messages that both begin with. */
function withoutPrompt({ chosen, rejected }: Answers<readonly Message[]>): SplitChats {
  const end = Math.min(chosen.length, rejected.length);
  let at = 0;
  while (at < end && contentKey(chosen[at]!) === contentKey(rejected[at]!)) at++;
  if (at === end) at = Math.max(0, end - 1);
  return {
    prompt: chosen.slice(0, at),
    answers: { chosen: chosen.slice(at), rejected: rejected.slice(at) },
  };
}

/** Both sides, or null if one of them is. */
function sidesOf(read: (side: Side) => TextRow | null): Answers<TextRow> | null {
  const [chosen, rejected] = SIDES.map(read);
  return chosen && rejected ? { chosen, rejected } : null;
}

const isSame = (a: TextRow, b: TextRow): boolean => contentKey(a) === contentKey(b);

/** A row of token ids: prompt_ids, chosen_ids and rejected_ids. */
export function readTokenizedPreference(
  columns: Columns,
  context: RowContext,
): PreferenceRow | null {
  const { line, report } = context;
  const prompt = columns['prompt_ids'] === undefined ? [] : ids(columns, 'prompt_ids', context);
  const chosen = filledIds(columns, 'chosen_ids', context);
  const rejected = filledIds(columns, 'rejected_ids', context);
  const facts = readFacts(columns, context);
  if (!prompt || !chosen || !rejected || !facts) return null;
  if (columns['prompt_ids'] === undefined && context.settings.task !== 'reward')
    return report.error('"prompt_ids" is missing.', 'prompt_ids');
  if (chosen.join() === rejected.join())
    return report.error(
      '"chosen_ids" and "rejected_ids" are the same, so there is nothing to prefer.',
      'rejected_ids',
    );
  return {
    kind: 'preference',
    line,
    chosen: tokenized(prompt, chosen, line),
    rejected: tokenized(prompt, rejected, line),
    ...facts,
  };
}

/** An answer that is labelled true (good) or false: prompt_ids and completion_ids. */
export function readTokenizedUnpaired(columns: Columns, context: RowContext): UnpairedRow | null {
  const { line } = context;
  const prompt = ids(columns, 'prompt_ids', context);
  const answer = filledIds(columns, 'completion_ids', context);
  if (!prompt || !answer) return null;
  return labelledAnswer(tokenized(prompt, answer, line), columns, context);
}

/** Adds the label, and the log-probability that the row may state. */
export function labelledAnswer(
  answer: TextRow,
  columns: Columns,
  context: RowContext,
): UnpairedRow | null {
  const { line, report } = context;
  const { label } = columns;
  // the cells of a CSV file are text
  const written = typeof label === 'string' ? label.trim().toLowerCase() : String(label);
  const desirable = written === 'true' || written === '1';
  if (!desirable && written !== 'false' && written !== '0')
    return report.error(
      `"label" must be true (a good answer) or false, not ${kindOf(label)}.`,
      'label',
    );
  const stated = numberOrNull(columns, 'ref_logps', context);
  if (stated === undefined) return null;
  return { kind: 'unpaired', line, answer, desirable, stated };
}

function tokenized(prompt: readonly number[], answer: readonly number[], line: number): TextRow {
  const input_ids = [...prompt, ...answer];
  const labels = [...prompt.map(() => NO_LABEL), ...answer];
  return { kind: 'tokenized', line, input_ids, labels, attention_mask: input_ids.map(() => 1) };
}

function ids(columns: Columns, key: string, { report }: RowContext): readonly number[] | null {
  const list = integers(columns, key, report);
  const before = report.errorCount;
  if (list) checkIds(list, key, report);
  return report.errorCount > before ? null : list;
}

function filledIds(columns: Columns, key: string, context: RowContext): readonly number[] | null {
  const list = ids(columns, key, context);
  return list?.length === 0 ? context.report.error(`"${key}" is empty.`, key) : list;
}

/** Null: they are wrong, which is reported. */
function readFacts(
  columns: Columns,
  context: RowContext,
): Pick<PreferenceRow, 'margin' | 'stated'> | null {
  const { report, settings } = context;
  const margin = numberOrNull(columns, 'margin', context);
  const chosen = numberOrNull(columns, 'ref_chosen_logps', context);
  const rejected = numberOrNull(columns, 'ref_rejected_logps', context);
  if (margin === undefined || chosen === undefined || rejected === undefined) return null;
  if (margin !== null && settings.task !== 'reward') report.ignored('margin');
  const stated = chosen === null || rejected === null ? null : ([chosen, rejected] as const);
  return { margin, stated };
}

/** Undefined: it is no number, which is reported. */
function numberOrNull(
  columns: Columns,
  key: string,
  { report }: RowContext,
): number | null | undefined {
  const value = columns[key];
  if (value === undefined || value === null) return null;
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  report.error(`"${key}" must be a number, not ${kindOf(value)}.`, key);
  return undefined;
}
