import type { RowSettings } from '../rows/settings';
import type { RowReport } from '../rows/rowReport';
import type { Message } from './chat';
const NO_ANSWER = 'add one, or set unlabelled_rows to "skip"';

/**
 * An optional system message, then user and assistant in turn, the last word the assistant's: what
 * a chat template takes and a model can learn from. Other chats are mended, skipped or refused as
 * the settings say, with a word about it. Null where nothing is left of the row.
 */
export function orderChat(
  messages: readonly Message[],
  key: string,
  { chats, unlabelled_rows }: RowSettings,
  report: RowReport,
): Message[] | null {
  const late = messages.findIndex(
    (message, i) => i > 0 && message.role === 'system' && messages[i - 1]!.role !== 'system',
  );
  if (late >= 0) return report.error('A system message must come first.', `${key}[${late}]`);
  if (!messages.some((message) => message.role === 'assistant'))
    return report.refuse(
      unlabelled_rows,
      'There is no assistant message to learn from',
      NO_ANSWER,
      key,
    );
  const steps = [
    (chat: readonly Message[]) => merged(chat, key, chats.same_role, report),
    (chat: readonly Message[]) => begun(chat, key, chats.assistant_first, report),
    (chat: readonly Message[]) => ended(chat, key, chats.user_last, report),
  ];
  const chat = steps.reduce<readonly Message[] | null>((now, step) => now && step(now), messages);
  if (!chat) return null;
  return chat.some((message) => message.role === 'assistant')
    ? [...chat]
    : report.refuse(unlabelled_rows, 'No answer is left to learn from', NO_ANSWER, key);
}

function merged(
  chat: readonly Message[],
  key: string,
  choice: RowSettings['chats']['same_role'],
  report: RowReport,
): readonly Message[] | null {
  const second = chat.findIndex((message, i) => message.role === chat[i - 1]?.role);
  if (second < 0) return chat;
  const fault = `Two ${chat[second]!.role} messages follow each other`;
  if (choice !== 'merge')
    return report.refuse(
      choice,
      fault,
      'join them, add what is missing between them, or set chats.same_role to "merge"',
      `${key}[${second}]`,
    );
  report.warn(`${fault}; they are merged into one (chats.same_role).`);
  const result: Message[] = [];
  for (const message of chat) {
    const last = result.at(-1);
    if (last?.role === message.role)
      result[result.length - 1] = { ...last, content: `${last.content}\n\n${message.content}` };
    else result.push(message);
  }
  return result;
}

function begun(
  chat: readonly Message[],
  key: string,
  choice: RowSettings['chats']['assistant_first'],
  report: RowReport,
): readonly Message[] | null {
  const first = chat.findIndex((message) => message.role !== 'system');
  if (chat[first]?.role !== 'assistant') return chat;
  const fault =
    'The chat begins with the assistant, no user message stands before its first answer';
  if (choice !== 'drop')
    return report.refuse(
      choice,
      fault,
      'add one, or set chats.assistant_first to "drop"',
      `${key}[${first}]`,
    );
  report.warn(`${fault}; that one is dropped (chats.assistant_first).`);
  return chat.filter((_, i) => i !== first);
}

function ended(
  chat: readonly Message[],
  key: string,
  choice: RowSettings['chats']['user_last'],
  report: RowReport,
): readonly Message[] | null {
  if (chat.at(-1)?.role !== 'user') return chat;
  const fault = 'The chat ends with a user message that nobody answers';
  if (choice !== 'drop')
    return report.refuse(
      choice,
      fault,
      'remove it, or set chats.user_last to "drop"',
      `${key}[${chat.length - 1}]`,
    );
  report.warn(`${fault}; it is dropped (chats.user_last).`);
  return chat.slice(0, -1);
}
