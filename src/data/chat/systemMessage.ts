import type { TextRow } from '../rows/row';

/**
 * A chat whose system message stands in front of its first user message instead; null where the row
 * has none, or nowhere to put it.
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
