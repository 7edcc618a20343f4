import type { Message } from '../../data/chat/chat';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';

/** How an answer is generated. */
export interface AnswerOptions {
  readonly max_new_tokens: number;
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly seed: number;
  /** Whether a prompt goes through the chat template. Conversations always do. */
  readonly chat: boolean;
  /** Called with the text so far after each token; false ends the answer. */
  readonly onText?: (text: string) => boolean | undefined;
}

/** The model's answer to a prompt or a conversation. @throws LoraError */
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

/** Token ids of a prompt or conversation. @throws LoraError when the chat template rejects it */
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
 * The tokens that end an answer: the end-of-sequence token, and the special token that the chat
 * template puts after a message of the assistant.
 */
function stopIds(tokenizer: Tokenizer): number[] {
  const ends = tokenizer.eos_token_id === null ? [] : [tokenizer.eos_token_id];
  const [first] = tokenizer.has_chat_template
    ? tokenizer.encode(templateTextAfterAnswer(tokenizer), false)
    : [];
  const isSpecial = first !== undefined && [...tokenizer.special_tokens.values()].includes(first);
  return isSpecial && !ends.includes(first) ? [...ends, first] : ends;
}

/** '' if the template rejects a plain question with its answer. */
function templateTextAfterAnswer(tokenizer: Tokenizer): string {
  const answer = 'an answer';
  try {
    const text = tokenizer.applyChatTemplate(
      [
        { role: 'user', content: 'a question' },
        { role: 'assistant', content: answer },
      ],
      false,
    );
    return text.slice(text.lastIndexOf(answer) + answer.length);
  } catch (error) {
    if (error instanceof LoraError) return '';
    throw error;
  }
}
