import type { TextRow } from '../rows/row';

/**
 * A chat with its system message moved into the first user message, for templates that refuse
 * system messages. Null where the row does not start with both.
 */
export function foldSystem(row: TextRow): TextRow | null {
  if (row.kind !== 'messages') return null;
  const [system, user, ...rest] = row.messages;
  if (system?.role !== 'system' || user?.role !== 'user') return null;
  return {
    ...row,
    messages: [{ role: 'user', content: `${system.content}\n\n${user.content}` }, ...rest],
  };
}
