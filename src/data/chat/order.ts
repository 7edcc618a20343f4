import type { RowSettings } from '../rows/settings';
import type { RowReport } from '../rows/rowReport';
import { isHead } from '../rows/roles';
import { contentOf, contentParts, imagesOf, type ContentPart, type Message } from './chat';

const NO_ANSWER = 'add one, or set unlabelled_rows to "skip"';

/**
 * Brings a chat into the order that chat templates expect: an optional system message, then user
 * and assistant alternating, the assistant last; results of tools stand between. Depending on the
 * settings, other chats are corrected with a warning, skipped, or reported as errors. Null: nothing
 * is left of the row.
 *
 * @param key Where the messages are in the row, for messages.
 */
export function orderChat(
  messages: readonly Message[],
  key: string,
  { chats, unlabelled_rows }: RowSettings,
  report: RowReport,
): Message[] | null {
  const late = messages.findIndex(
    (message, i) => i > 0 && message.role === 'system' && !isHead(messages[i - 1]!),
  );
  if (late >= 0) return report.error('A system message must come first.', `${key}[${late}]`);
  if (!messages.some((message) => message.role === 'assistant'))
    return report.refuse(
      unlabelled_rows,
      'There is no assistant message to train on',
      NO_ANSWER,
      key,
    );
  const steps = [
    (chat: readonly Message[]) => mergeSameRole(chat, key, chats.same_role, report),
    (chat: readonly Message[]) => dropFirstAnswer(chat, key, chats.assistant_first, report),
    (chat: readonly Message[]) => dropLastQuestion(chat, key, chats.user_last, report),
  ];
  const chat = steps.reduce<readonly Message[] | null>((now, step) => now && step(now), messages);
  if (!chat) return null;
  return chat.some((message) => message.role === 'assistant')
    ? [...chat]
    : report.refuse(unlabelled_rows, 'No answer is left to train on', NO_ANSWER, key);
}

/** Roles that alternate; several tools may answer one after the other. */
const SINGLE: ReadonlySet<string> = new Set(['system', 'developer', 'user', 'assistant']);
const PLAIN_KEYS: ReadonlySet<string> = new Set(['role', 'content', 'weight']);

const isPlain = (message: Message): boolean =>
  Object.keys(message).every((key) => PLAIN_KEYS.has(key));

/** Joins messages of the same role that follow each other. */
function mergeSameRole(
  chat: readonly Message[],
  key: string,
  choice: RowSettings['chats']['same_role'],
  report: RowReport,
): readonly Message[] | null {
  const second = chat.findIndex(
    (message, i) => SINGLE.has(message.role) && message.role === chat[i - 1]?.role,
  );
  if (second < 0) return chat;
  const fault = `Two ${chat[second]!.role} messages follow each other`;
  if (choice !== 'merge')
    return report.refuse(
      choice,
      fault,
      'join them, add what is missing between them, or set chats.same_role to "merge"',
      `${key}[${second}]`,
    );
  const result: Message[] = [];
  for (const [i, message] of chat.entries()) {
    const last = result.at(-1);
    const joined = last && SINGLE.has(last.role) && last.role === message.role;
    if (!joined) result.push(message);
    else if (isPlain(last) && last.weight === message.weight)
      result[result.length - 1] = { ...message, content: joinedContent(last, message) };
    else
      return report.error(
        `${fault}, but cannot be merged: the first has more than text, or only one of them is learned.`,
        `${key}[${i}]`,
      );
  }
  report.warn(`${fault}; they are merged into one (chats.same_role).`);
  return result;
}

function joinedContent(first: Message, second: Message): NonNullable<Message['content']> {
  const messages = [first, second].filter((message) => contentParts(message).length > 0);
  if (imagesOf(messages).length === 0) return messages.map(contentOf).join('\n\n');
  return messages.flatMap((message, i): readonly ContentPart[] => [
    ...(i > 0 ? [{ type: 'text', text: '\n\n' } as const] : []),
    ...contentParts(message),
  ]);
}

/** Drops an answer before the first user message. */
function dropFirstAnswer(
  chat: readonly Message[],
  key: string,
  choice: RowSettings['chats']['assistant_first'],
  report: RowReport,
): readonly Message[] | null {
  const first = chat.findIndex((message) => !isHead(message));
  if (chat[first]?.role !== 'assistant') return chat;
  const fault =
    'The chat starts with the assistant: there is no user message before its first answer';
  if (choice !== 'drop')
    return report.refuse(
      choice,
      fault,
      'add one, or set chats.assistant_first to "drop"',
      `${key}[${first}]`,
    );
  report.warn(`${fault}; this answer is dropped (chats.assistant_first).`);
  return chat.filter((_, i) => i !== first);
}

/** Drops a user message without an answer at the end. */
function dropLastQuestion(
  chat: readonly Message[],
  key: string,
  choice: RowSettings['chats']['user_last'],
  report: RowReport,
): readonly Message[] | null {
  if (chat.at(-1)?.role !== 'user') return chat;
  const fault = 'The chat ends with a user message that has no answer';
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
