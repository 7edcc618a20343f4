import { isObject } from '../../shared/values';
import { nameOf } from '../rows/toolCalls';
import type { ChatVariables, Message } from './chat';
import { contentOf } from './chat';
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

/** What a chat holds that is not in its text, because the template does not write it. */
export function leftOut(probed: ProbedChat, variables: ChatVariables = {}): string[] {
  const { messages } = probed;
  const last = messages.findLastIndex(({ role }) => role === 'assistant');
  const findings = messages.flatMap((message, i) => [
    ...leftOutContent(probed, i),
    ...leftOutReasoning(probed, i, last),
    ...leftOutCalls(message, probed),
    ...unreadKeys(message, probed),
  ]);
  return [...new Set([...findings, ...leftOutVariables(probed, variables)])];
}

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
  return [`The chat template leaves out the reasoning ${which}: it is not learnt.`];
}

/** Whether a text is in the chat's, as it is or as the template changes it. */
function isWritten(probed: ProbedChat, index: number, text: string, other: object): boolean {
  if (probed.text.includes(text)) return true;
  const changed = probed.replaced(index, { ...probed.messages[index]!, ...other });
  return changed === null || changed.includes(PLACEHOLDER);
}

function leftOutCalls(message: Message, { text }: ProbedChat): string[] {
  const missing = (message.tool_calls ?? []).some((call) => !text.includes(nameOf(call) ?? ''));
  return missing ? ['The chat template leaves out tool calls.'] : [];
}

function leftOutVariables({ text, tokenizer }: ProbedChat, variables: ChatVariables): string[] {
  const { tools, documents, ...kwargs } = variables;
  const source = tokenizer.chat_template ?? '';
  const unread = Object.keys(kwargs).filter((name) => !source.includes(name));
  const isMissing = [tools]
    .flat()
    .some((tool) => isObject(tool) && !text.includes(nameOf(tool) ?? ''));
  return [
    ...(isMissing ? ['The chat template leaves out the tools that a chat may use.'] : []),
    ...(documents !== undefined && !source.includes('documents')
      ? ['The chat template leaves out the documents.']
      : []),
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
