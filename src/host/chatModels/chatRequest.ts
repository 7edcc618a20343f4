import { LoraError } from '../../shared/errors';
import type { TemplateVariables } from '../../shared/chatVariables';
import { t } from '../text/l10n';

/** A part of a message. */
export type ChatPart =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'call';
      readonly id: string;
      readonly name: string;
      readonly input: object;
    }
  | { readonly kind: 'result'; readonly id: string; readonly text: string }
  | { readonly kind: 'image' };

/** A message of a chat in the editor. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly parts: readonly ChatPart[];
}

/** A tool that may be called. */
export interface ChatTool {
  readonly name: string;
  readonly description: string;
  readonly inputSchema?: object | undefined;
}

/** The options of a request besides the messages. */
export interface ChatSettings {
  readonly tools: readonly ChatTool[];
  /** Whether a tool has to be called. */
  readonly mustCall: boolean;
  /** Options of the model, such as temperature. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly variables: TemplateVariables;
  /** The most tokens of the answer, unless the options say less. */
  readonly most: number;
}

/** The options that are passed on. Hosts of chats send others, which are theirs. */
const OPTIONS = [
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'repetition_penalty',
  'frequency_penalty',
  'presence_penalty',
  'seed',
  'stop',
  'max_tokens',
  'response_format',
] as const;

/** The body of a request for the next message. @throws LoraError for what no base can do. */
export function chatBody(
  messages: readonly ChatMessage[],
  { tools, mustCall, options, variables, most }: ChatSettings,
): Readonly<Record<string, unknown>> {
  if (mustCall && tools.length === 0)
    throw new LoraError('usage', t('A tool call is required, but there are no tools.'));
  const given = OPTIONS.filter((name) => options[name] !== undefined);
  return {
    max_tokens: most,
    ...Object.fromEntries(given.map((name) => [name, options[name]])),
    messages: messages.flatMap(wireMessages),
    ...(tools.length > 0 && { tools: tools.map(wireTool) }),
    ...(mustCall && { tool_choice: 'required' }),
    chat_template_kwargs: variables,
  };
}

/** Results of tools are messages of their own, before what the user says. */
function wireMessages({ role, parts }: ChatMessage): readonly object[] {
  if (parts.some(({ kind }) => kind === 'image'))
    throw new LoraError('usage', t('The model reads text only, no images.'));
  const results = parts.flatMap((part) =>
    part.kind === 'result' ? [{ role: 'tool', tool_call_id: part.id, content: part.text }] : [],
  );
  const calls = parts.flatMap((part) => (part.kind === 'call' ? [wireCall(part)] : []));
  const texts = parts.flatMap((part) => (part.kind === 'text' ? [part.text] : []));
  const isSaid = texts.length > 0 || calls.length > 0 || results.length === 0;
  const said = { role, content: texts.join(''), ...(calls.length > 0 && { tool_calls: calls }) };
  return [...results, ...(isSaid ? [said] : [])];
}

const wireCall = ({ id, name, input }: Extract<ChatPart, { kind: 'call' }>): object => ({
  id,
  type: 'function',
  function: { name, arguments: JSON.stringify(input) },
});

const wireTool = ({ name, description, inputSchema }: ChatTool): object => ({
  type: 'function',
  function: {
    name,
    description,
    parameters: inputSchema ?? { type: 'object', properties: {} },
  },
});

/** The texts of a message whose tokens count. */
export const countedTexts = ({ parts }: ChatMessage): readonly string[] =>
  parts.flatMap((part) => {
    switch (part.kind) {
      case 'text':
      case 'result':
        return [part.text];
      case 'call':
        return [part.name, JSON.stringify(part.input)];
      case 'image':
        return [];
    }
  });
