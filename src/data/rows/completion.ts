import { contentOf, exchange } from '../chat/chat';
import { CHAT_COLUMNS, toChatRow } from './chatRow';
import { filled, text, type Columns } from './columns';
import { readMessages } from './messages';
import type { Row, TextRow } from './row';
import type { RowReport } from './rowReport';
import type { RowContext } from './settings';

/**
 * Two texts, or two lists of messages (TRL), which are joined to one chat whose prompt is not
 * learned.
 */
export function readCompletion(columns: Columns, context: RowContext): TextRow | null {
  const { line, report } = context;
  const { prompt, completion } = columns;
  if (Array.isArray(prompt) && Array.isArray(completion)) {
    const key = 'prompt+completion';
    const messages = readMessages((prompt as unknown[]).concat(completion), key, report);
    const marked = messages?.map((message, i) =>
      message.role === 'assistant' && i < prompt.length
        ? { ...message, weight: 0 as const }
        : message,
    );
    return marked ? toChatRow(marked, key, columns, context) : null;
  }
  const texts = [text(columns, 'prompt', report), filled(columns, 'completion', report)] as const;
  if (texts[0] === null || texts[1] === null) return null;
  const beside =
    (context.settings.tools ?? null) !== null ||
    CHAT_COLUMNS.some((key) => columns[key] !== undefined && columns[key] !== null);
  return beside
    ? toChatRow(exchange(texts[0], texts[1]), 'prompt+completion', columns, context)
    : { kind: 'completion', line, prompt: texts[0], completion: texts[1] };
}

/** A row whose prompt is one text, and whose completion is another; others are reported. */
export function asExchange(row: Row | null, report: RowReport): Row | null {
  if (row?.kind !== 'messages') return row;
  const [asked, answer, ...others] = row.messages;
  const isExchange = asked?.role === 'user' && answer?.role === 'assistant' && others.length === 0;
  const isPlain = [asked, answer].every((own) => own?.tool_calls === undefined);
  if (!isExchange || !isPlain || row.variables !== undefined)
    return report.error(
      'The row is a chat, but an encoder-decoder reads one text and writes another: give "prompt" and "completion" as texts.',
    );
  const [prompt, completion] = [contentOf(asked), contentOf(answer)];
  return { kind: 'completion', line: row.line, prompt, completion };
}
