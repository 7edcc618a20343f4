import { LoraError } from '../../shared/errors';
import { contentKey } from '../../shared/exactValues';
import { escapeRegExp } from '../../shared/values';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { contentOf, exchange, type ChatVariables, type Message } from './chat';
import { commonPrefix } from './probedChat';

/** What a chat template writes after answers. */
export interface AnswerEnds {
  /** The tokens that end an answer, the longest first. */
  readonly tokens: readonly string[];
  /** Text between an answer and its end token, such as "</answer>"; '' for none or white space. */
  readonly closing: string;
}

/** By the variables of a chat. */
const known = new WeakMap<Tokenizer, Map<string, AnswerEnds>>();
/** More than a dataset has; each takes a few renderings. */
const MOST_KNOWN = 1000;

/**
 * Finds the tokens that end an answer by rendering a short chat: the end-of-sequence token, and the
 * token after an answer if it also ends the chat or a question, and opens no message.
 *
 * @param variables Those of the chat, without which its template may fail or write other tokens.
 */
export function answerEnds(tokenizer: Tokenizer, variables: ChatVariables = {}): AnswerEnds {
  const kwargs = Object.fromEntries(
    Object.entries(variables).filter(([name]) => name !== 'tools' && name !== 'documents'),
  );
  const ends = known.get(tokenizer) ?? new Map<string, AnswerEnds>();
  known.set(tokenizer, ends);
  const key = contentKey(kwargs);
  const found = ends.get(key) ?? findEnds(tokenizer, rendererOf(tokenizer, kwargs));
  if (ends.size >= MOST_KNOWN) ends.clear();
  ends.set(key, found);
  return found;
}

const [FIRST, SECOND] = [exchange('Quxa?', 'Quxb.'), exchange('Quxc?', 'Quxd.')];
const CALL = 'quxf';
const CALLING: readonly Message[] = [
  FIRST[0]!,
  {
    role: 'assistant',
    content: '',
    tool_calls: [
      { id: 'quxe00000', type: 'function', function: { name: 'quxe', arguments: { a: CALL } } },
    ],
  },
];
const TOOLS: ChatVariables = {
  tools: [
    {
      type: 'function',
      function: {
        name: 'quxe',
        description: 'Quxe.',
        parameters: {
          type: 'object',
          properties: { a: { type: 'string', description: 'Quxa.' } },
          required: ['a'],
        },
      },
    },
  ],
};

function findEnds(tokenizer: Tokenizer, render: Renderer): AnswerEnds {
  const reader = tokenReader(tokenizer);
  const places = placesIn(render, reader);
  const { answer, last, afterQuestion, headers } = places;
  const isEnd = (token: string | undefined): token is string =>
    token !== undefined && !headers.has(token) && [last.token, afterQuestion].includes(token);
  const eos = [...tokenizer.added_tokens].find(([, id]) => id === tokenizer.eos_token_id)?.[0];
  const ends = new Set([eos, ...[answer.token, last.token].filter(isEnd)]);
  ends.delete(undefined);
  const tokens = ends as Set<string>;
  const call = callEnd(render, reader, headers, tokens);
  if (call !== undefined) tokens.add(call);
  const isClosed = last.token !== undefined && tokens.has(last.token);
  return {
    tokens: [...tokens].sort((a, b) => b.length - a.length),
    closing: isClosed && answer.between === last.between ? answer.between : '',
  };
}

interface Places {
  /** The text after the first answer, and after the last. */
  readonly answer: Behind;
  readonly last: Behind;
  /** The token right after a question. */
  readonly afterQuestion: string | undefined;
  /** Tokens that open the assistant's message. */
  readonly headers: ReadonlySet<string>;
}

