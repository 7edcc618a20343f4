import { LoraError } from '../../shared/errors';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { contentOf, type Message, type Span } from './chat';

export interface MarkedChat {
  readonly text: string;
  /**
   * The assistant's answer in each of its turns, including the end-of-turn token but not the white
   * space after it.
   */
  readonly answers: readonly Span[];
}

/**
 * Renders a chat and finds the assistant's answers in the text. A template with {% generation %}
 * blocks marks them itself. Otherwise an answer starts where its prompt ends (the messages before
 * it, rendered with the generation prompt) and ends after its end-of-turn token.
 *
 * @throws LoraError('tokenizer') when the template refuses the messages, or when the answers cannot
 *   be found in its text.
 */
export function markAnswers(messages: readonly Message[], tokenizer: Tokenizer): MarkedChat {
  const { text, generated } = tokenizer.renderChat(messages, false);
  if (generated) return { text, answers: generated.filter((span) => span.end > span.start) };
  const turns = messages.flatMap((message, i) => (message.role === 'assistant' ? [i] : []));
  const starts = turns.map((turn) => startOf(turn, messages, text, tokenizer));
  const endToken = specialAtEnd(text, tokenizer);
  const answers = turns.map((turn, i) => {
    const start = starts[i]!;
    const content = contentOf(messages[turn]!);
    return { start, end: endOf({ content, start, text, limit: starts[i + 1] }, endToken) };
  });
  if (answers.some((span, i) => span.start < (answers[i - 1]?.end ?? 0))) throw answersNotFound();
  return { text, answers };
}

function startOf(
  turn: number,
  messages: readonly Message[],
  text: string,
  tokenizer: Tokenizer,
): number {
  const prompt = tokenizer.applyChatTemplate(messages.slice(0, turn), true);
  if (text.startsWith(prompt)) return prompt.length;
  return startByPlaceholder(turn, messages, text, tokenizer);
}

/**
 * For templates whose generation prompt is not a prefix of the chat (it opens a <think> block, for
 * example): the text before the answer is found by rendering the chat with another answer.
 */
function startByPlaceholder(
  turn: number,
  messages: readonly Message[],
  text: string,
  tokenizer: Tokenizer,
): number {
  const placeholder = '\uFDD0';
  const other = tokenizer.applyChatTemplate(
    messages.map((message, i) => (i === turn ? { ...message, content: placeholder } : message)),
    false,
  );
  const start = other.indexOf(placeholder);
  if (start < 0 || !text.startsWith(other.slice(0, start))) throw answersNotFound();
  return start;
}

/** The longest special token at the end of the text, white space ignored. */
function specialAtEnd(text: string, tokenizer: Tokenizer): string | undefined {
  const trimmed = text.trimEnd();
  const ends = [...tokenizer.special_tokens.keys()].filter((token) => trimmed.endsWith(token));
  return ends.sort((a, b) => b.length - a.length)[0];
}

interface StartedAnswer {
  /** The assistant's message. */
  readonly content: string;
  readonly start: number;
  /** The whole chat. */
  readonly text: string;
  /** Start of the next answer; undefined: this is the last one. */
  readonly limit: number | undefined;
}

/**
 * The end of an answer: after its end-of-turn token. Without one, the last answer ends with the
 * text and the others end with their content.
 */
function endOf({ content, start, text, limit }: StartedAnswer, endToken?: string): number {
  const before = text.slice(0, limit);
  const end = endToken === undefined ? -1 : afterEndToken(content, before, start, endToken);
  if (end >= 0) return end;
  if (before.length === text.length) return text.length;
  const endOfContent = indexAfter(before, content.trim(), start);
  if (endOfContent < 0) throw answersNotFound();
  return endOfContent;
}

/** Skips end-of-turn tokens that are part of the answer itself. -1: not found. */
function afterEndToken(content: string, text: string, start: number, endToken: string): number {
  const skipped = content.split(endToken).length - 1;
  let end = indexAfter(text, endToken, start);
  for (let i = 0; i < skipped && end >= 0; i++) end = indexAfter(text, endToken, end);
  return end;
}

function indexAfter(text: string, part: string, from: number): number {
  const found = text.indexOf(part, from);
  return found < 0 ? -1 : found + part.length;
}

function answersNotFound(): LoraError {
  return new LoraError(
    'tokenizer',
    "The chat template does not show where the assistant's answers stand in the text.",
    {
      fix: 'Give the rows as prompt and completion, or set "labels" to "all".',
    },
  );
}
