import { asPlainObject } from '../../shared/exactValues';
import { isObject } from '../../shared/values';
import { kindOf, nearestKey } from './describe';
import { FLAG_KEYS, learntFlag } from './learntFlag';
import type { RowReport } from './rowReport';
import { isCallRole, roleOf } from './roles';
import { asFunction, callsOfText, readToolCalls } from './toolCalls';
import { contentOf, type Message } from '../chat/chat';
import { readParts } from './contentParts';

type Item = Readonly<Record<string, unknown>>;

const KNOWN_KEYS: ReadonlySet<string> = new Set(['role', 'content', 'from', 'value']);
const TEXT_KEYS: readonly string[] = ['reasoning_content', 'thinking', 'reasoning'];

/**
 * Reads a chat of {role, content} or ShareGPT's {from, value} messages, in any order, with all
 * their keys. Roles get the names that templates know. Null where it has errors, which are
 * reported.
 */
export function readMessages(value: unknown, key: string, report: RowReport): Message[] | null {
  if (!Array.isArray(value))
    return report.error(`"${key}" must be a list of messages, not ${kindOf(value)}.`, key);
  const items = value.map(asPlainObject);
  const messages = items.map((item, i) => readMessage(item, `${key}[${i}]`, report));
  if (!messages.every((message) => message !== null)) return null;
  return joinedCalls(messages, items);
}

/** Calls that are messages of their own in ShareGPT are calls of one message elsewhere. */
function joinedCalls(messages: readonly Message[], items: readonly unknown[]): Message[] {
  const isCall = (i: number) => {
    const item = items[i];
    return isObject(item) && isCallRole(item['from'] ?? item['role']);
  };
  const joined: Message[] = [];
  for (const [i, message] of messages.entries()) {
    const last = joined.at(-1);
    if (last && isCall(i) && isCall(i - 1) && last.weight === message.weight)
      joined[joined.length - 1] = {
        ...last,
        tool_calls: [...(last.tool_calls ?? []), ...(message.tool_calls ?? [])],
      };
    else joined.push(message);
  }
  return joined;
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
  const before = report.errorCount;
  const role = readRole(item, roleKey, key, report);
  const calls = callsOf(item, [roleKey, contentKey], key, report) ?? [];
  const content = isCallRole(item[roleKey])
    ? ''
    : readContent(item, contentKey, { key, role, report, hasCalls: calls.length > 0 });
  const texts = readTexts(item, key, report);
  const learnt = role === null ? undefined : readFlag(item, role, key, report);
  if (role === null || content === null || report.errorCount > before) return null;
  const message: Message = {
    ...furtherKeys(item),
    ...texts,
    role,
    ...(content !== undefined && { content }),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(learnt === false && { weight: 0 as const }),
  };
  return isEmptyAnswer(message)
    ? report.error("The assistant's answer is empty.", `${key}.${contentKey}`)
    : message;
}

const readRole = (item: Item, name: string, key: string, report: RowReport): string | null =>
  item[name] === undefined
    ? missing(name, item, key, report)
    : roleOf(item[name], `${key}.${name}`, report);

const isEmptyAnswer = (message: Message): boolean =>
  message.role === 'assistant' && contentOf(message).trim() === '' && !message.tool_calls;

/** Keys that are not read here: the chat template may read them. */
function furtherKeys(item: Item): Item {
  const own = new Set([...KNOWN_KEYS, ...FLAG_KEYS, ...TEXT_KEYS, 'tool_calls', 'function_call']);
  return Object.fromEntries(
    Object.entries(item).filter(([name, value]) => !own.has(name) && value !== null),
  );
}

/** The tool calls of a message. Undefined: it has none. Null: they are wrong, which is reported. */
function callsOf(
  item: Item,
  [roleKey, contentKey]: readonly [string, string],
  key: string,
  report: RowReport,
): unknown[] | undefined | null {
  if (isCallRole(item[roleKey]))
    return callsOfText(item[contentKey], `${key}.${contentKey}`, report);
  const { tool_calls, function_call } = item;
  if (tool_calls !== undefined && tool_calls !== null)
    return readToolCalls(tool_calls, `${key}.tool_calls`, report);
  return isObject(function_call)
    ? readToolCalls([asFunction(function_call)], `${key}.function_call`, report)
    : undefined;
}

function readTexts(item: Item, key: string, report: RowReport): Item {
  const texts: Record<string, unknown> = {};
  for (const name of TEXT_KEYS) {
    const value = item[name];
    if (value === undefined || value === null) continue;
    if (typeof value === 'string') texts[name] = value;
    else report.error(`"${name}" must be text, not ${kindOf(value)}.`, `${key}.${name}`);
  }
  return texts;
}

function readFlag(
  item: Item,
  role: string,
  key: string,
  report: RowReport,
): boolean | undefined | null {
  const learnt = learntFlag(item, key, report);
  if (learnt === true && role !== 'assistant')
    report.warn('Only messages of the assistant are learned, although this one is marked so.');
  return role === 'assistant' ? learnt : undefined;
}

interface ContentPlace {
  /** Where the message is in the row. */
  readonly key: string;
  /** Null: it is wrong. */
  readonly role: string | null;
  readonly report: RowReport;
  readonly hasCalls: boolean;
}

/**
 * Text, or a list of texts and images. Undefined: none, beside tool calls. Null: it is wrong, which
 * is reported.
 */
function readContent(
  item: Item,
  name: string,
  { key, role, report, hasCalls }: ContentPlace,
): Message['content'] | null {
  const content = item[name];
  if (hasCalls && (content === undefined || content === null)) return undefined;
  if (content === undefined) return missing(name, item, key, report);
  if (typeof content === 'string') return content;
  if (Array.isArray(content)) return readParts(content, role, `${key}.${name}`, report);
  return report.error(`"${name}" must be text, not ${kindOf(content)}.`, `${key}.${name}`);
}

function missing(name: string, item: Item, key: string, report: RowReport): null {
  const near = Object.keys(item).find(
    (own) => !KNOWN_KEYS.has(own) && nearestKey(own, [name]) === name,
  );
  return report.error(
    `"${name}" is missing${near === undefined ? '.' : `; is it misspelled as "${near}"?`}`,
    key,
  );
}
