import { isObject } from '../../shared/values';
import { kindOf, nearestKey, quote } from './describe';
import type { RowReport } from './rowReport';
import type { Message } from '../chat/chat';

const ROLES: Readonly<Record<string, string>> = {
  system: 'system',
  user: 'user',
  assistant: 'assistant',
  human: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  model: 'assistant',
  bot: 'assistant',
};
const KNOWN_KEYS: ReadonlySet<string> = new Set(['role', 'content', 'from', 'value']);

/**
 * Reads a chat of {role, content} or ShareGPT's {from, value} messages, in any order. The roles
 * become system, user and assistant. Null where it has errors, which are reported.
 */
export function readMessages(value: unknown, key: string, report: RowReport): Message[] | null {
  if (!Array.isArray(value))
    return report.error(`"${key}" must be a list of messages, not ${kindOf(value)}.`, key);
  const messages = value.map((item: unknown, i) => readMessage(item, `${key}[${i}]`, report));
  return messages.every((message) => message !== null) ? messages : null;
}

function readMessage(item: unknown, key: string, report: RowReport): Message | null {
  if (!isObject(item))
    return report.error(
      `A message must be an object with "role" and "content", not ${kindOf(item)}.`,
      key,
    );
  const [roleKey, contentKey] =
    'from' in item || 'value' in item
      ? (['from', 'value'] as const)
      : (['role', 'content'] as const);
  for (const name of Object.keys(item))
    if (!KNOWN_KEYS.has(name)) report.ignored(`${key.replace(/\[\d+\]$/, '[]')}.${name}`);
  const role = readRole(item, roleKey, key, report);
  const content = readContent(item, contentKey, key, report);
  if (role === null || content === null) return null;
  if (role === 'assistant' && content.trim() === '')
    return report.error("The assistant's answer is empty.", `${key}.${contentKey}`);
  return { role, content };
}

function readRole(
  item: Readonly<Record<string, unknown>>,
  name: string,
  key: string,
  report: RowReport,
): string | null {
  const role = item[name];
  if (role === undefined)
    return report.error(`"${name}" is missing${meant(name, item) || '.'}`, key);
  if (typeof role !== 'string')
    return report.error(`"${name}" must be text, not ${kindOf(role)}.`, `${key}.${name}`);
  const known = Object.hasOwn(ROLES, role) ? ROLES[role] : undefined;
  if (known !== undefined) return known;
  const nearest = nearestKey(role, Object.keys(ROLES));
  return report.error(
    `The role ${quote(role)} is not known${nearest ? `; did you mean "${nearest}"?` : ': it must be system, user or assistant.'}`,
    `${key}.${name}`,
  );
}

/** Text, or a list of text parts as in OpenAI's format. */
function readContent(
  item: Readonly<Record<string, unknown>>,
  name: string,
  key: string,
  report: RowReport,
): string | null {
  const content = item[name];
  if (content === undefined)
    return report.error(`"${name}" is missing${meant(name, item) || '.'}`, key);
  if (typeof content === 'string') return content;
  const parts = Array.isArray(content)
    ? content.map((part: unknown) =>
        isObject(part) && part['type'] === 'text' ? part['text'] : null,
      )
    : [null];
  if (parts.every((part) => typeof part === 'string')) return parts.join('');
  return report.error(`"${name}" must be text, not ${kindOf(content)}.`, `${key}.${name}`);
}

function meant(name: string, item: object): string {
  const nearest = Object.keys(item).find(
    (key) => !KNOWN_KEYS.has(key) && nearestKey(key, [name]) === name,
  );
  return nearest === undefined ? '' : `; is it misspelled as "${nearest}"?`;
}
