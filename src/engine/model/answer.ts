import type { Message } from '../../data/chat/chat';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';

export interface AnswerOptions {
  readonly max_new_tokens: number;
  readonly temperature: number;
  readonly seed: number;
  readonly chat: boolean;
  /** Called with the text so far, each time it grows. */
  readonly onText?: (text: string) => boolean | undefined;
}

/** The model's answer to a prompt, or to a conversation through its chat template. */
export async function answerPrompt(
  model: Model,
  tokenizer: Tokenizer,
  prompt: string | readonly Message[],
  options: AnswerOptions,
): Promise<string> {
  const input_ids = promptIds(tokenizer, prompt, options.chat);
  const ids: number[] = [];
  const stops = stopIds(tokenizer);
  await model.generate(input_ids, {
    max_new_tokens: options.max_new_tokens,
    temperature: options.temperature,
    seed: options.seed,
    stop_ids: stops,
    onToken: (id) => {
      if (stops.includes(id)) return false;
      ids.push(id);
      return options.onText?.(tokenizer.decode(ids, true));
    },
  });
  return tokenizer.decode(ids, true);
}

/** Errors: LoraError where the chat template refuses the prompt. */
export function promptIds(
  tokenizer: Tokenizer,
  prompt: string | readonly Message[],
  chat: boolean,
): number[] {
  if (typeof prompt === 'string' && !chat) return tokenizer.encode(prompt);
  const messages = typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt;
  return tokenizer.encode(tokenizer.applyChatTemplate(messages, true), false);
}

/**
 * Where an answer ends: the end-of-sequence token, and what the chat template puts behind an
 * assistant's turn.
 */
export function stopIds(tokenizer: Tokenizer): number[] {
  const ends = tokenizer.eos_token_id === null ? [] : [tokenizer.eos_token_id];
  const [first] = tokenizer.has_chat_template
    ? tokenizer.encode(behindAnswer(tokenizer), false)
    : [];
  const isSpecial = first !== undefined && [...tokenizer.special_tokens.values()].includes(first);
  return isSpecial && !ends.includes(first) ? [...ends, first] : ends;
}

/** Nothing where the template refuses a plain question with its answer. */
function behindAnswer(tokenizer: Tokenizer): string {
  const turn = 'an answer';
  try {
    const text = tokenizer.applyChatTemplate(
      [
        { role: 'user', content: 'a question' },
        { role: 'assistant', content: turn },
      ],
      false,
    );
    return text.slice(text.lastIndexOf(turn) + turn.length);
  } catch (error) {
    if (error instanceof LoraError) return '';
    throw error;
  }
}
