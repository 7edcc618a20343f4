import { parseExactly } from '../../../shared/exactJson';
import { imagesOf, type ContentPart, type Message } from '../../../data/chat/chat';
import { embeddedFault, isEmbedded } from '../../../data/images/embedded';
import { isObject } from '../../../shared/values';
import { badField } from './apiError';
import { knownFields } from './fields';

const MOST_MESSAGES = 10_000;
/** In a request: a few bytes can be an image of thousands of tokens. */
const MOST_IMAGES = 64;

/** What a message of each role may have beside its role. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  system: ['content', 'name'],
  developer: ['content', 'name'],
  user: ['content', 'name'],
  assistant: ['content', 'name', 'tool_calls', 'reasoning_content'],
  tool: ['content', 'name', 'tool_call_id'],
};

/** What clients send back of an answer, and what says nothing. */
const EMPTY: readonly string[] = ['annotations', 'refusal', 'audio', 'function_call'];

/** The messages of a request as chat templates read them. @throws ApiError */
export function messagesOf(given: unknown): readonly Message[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > MOST_MESSAGES)
    throw badField('messages', 'must be a list of messages');
  const messages = given.map((own: unknown, i) => messageOf(own, `messages.${i}`));
  if (imagesOf(messages).length > MOST_IMAGES)
    throw badField('messages', `can have at most ${MOST_IMAGES} images`);
  return messages;
}

function messageOf(given: unknown, place: string): Message {
  if (!isObject(given)) throw badField(place, 'must be an object');
  const { role } = given;
  const keys = typeof role === 'string' && Object.hasOwn(KEYS, role) ? KEYS[role] : undefined;
  if (!keys) throw badField(`${place}.role`, `must be one of ${Object.keys(KEYS).join(', ')}`);
  const filled = Object.entries(given).filter(([name, own]) => !isEmpty(name, own));
  const fields = knownFields(Object.fromEntries(filled), ['role', ...keys], `${place}.`);
  const { content, tool_calls, ...others } = fields;
  for (const [name, own] of Object.entries(others))
    if (typeof own !== 'string') throw badField(`${place}.${name}`, 'must be a text');
  const calls = tool_calls === undefined ? [] : callsOf(tool_calls, `${place}.tool_calls`);
  if (content === undefined && calls.length === 0) throw badField(`${place}.content`, 'is missing');
  return {
    ...others,
    role: role === 'developer' ? 'system' : String(role),
    content: content === undefined ? '' : contentOf(content, `${place}.content`, role),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

const isEmpty = (name: string, value: unknown): boolean =>
  EMPTY.includes(name) && (value === null || (Array.isArray(value) && value.length === 0));

/** A text, or parts of one; of the user, images too. */
function contentOf(content: unknown, place: string, role: unknown): Message['content'] & {} {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw badField(place, 'must be a text or a list of parts');
  const parts = content.map((part: unknown, i) => partOf(part, `${place}.${i}`, role));
  const hasImages = parts.some(({ type }) => type === 'image');
  return hasImages ? parts : parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

function partOf(part: unknown, place: string, role: unknown): ContentPart {
  const { type, text, image_url: link } = isObject(part) ? part : {};
  if (type === 'text' && typeof text === 'string') return { type, text };
  if (type === 'image_url' && role === 'user') return imageOf(link, `${place}.image_url`);
  throw badField(
    place,
    typeof type === 'string' && type !== 'text'
      ? `has the type ${JSON.stringify(type.slice(0, 50))}, but the model reads text, and images of the user`
      : 'must be {"type": "text", "text": …}',
  );
}

/** An image within the request: nothing is downloaded, and no file is read. @throws ApiError */
function imageOf(link: unknown, place: string): ContentPart {
  const { url, detail = 'auto', ...others } = isObject(link) ? link : {};
  if (typeof url !== 'string' || Object.keys(others).length > 0)
    throw badField(place, 'must be {"url": "data:image/png;base64,…"}');
  if (detail !== 'auto')
    throw badField(
      `${place}.detail`,
      'must be "auto": the size of an image is that of the model\'s settings',
    );
  if (!isEmbedded(url))
    throw badField(
      `${place}.url`,
      'must be a data: URL: nothing is downloaded, and no file is read',
    );
  const fault = embeddedFault(url);
  if (fault !== null) throw badField(`${place}.url`, fault);
  return { type: 'image', image: url };
}

function callsOf(given: unknown, place: string): readonly object[] {
  if (!Array.isArray(given)) throw badField(place, 'must be a list');
  return given.map((call: unknown, i) => {
    const { id, type = 'function', function: own } = isObject(call) ? call : {};
    const { name, arguments: text } = isObject(own) ? own : {};
    if (typeof id !== 'string' || type !== 'function' || typeof name !== 'string')
      throw badField(
        `${place}.${i}`,
        'must have an id, the type "function", and a function with a name',
      );
    const value = argumentsOf(text);
    if (!isObject(value))
      throw badField(`${place}.${i}.function.arguments`, 'must be a JSON object as a text');
    return { id, type, function: { name, arguments: value } };
  });
}

function argumentsOf(text: unknown): unknown {
  try {
    return typeof text === 'string' ? parseExactly(text === '' ? '{}' : text) : undefined;
  } catch {
    return undefined;
  }
}