function placesIn(render: Renderer, reader: TokenReader): Places {
  const two = render([...FIRST, ...SECOND]);
  const text = two ?? render(FIRST) ?? '';
  const behind = (message: Message) => reader.behind(text, contentOf(message));
  const [question, answer] = [behind(FIRST[0]!), behind(FIRST[1]!)];
  const last = two === null ? answer : behind(SECOND[1]!);
  const afterQuestion = question.between === '' ? question.token : undefined;
  const prompt = generationPrompt(render);
  const headers = headerTokens(prompt, reader, text);
  // A generation prompt may begin with the end of the question.
  const endsQuestion =
    afterQuestion === answer.token && afterQuestion !== reader.before(text, contentOf(FIRST[0]!));
  if (endsQuestion && afterQuestion !== undefined && prompt !== '') headers.delete(afterQuestion);
  return { answer, last, afterQuestion, headers };
}

/**
 * Tokens that open the assistant's message: those of the generation prompt, or, if a template
 * always writes that prompt, the last one before an answer.
 */
function headerTokens(prompt: string, reader: TokenReader, text: string): Set<string> {
  if (prompt !== '') return new Set(reader.all(prompt));
  const opener = reader.before(text, contentOf(FIRST[1]!));
  return new Set(opener === undefined ? [] : [opener]);
}

/** The token that ends an answer of tool calls alone, if it is none of the known ends. */
function callEnd(
  render: Renderer,
  reader: TokenReader,
  headers: ReadonlySet<string>,
  ends: ReadonlySet<string>,
): string | undefined {
  const text = render(CALLING, TOOLS) ?? '';
  const from = text.lastIndexOf(CALL);
  const tokens = from < 0 ? [] : reader.all(text.slice(from));
  const last = tokens.at(-1);
  const isOpen = last !== undefined && text.trimEnd().endsWith(last) && !headers.has(last);
  return isOpen && !tokens.some((token) => ends.has(token)) ? last : undefined;
}

/** The text that asks for an answer. */
function generationPrompt(render: Renderer): string {
  const [question] = FIRST;
  const asked = render([question!], {}, true) ?? '';
  return asked.slice(commonPrefix(asked, render([question!]) ?? ''));
}

/** Renders a chat. Null: the template refuses it. */
type Renderer = (
  messages: readonly Message[],
  variables?: ChatVariables,
  add_generation_prompt?: boolean,
) => string | null;

const rendererOf =
  (tokenizer: Tokenizer, kwargs: ChatVariables): Renderer =>
  (messages, variables = {}, add_generation_prompt = false) => {
    try {
      return tokenizer.applyChatTemplate(messages, add_generation_prompt, {
        ...kwargs,
        ...variables,
      });
    } catch (error) {
      if (error instanceof LoraError) return null;
      throw error;
    }
  };

interface Behind {
  /** The first token after a part, if no other part of the chat stands between. */
  readonly token?: string;
  /** The text before it, without white space around. */
  readonly between: string;
}

interface TokenReader {
  /** All added tokens in a text. */
  all(text: string): string[];
  behind(text: string, part: string): Behind;
  /** The last token before a part. */
  before(text: string, part: string): string | undefined;
}

function tokenReader(tokenizer: Tokenizer): TokenReader {
  const contents = [...tokenizer.added_tokens.keys()]
    .filter((token) => token.trim() !== '')
    .sort((a, b) => b.length - a.length);
  const any = new RegExp(contents.map(escapeRegExp).join('|') || '(?!)', 'g');
  const all = (text: string) => Array.from(text.matchAll(any), ([token]) => token);
  return {
    all,
    before: (text, part) => all(text.slice(0, Math.max(0, text.indexOf(part)))).at(-1),
    behind: (text, part) => {
      const at = text.indexOf(part);
      const rest = at < 0 ? '' : text.slice(at + part.length);
      const match = [...rest.matchAll(any)][0];
      const between = rest.slice(0, match?.index ?? 0);
      return match && !between.includes('Qux')
        ? { token: match[0], between: between.trim() }
        : { between: '' };
    },
  };
}
