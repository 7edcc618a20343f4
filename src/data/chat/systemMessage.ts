import type { TextRow } from '../rows/row';
import { contentOf, contentParts, imagesOf, type Message } from './chat';

/**
 * A chat with its system message moved into the first user message, for templates that refuse
 * system messages. Null where the row does not start with both.
 */
export function foldSystem(row: TextRow): TextRow | null {
  if (row.kind !== 'messages') return null;
  const [system, user, ...rest] = row.messages;
  if (system?.role !== 'system' || user?.role !== 'user') return null;
  return { ...row, messages: [{ ...user, content: joined(system, user) }, ...rest] };
}

function joined(system: Message, user: Message): NonNullable<Message['content']> {
  const before = `${contentOf(system)}\n\n`;
  return imagesOf([user]).length === 0
    ? before + contentOf(user)
    : [{ type: 'text', text: before }, ...contentParts(user)];
}
