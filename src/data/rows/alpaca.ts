import { filled, text, type Columns } from './columns';
import { exchange, type Message } from '../chat/chat';
import { toChatRow } from './chatRow';
import { kindOf } from './describe';
import type { RowReport } from './rowReport';
import type { RowContext } from './settings';
import type { Row } from './row';

/**
 * Reads an Alpaca row. The user's message is the instruction, followed by an empty line and the
 * input, if any; earlier turns ("history") and a system message stand in front of it.
 */
export function readAlpaca(columns: Columns, context: RowContext): Row | null {
  const { report } = context;
  const instruction = filled(columns, 'instruction', report);
  const input =
    columns['input'] === undefined || columns['input'] === null
      ? ''
      : text(columns, 'input', report);
  const output = filled(columns, 'output', report);
  const history = readHistory(columns['history'], report);
  if (instruction === null || input === null || output === null || !history) return null;
  const question = input === '' ? instruction : `${instruction}\n\n${input}`;
  return toChatRow([...history, ...exchange(question, output)], 'history', columns, context);
}

/** A list of [question, answer] pairs. Null: it is not one, which is reported. */
function readHistory(value: unknown, report: RowReport): Message[] | null {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value))
    return report.error(
      `"history" must be a list of [question, answer] pairs, not ${kindOf(value)}.`,
      'history',
    );
  const odd = value.findIndex((pair: unknown) => !isPair(pair));
  if (odd >= 0)
    return report.error(
      'An entry of "history" must be a question and its answer, both text.',
      `history[${odd}]`,
    );
  return (value as [string, string][]).flatMap(([question, answer]) => exchange(question, answer));
}

const isPair = (pair: unknown): boolean =>
  Array.isArray(pair) &&
  pair.length === 2 &&
  pair.every((part) => typeof part === 'string' && part.trim() !== '');
