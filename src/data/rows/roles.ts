import { kindOf, nearestKey, quote } from './describe';
import type { RowReport } from './rowReport';

/** Roles under their names in the formats of other tools. */
const ROLES: Readonly<Record<string, string>> = {
  system: 'system',
  developer: 'developer',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
  function: 'function',
  human: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  model: 'assistant',
  bot: 'assistant',
  function_call: 'assistant',
  tool_call: 'assistant',
  observation: 'tool',
  function_response: 'tool',
  tool_response: 'tool',
};
/** Roles whose message is a tool call as JSON. */
const CALLS: ReadonlySet<unknown> = new Set(['function_call', 'tool_call']);
const STANDARD: ReadonlySet<string> = new Set(Object.values(ROLES));
const HEADS: ReadonlySet<string> = new Set(['system', 'developer']);

/** Whether a role holds its tool call as JSON text, as in ShareGPT. */
export const isCallRole = (role: unknown): boolean => CALLS.has(role);

/** Whether messages of a role say what holds for the whole chat, and so stand in front of it. */
export const isHead = ({ role }: { readonly role: string }): boolean => HEADS.has(role);

/** Whether every chat template may get a role. Others must be named by the template. */
export const isStandardRole = (role: string): boolean => STANDARD.has(role);

/**
 * The role of a message. One that is not known stays as it is, unless it looks misspelled. Null: it
 * is no role, which is reported.
 */
export function roleOf(role: unknown, key: string, report: RowReport): string | null {
  if (typeof role !== 'string')
    return report.error(
      `"${key.slice(key.lastIndexOf('.') + 1)}" must be text, not ${kindOf(role)}.`,
      key,
    );
  const known = Object.hasOwn(ROLES, role) ? ROLES[role] : undefined;
  if (known !== undefined) return known;
  const nearest = nearestKey(role, Object.keys(ROLES));
  if (nearest === undefined && role.trim() !== '') return role;
  return report.error(
    `The role ${quote(role)} is not known${nearest ? `; did you mean "${nearest}"?` : '.'}`,
    key,
  );
}
