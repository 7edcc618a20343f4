import type { Chat, ChatVariables } from '../../../data/chat/chat';
import { reservedVariable } from '../../../data/chat/reservedVariable';
import { mayChange, parseExactly } from '../../../shared/exactJson';
import { asPlainObject } from '../../../shared/exactValues';
import { repeatedKey } from '../../../shared/repeatedKeys';
import { toolsIn } from '../../../shared/tools';
import { isObject } from '../../../shared/values';
import type { CallableTool } from '../json/callGrammar';
import type { Grammar } from '../json/grammar';
import { ApiError, badField } from './apiError';
import { knownFields } from './fields';
import { messagesOf } from './messages';
import { grammarOf } from './responseFormat';
import {
  CHAT_SETTINGS,
  chatSettings,
  TEXT_SETTINGS,
  textSettings,
  type RequestSettings,
} from './settings';

/** A conversation to continue. */
export interface ChatRequest {
  readonly settings: RequestSettings;
  readonly chat: Chat;
  /** The most calls of tools that the answer may have. */
  readonly mostCalls: number;
  /** The tools of which the answer must call one; null: it need not. */
  readonly forced: readonly CallableTool[] | null;
  /** What the answer must be; null: any text. */
  readonly grammar: Grammar | null;
}

/** A text to continue, or its tokens. */
export type TextPrompt = string | readonly number[];

/** Texts to continue, each for itself. */
export interface TextRequest {
  readonly settings: RequestSettings;
  readonly prompts: readonly TextPrompt[];
}

/** Answers to one request. */
const MOST_CHOICES = 256;

/** The fields of a chat apart from its settings. */
const CHAT_FIELDS: readonly string[] = [
  'messages',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'chat_template_kwargs',
  'response_format',
];

/** Reads the body of a request for a chat completion. @throws ApiError */
export function chatRequest(body: string): ChatRequest {
  const { plain, exact } = parseBody(body);
  const fields = knownFields(plain, [...CHAT_SETTINGS, ...CHAT_FIELDS]);
  const settings = chatSettings(fields);
  const tools = toolsOf(fields['tools'] === undefined ? undefined : exact['tools']);
  const mayCall = tools.length > 0 && fields['tool_choice'] !== 'none';
  const forced = forcedTools(fields['tool_choice'], fields['tools']);
  const kwargs = fields['chat_template_kwargs'] === undefined ? {} : exact['chat_template_kwargs'];
  const variables = { ...variablesOf(kwargs), ...(mayCall && { tools }) };
  const { parallel_tool_calls: parallel = true } = fields;
  if (typeof parallel !== 'boolean') throw badField('parallel_tool_calls', 'must be true or false');
  const grammar = grammarOf(fields['response_format']);
  if (grammar && mayCall) throw badField('response_format', 'cannot be used together with "tools"');
  const messages = messagesOf(fields['messages']);
  const mostCalls = parallel ? Infinity : 1;
  const chat = { messages, variables };
  return { settings, chat, mostCalls: mayCall ? mostCalls : 0, forced, grammar };
}

/** Reads the body of a request for a text completion. @throws ApiError */
export function textRequest(body: string): TextRequest {
  const fields = knownFields(parseBody(body).plain, [...TEXT_SETTINGS, 'prompt']);
  const settings = textSettings(fields);
  const prompts = promptsOf(fields['prompt']);
  if (prompts.length * settings.n > MOST_CHOICES)
    throw badField('prompt', `must have at most ${MOST_CHOICES} prompts, times "n"`);
  return { settings, prompts };
}

/** A body as JavaScript reads it, and as Python does, for templates. @throws ApiError */
export function parseBody(body: string): {
  readonly plain: unknown;
  readonly exact: Record<string, unknown>;
} {
  try {
    const plain: unknown = JSON.parse(body);
    const exact = mayChange(body) ? asPlainObject(parseExactly(body)) : plain;
    const repeated = repeatedKey(body);
    if (repeated) throw new ApiError(400, `The key "${repeated.path}" is duplicated.`);
    return { plain, exact: isObject(exact) ? exact : {} };
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const isDeep = error instanceof RangeError;
    throw new ApiError(400, isDeep ? 'The body nests too deeply.' : 'The body is not valid JSON.');
  }
}

function toolsOf(given: unknown): readonly object[] {
  const tools = given === undefined ? [] : toolsIn(given);
  if (tools && typeof given !== 'string') return tools;
  throw badField(
    'tools',
    'must be a list of {"type": "function", "function": {"name": …, "parameters": {…}}}',
  );
}

/** The tools that a choice demands, of a list of tools; null: none. */
function forcedTools(choice: unknown, tools: unknown = []): readonly CallableTool[] | null {
  if (choice === undefined || choice === 'none' || choice === 'auto') return null;
  const all = (tools as readonly Record<string, unknown>[]).map(callable);
  if (all.length === 0) throw badField('tool_choice', 'needs "tools"');
  if (choice === 'required') return all;
  const { type, function: own } = isObject(choice)
    ? knownFields(choice, ['type', 'function'], 'tool_choice.')
    : {};
  const { name } = isObject(own) ? knownFields(own, ['name'], 'tool_choice.function.') : {};
  if (type !== 'function' || typeof name !== 'string')
    throw badField(
      'tool_choice',
      'must be "none", "auto", "required" or {"type": "function", "function": {"name": …}}',
    );
  const named = all.filter((tool) => tool.name === name);
  if (named.length === 0)
    throw badField(
      'tool_choice',
      `names ${JSON.stringify(name.slice(0, 200))}, which is none of the tools`,
    );
  return named;
}

/** A tool that `toolsIn` has accepted. */
function callable(tool: Record<string, unknown>): CallableTool {
  const { name, parameters, strict } = (tool['function'] ?? tool) as Record<string, unknown>;
  return {
    name: String(name),
    parameters: isObject(parameters) ? parameters : null,
    strict: strict === true,
  };
}

function variablesOf(given: unknown): ChatVariables {
  const variables = asPlainObject(given);
  if (!isObject(variables) || Array.isArray(variables))
    throw badField('chat_template_kwargs', 'must be an object');
  const reserved =
    reservedVariable(variables) ?? ['tools'].find((name) => Object.hasOwn(variables, name));
  if (reserved === undefined) return variables;
  throw badField(`chat_template_kwargs.${reserved}`, 'cannot be set');
}

function promptsOf(given: unknown): readonly TextPrompt[] {
  if (isTextPrompt(given)) return [given];
  if (Array.isArray(given) && given.length > 0 && given.every(isTextPrompt)) return given;
  throw badField('prompt', 'must be a text, the token ids of one, or a list of either');
}

const isTextPrompt = (given: unknown): given is TextPrompt =>
  typeof given === 'string' || (isTokenIds(given) && given.length > 0);

/** Whether a value is a list of token ids of a vocabulary. */
export function isTokenIds(given: unknown, vocab_size = Infinity): given is readonly number[] {
  const isId = (id: unknown) => Number.isSafeInteger(id) && Number(id) >= 0;
  return Array.isArray(given) && given.every((id) => isId(id) && Number(id) < vocab_size);
}
