import { isObject } from '../../shared/values';
import { nameOf } from '../rows/toolCalls';
import type { ChatVariables, Message } from './chat';
import { contentOf } from './chat';
import { otherCall } from './otherCall';
import { PLACEHOLDER, type ProbedChat } from './probedChat';
import { REASONING_KEYS, reasoningOf } from './reasoning';
import { inlineThought, withoutThought } from './thinkBlocks';

/** Keys that every renderer knows, or that carry no text. */
const OWN_KEYS: ReadonlySet<string> = new Set([
  'role',
  'content',
  'weight',
  'tool_calls',
  'tool_call_id',
  ...REASONING_KEYS,
]);

/** The content of a chat that is not in its text, because the template does not write it. */
export function leftOut(probed: ProbedChat, variables: ChatVariables = {}): string[] {
  const { messages } = probed;
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  const marked = probed.mapped((message, i) =>
    contentOf(message) === '' ? message : { ...message, content: markOf(i) },
  );
  const findings = messages.flatMap((message, i) => [
    ...(marked?.includes(markOf(i)) ? [] : leftOutContent(probed, i)),
    ...leftOutReasoning(probed, i, last),
    ...leftOutCalls(probed, i),
    ...unreadKeys(message, probed),
  ]);
  return [...new Set([...findings, ...leftOutVariables(probed, variables)])];
}

/** A text that stands for the content of one message. */
const markOf = (index: number): string => `${PLACEHOLDER}${index}${PLACEHOLDER}`;

function leftOutContent(probed: ProbedChat, index: number): string[] {
  const message = probed.messages[index]!;
  const body = message.role === 'assistant' ? withoutThought(message) : contentOf(message).trim();
  return body === '' || isWritten(probed, index, body, { content: PLACEHOLDER })
    ? []
    : [`The chat template leaves out the text of a message of the role "${message.role}".`];
}

function leftOutReasoning(probed: ProbedChat, index: number, last: number): string[] {
  const message = probed.messages[index]!;
  if (message.role !== 'assistant') return [];
  const reasoning = (reasoningOf(message) ?? inlineThought(message)).trim();
  const other =
    reasoningOf(message) === undefined
      ? { content: `<think>\n${PLACEHOLDER}\n</think>\n\n${withoutThought(message)}` }
      : { reasoning_content: PLACEHOLDER, thinking: PLACEHOLDER };
  if (reasoning === '' || isWritten(probed, index, reasoning, other)) return [];
  const which = index < last ? 'of answers before the last' : 'of the answer';
  return [`The chat template leaves out the reasoning ${which}: it is not learned.`];
}

/**
 * Whether a text of a message is in the chat's, as it is or as the template changes it. That the
 * chat's text holds it proves nothing: other messages may say the same.
 */
function isWritten(probed: ProbedChat, index: number, text: string, other: object): boolean {
  const changed = probed.replaced(index, { ...probed.messages[index]!, ...other });
  if (changed === null || changed.includes(PLACEHOLDER)) return true;
  return changed !== probed.text && probed.text.includes(text);
}

function leftOutCalls(probed: ProbedChat, index: number): string[] {
  const { tool_calls = [] } = probed.messages[index]!;
  const missing = tool_calls.some(
    (call) =>
      !probed.text.includes(nameOf(call) ?? '') ||
      !isWritten(probed, index, nameOf(call) ?? '', { tool_calls: tool_calls.map(otherCall) }),
  );
  return missing ? ['The chat template leaves out tool calls.'] : [];
}

function leftOutVariables(probed: ProbedChat, variables: ChatVariables): string[] {
  const { text, tokenizer } = probed;
  const { tools } = variables;
  const kwargs = Object.keys(variables).filter((name) => !['tools', 'documents'].includes(name));
  const source = tokenizer.chat_template ?? '';
  const isUnread = (name: string) =>
    (variables[name] ?? null) !== null && probed.without(name) === text;
  const unread = kwargs.filter((name) => !source.includes(name));
  const isMissing = [tools]
    .flat()
    .some((tool) => isObject(tool) && !text.includes(nameOf(tool) ?? ''));
  return [
    ...(isMissing || isUnread('tools')
      ? ['The chat template leaves out the tools that a chat may use.']
      : []),
    ...(isUnread('documents') ? ['The chat template leaves out the documents.'] : []),
    ...unread.map((name) => `chat_template_kwargs.${name} is not read by the chat template.`),
  ];
}

function unreadKeys(message: Message, { tokenizer }: ProbedChat): string[] {
  const source = tokenizer.chat_template ?? '';
  return Object.keys(message)
    .filter((name) => !OWN_KEYS.has(name) && !source.includes(name))
    .map(
      (name) => `The key "${name}" of a message is not used: the chat template does not read it.`,
    );
}
