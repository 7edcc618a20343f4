import type { TextRow } from '../rows/row';
import { contentOf } from './chat';

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
    messages: [{ ...user, content: `${contentOf(system)}\n\n${contentOf(user)}` }, ...rest],
  };
}
