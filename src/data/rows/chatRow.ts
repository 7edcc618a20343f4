import { asPlainObject } from '../../shared/exactValues';
import { isObject } from '../../shared/values';
import { orderChat } from '../chat/order';
import { reservedVariable } from '../chat/reservedVariable';
import { kindOf } from './describe';
import { readMessages } from './messages';
import type { RowReport } from './rowReport';
import type { Columns } from './columns';
import { asFunction, parsed, repeatsKey } from './toolCalls';
import { toolsIn } from '../../shared/tools';
import type { RowContext, RowSettings } from './settings';
import type { ChatRow, Row } from './row';
import type { ChatVariables, Message } from '../chat/chat';

/** Columns that a chat may have beside its messages. */
export const CHAT_COLUMNS: readonly string[] = [
  'system',
  'tools',
  'functions',
  'documents',
  'chat_template_kwargs',
];

/**
 * Reads a chat from a list of messages and the columns beside it.
 *
 * @param key Where the messages are in the row.
 */
export function readChat(
  value: unknown,
  key: string,
  columns: Columns,
  context: RowContext,
): Row | null {
  const messages = readMessages(value, key, context.report);
  return messages && toChatRow(messages, key, columns, context);
}

/** Puts a system message in front, orders the messages, and adds what the template reads beside. */
export function toChatRow(
  written: readonly Message[],
  key: string,
  columns: Columns,
  { line, report, settings }: RowContext,
): ChatRow | null {
  const before = report.errorCount;
  const system = readSystem(columns, report);
  const variables = { ...sharedTools(settings, columns), ...readVariables(columns, report) };
  if (report.errorCount > before) return null;
  const messages = orderChat(withSystem(written, system, report), key, settings, report);
  return (
    messages && {
      kind: 'messages',
      line,
      messages,
      ...(Object.keys(variables).length > 0 && { variables }),
    }
  );
}

/** The column "system". '': there is none. */
export function readSystem(columns: Columns, report: RowReport): string {
  const { system } = columns;
  if (system === undefined || system === null) return '';
  if (typeof system === 'string') return system.trim() === '' ? '' : system;
  report.error(`"system" must be text, not ${kindOf(system)}.`, 'system');
  return '';
}

function withSystem(
  messages: readonly Message[],
  system: string,
  report: RowReport,
): readonly Message[] {
  if (system === '') return messages;
  if (messages[0]?.role !== 'system') return [{ role: 'system', content: system }, ...messages];
  if (messages[0].content !== system)
    report.warn('"system" is not used, because the messages begin with another system message.');
  return messages;
}

/**
 * The tools of the recipe, for a row without a list of its own. An empty list of its own stands for
 * no tools.
 */
function sharedTools({ tools }: RowSettings, columns: Columns): ChatVariables {
  if (tools === undefined || tools === null) return {};
  const isOwn = ['tools', 'functions'].some((key) => (columns[key] ?? '') !== '');
  return { tools: isOwn ? null : listOf(tools) };
}

/** The list that was read last: all rows have the same. */
let last: { readonly text: string; readonly list: readonly object[] | null } | null = null;

function listOf(tools: NonNullable<RowSettings['tools']>): readonly object[] | null {
  if (typeof tools !== 'string') return tools;
  if (last?.text !== tools) last = { text: tools, list: toolsIn(tools) ?? null };
  return last.list;
}

/** `tools`, `documents`, and the variables of `chat_template_kwargs`. */
function readVariables(columns: Columns, report: RowReport): ChatVariables {
  const functions = readList(columns, 'functions', report)?.map(asFunction);
  const tools = readList(columns, 'tools', report) ?? functions;
  const documents = readList(columns, 'documents', report);
  return {
    ...readKwargs(columns, report),
    ...(tools && { tools }),
    ...(documents && { documents }),
  };
}

/** A list of objects, also as JSON text. Undefined: there is none. */
function readList(
  columns: Columns,
  key: string,
  report: RowReport,
): Record<string, unknown>[] | undefined {
  const value = columns[key];
  if (value === undefined || value === null || value === '') return undefined;
  if (repeatsKey(value, key, report)) return undefined;
  const list = parsed(value);
  if (Array.isArray(list) && list.every(isObject)) return list.length > 0 ? list : undefined;
  report.error(
    Array.isArray(list)
      ? `"${key}" must hold objects only.`
      : `"${key}" must be a list of objects, not ${kindOf(value)}.`,
    key,
  );
  return undefined;
}

function readKwargs(columns: Columns, report: RowReport): ChatVariables {
  const value = asPlainObject(columns['chat_template_kwargs']);
  if (value === undefined || value === null) return {};
  if (!isObject(value)) {
    const key = 'chat_template_kwargs';
    if (!repeatsKey(value, key, report))
      report.error(`"${key}" must be an object, not ${kindOf(value)}.`, key);
    return {};
  }
  const reserved = reservedVariable(value);
  if (reserved === undefined) return value;
  report.error(
    `"${reserved}" cannot be set by chat_template_kwargs.`,
    `chat_template_kwargs.${reserved}`,
  );
  return {};
}
