import { LoraError } from '../../shared/errors';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { Message, Span } from './chat';

export interface MarkedChat {
  readonly text: string;
  /**
   * What the assistant says in each of its turns, its end-of-turn token included, not the white
   * space after that.
   */
  readonly answers: readonly Span[];
}

/**
 * Renders a chat and finds the assistant's turns in it. A template with {% generation %} blocks
 * says itself where they are. Otherwise a turn begins where the prompt for it ends (the messages
 * before it, rendered with add_generation_prompt), as in generation, and ends behind the first
 * end-of-turn token after the answer. Errors: LoraError('tokenizer') when the template refuses the
 * messages or does not show the turns.
 */
export function markAnswers(messages: readonly Message[], tokenizer: Tokenizer): MarkedChat {
  const { text, generated } = tokenizer.renderChat(messages, false);
  if (generated) return { text, answers: generated.filter((span) => span.end > span.start) };
  const turns = messages.flatMap((message, i) => (message.role === 'assistant' ? [i] : []));
  const starts = turns.map((turn) => startOf(turn, messages, text, tokenizer));
  const endToken = specialAtEnd(text, tokenizer);
  const answers = turns.map((turn, i) => {
    const limit = starts[i + 1] ?? text.length;
    return {
      start: starts[i]!,
      end: endOf(
        messages[turn]!.content,
        text.slice(0, limit),
        starts[i]!,
        endToken,
        limit === text.length,
      ),
    };
  });
  if (answers.some((span, i) => span.start < (answers[i - 1]?.end ?? 0))) throw unclear();
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
 * For templates whose prompt says more than the chat does (an opened <think>, say): what stands
 * before the answer, whatever the answer is.
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
  if (start < 0 || !text.startsWith(other.slice(0, start))) throw unclear();
  return start;
}

/** The special token that ends the text, white space aside. */
function specialAtEnd(text: string, tokenizer: Tokenizer): string | undefined {
  const trimmed = text.trimEnd();
  const ends = [...tokenizer.special_tokens.keys()].filter((token) => trimmed.endsWith(token));
  return ends.sort((a, b) => b.length - a.length)[0];
}

/**
 * `before` is the text up to the next turn. Without an end-of-turn token the last turn goes on to
 * the end, others end with their content.
 */
function endOf(
  content: string,
  before: string,
  start: number,
  endToken: string | undefined,
  last: boolean,
): number {
  if (endToken !== undefined) {
    let end = start;
    for (let written = content.split(endToken).length; written > 0 && end >= 0; written--)
      end = after(before, endToken, end);
    if (end >= 0) return end;
  }
  if (last) return before.length;
  const end = after(before, content.trim(), start);
  if (end < 0) throw unclear();
  return end;
}

function after(text: string, part: string, from: number): number {
  const found = text.indexOf(part, from);
  return found < 0 ? -1 : found + part.length;
}

function unclear(): LoraError {
  return new LoraError(
    'tokenizer',
    "The chat template does not show where the assistant's answers stand in the text.",
    {
      fix: 'Give the rows as prompt and completion, or set "labels" to "all".',
    },
  );
}
