import type { Chat, ChatVariables, ContentPart, Message } from '../../data/chat/chat';
import { chatImageFault } from '../../data/rows/contentParts';
import type { ParsedAnswer } from '../../data/chat/calls/parseAnswer';
import { LoraError } from '../../shared/errors';
import { parseExactly } from '../../shared/exactJson';
import { exactText } from '../../shared/exactText';
import { repeatedKey } from '../../shared/repeatedKeys';
import type { AnswerParts, AnswerSettings, AskedCall, AskedTurn } from '../../shared/serveProtocol';
import { toolsIn } from '../../shared/tools';
import { isObject } from '../../shared/values';

/**
 * The prompt of a request, or the conversation that it begins.
 *
 * @throws LoraError('usage') for images outside of a chat, and for those that are neither paths nor
 *   data: URLs of images
 */
export function promptOf(settings: AnswerSettings, variables: ChatVariables): string | Chat {
  const { prompt, system, chat, images } = settings;
  if (!chat) {
    if (images.length === 0) return prompt;
    throw new LoraError('usage', 'Images can only be in messages of a chat.', {
      fix: 'Use the chat template, or remove the images.',
    });
  }
  const user: Message = { role: 'user', content: withImagesBefore(prompt, images) };
  const messages = system.trim() === '' ? [user] : [{ role: 'system', content: system }, user];
  return { messages, variables };
}

/**
 * A text with images before it; without any, the text alone.
 *
 * @throws LoraError('usage') for images that are neither paths nor data: URLs of images
 */
export function withImagesBefore(
  text: string,
  images: readonly string[],
): NonNullable<Message['content']> {
  if (images.length === 0) return text;
  const fault = images.map(chatImageFault).find((own) => own !== null);
  if (fault !== undefined) throw new LoraError('usage', `An image ${fault}.`);
  return [
    ...images.map((image): ContentPart => ({ type: 'image', image })),
    ...(text === '' ? [] : [{ type: 'text', text } as const]),
  ];
}

/** A conversation that has gone on since its prompt. @throws LoraError('usage') */
export const withTurns = (chat: Chat, turns: readonly AskedTurn[]): Chat => ({
  ...chat,
  messages: [...chat.messages, ...turns.map(messageOf)],
});

/** The variables of a request's chat, with its tools. @throws LoraError('usage') */
export function withTools(variables: ChatVariables, tools: string | null): ChatVariables {
  if (tools === null) return variables;
  if (tools.trim() === '') return { ...variables, tools: null };
  const list = toolsIn(tools);
  const repeated = list && repeatedKey(tools);
  if (list && !repeated) return { ...variables, tools: list };
  throw new LoraError(
    'usage',
    repeated
      ? `The key "${repeated.path}" of the tools is duplicated.`
      : 'The tools are not a list of functions as JSON.',
    {
      fix: 'Write [{"type": "function", "function": {"name": "…", "parameters": {…}}}], or nothing.',
    },
  );
}

function messageOf(turn: AskedTurn): Message {
  switch (turn.role) {
    case 'user':
      return turn;
    case 'tool':
      return turn;
    case 'assistant':
      return answerMessage(turn.content, turn.reasoning, turn.calls.map(callOf));
  }
}

function answerMessage(content: string, reasoning: string, tool_calls: readonly object[]): Message {
  return {
    role: 'assistant',
    content,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(tool_calls.length > 0 && { tool_calls }),
  };
}

function callOf({ id, name, arguments: text }: AskedCall): object {
  const value = argumentsOf(text);
  if (!isObject(value))
    throw new LoraError('usage', `The arguments of the call of ${name} are not a JSON object.`);
  return { id, type: 'function', function: { name, arguments: value } };
}

function argumentsOf(text: string): unknown {
  try {
    return parseExactly(text);
  } catch {
    return undefined;
  }
}

/** The parts of an answer for a page: arguments as JSON on several lines. */
export const partsForPage = ({
  content,
  reasoning,
  calls,
  isFaulty,
}: ParsedAnswer): AnswerParts => ({
  content,
  reasoning,
  calls: calls.map(({ name, arguments: value }, i) => ({
    id: callId(i),
    name,
    arguments: exactText(value, 2),
  })),
  faulty: isFaulty,
});

/** Nine letters and digits, as some templates demand. */
const callId = (index: number): string => `call${String(index + 1).padStart(5, '0')}`;

/** A prompt or a conversation with its answer, as a row of a dataset: one line of JSON. */
export function exampleOf(
  prompt: string | Chat,
  { text, parts }: { readonly text: string; readonly parts: AnswerParts | null },
): string {
  if (typeof prompt === 'string') return exactText({ prompt, completion: text });
  const { messages, variables = {} } = prompt;
  const answer = parts
    ? answerMessage(parts.content, parts.reasoning, parts.calls.map(callOf))
    : { role: 'assistant', content: text };
  const { tools = null } = variables;
  return exactText({ messages: [...messages, answer], ...(tools !== null && { tools }) });
}
