import { answerEnds } from '../../data/chat/answerEnds';
import { answerForm } from '../../data/chat/calls/learnForm';
import { parseAnswer, parseText, type ParsedAnswer } from '../../data/chat/calls/parseAnswer';
import { imagesOf, type Chat, type ChatVariables } from '../../data/chat/chat';
import { promptImages, type PromptImages } from '../../data/examples/batchImages';
import {
  checkImagesRead,
  NO_IMAGES,
  withImages,
  type RowImages,
} from '../../data/examples/rowImages';
import { encodeOnce } from '../../data/tokenizer/encodeOnce';
import { GrowingText } from '../../data/tokenizer/growingText';
import { settledText } from '../../data/tokenizer/settledText';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import type { Model } from '../../models/model';
import { LoraError } from '../../shared/errors';
import type { Products } from '../../shared/products';
import { loneSurrogate } from '../../shared/surrogates';

/** How an answer is generated. */
export interface AnswerOptions {
  readonly max_new_tokens: number;
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly seed: number;
  /** Default: exact. */
  readonly products?: Products;
  /** Whether a prompt goes through the chat template. Conversations always do. */
  readonly chat: boolean;
  /** Reads the images of a conversation. Default: they are refused. */
  readonly images?: RowImages;
  /** Asked while the prompt is read; true ends the answer. */
  readonly isStopped?: () => boolean;
  /**
   * Called after each token with the text so far, as far as further tokens cannot change it; false
   * ends the answer.
   */
  readonly onText?: (text: string) => boolean | undefined;
}

/** The answer of a model. */
export interface Answer {
  /** Without special tokens. */
  readonly text: string;
  /** With special tokens, which may mark calls and reasoning; without the one that ends it. */
  readonly raw: string;
  /** Whether it ended by itself. */
  readonly ended: boolean;
}

/** The model's answer to a prompt or a conversation. @throws LoraError */
export async function answerPrompt(
  model: Model,
  tokenizer: Tokenizer,
  prompt: string | Chat,
  options: AnswerOptions,
): Promise<Answer> {
  const stop_ids = stopIds(tokenizer, typeof prompt === 'string' ? {} : prompt.variables);
  const { images = NO_IMAGES } = options;
  const tokens =
    typeof prompt === 'string'
      ? { input_ids: promptIds(tokenizer, prompt, options.chat) }
      : chatTokens(tokenizer, prompt, images);
  if (tokens.images) await model.loadImages();
  return answerTokens(model, tokenizer, { ...tokens, stop_ids }, options);
}

const hasImages = ({ messages }: Chat): boolean => imagesOf(messages).length > 0;

/** The tokens of a conversation, and its images. @throws LoraError */
export function chatTokens(
  tokenizer: Tokenizer,
  chat: Chat,
  images: RowImages,
): Omit<PromptTokens, 'stop_ids'> {
  if (!hasImages(chat)) return { input_ids: promptIds(tokenizer, chat, true) };
  refuseHalfCharacters(chat);
  checkImagesRead(chat, images);
  const ids = encodedChat(tokenizer, chat);
  const encoded = withImages({ ids, labelled: [], unlearnt: [], findings: [] }, chat, images);
  const { ids: input_ids, images: placed = [], reader } = encoded;
  return { input_ids, images: reader ? promptImages(input_ids.length, placed, reader) : null };
}

/** The reasoning, the text and the calls of an answer, without special tokens. */
export function partsOf(
  tokenizer: Tokenizer,
  raw: string,
  variables: ChatVariables = {},
): ParsedAnswer {
  const form = answerForm(tokenizer, variables);
  return withoutSpecial(tokenizer, parseAnswer(raw, form, variables['tools']));
}

/** The reasoning and the text of an answer, which may call nothing, without special tokens. */
export function textPartsOf(
  tokenizer: Tokenizer,
  raw: string,
  variables: ChatVariables = {},
): Pick<ParsedAnswer, 'reasoning' | 'content'> {
  return withoutSpecial(tokenizer, parseText(raw, answerForm(tokenizer, variables)));
}

function withoutSpecial<T extends Pick<ParsedAnswer, 'reasoning' | 'content'>>(
  tokenizer: Tokenizer,
  parts: T,
): T {
  const plain = (text: string) =>
    [...tokenizer.special_tokens.keys()]
      .reduce((rest, token) => (token === '' ? rest : rest.replaceAll(token, '')), text)
      .trim();
  return { ...parts, reasoning: plain(parts.reasoning), content: plain(parts.content) };
}

/** The tokens of a prompt, and those that end an answer to it. */
export interface PromptTokens {
  readonly input_ids: readonly number[];
  readonly stop_ids: readonly number[];
  /** Not given, or null: none. */
  readonly images?: PromptImages | null;
}

/** The model's answer to tokens. */
export async function answerTokens(
  model: Model,
  tokenizer: Tokenizer,
  { input_ids, stop_ids, images = null }: PromptTokens,
  options: Omit<AnswerOptions, 'chat' | 'images'>,
): Promise<Answer> {
  const ids: number[] = [];
  const growing = new GrowingText((own) => tokenizer.decode(own, true));
  const { max_new_tokens, temperature, seed } = options;
  await model.generate(input_ids, {
    max_new_tokens,
    temperature,
    seed,
    stop_ids,
    ...(images && { images }),
    ...(options.products && { products: options.products }),
    ...(options.isStopped && { isStopped: options.isStopped }),
    onToken: (id) => {
      ids.push(id);
      return options.onText?.(settledText(tokenizer, growing.of(ids)));
    },
  });
  return {
    text: tokenizer.decode(ids, true),
    raw: tokenizer.decode(ids, false),
    ended: ids.length < max_new_tokens,
  };
}

/**
 * Token ids of a prompt or conversation without images.
 *
 * @throws LoraError when the chat template rejects it, or when it is no text
 */
export function promptIds(tokenizer: Tokenizer, prompt: string | Chat, isChat: boolean): number[] {
  refuseHalfCharacters(prompt);
  if (typeof prompt === 'string' && !isChat) return encodeOnce(tokenizer, prompt).ids;
  const chat: Chat =
    typeof prompt === 'string' ? { messages: [{ role: 'user', content: prompt }] } : prompt;
  checkImagesRead(chat, NO_IMAGES);
  return encodedChat(tokenizer, chat);
}

function refuseHalfCharacters(prompt: string | Chat): void {
  if (loneSurrogate(prompt) === undefined) return;
  throw new LoraError(
    'usage',
    'The prompt contains half of a surrogate pair (\\ud800 to \\udfff), which is not a character.',
  );
}

const encodedChat = (tokenizer: Tokenizer, { messages, variables }: Chat): number[] =>
  tokenizer.encode(tokenizer.applyChatTemplate(messages, true, variables), false);

/**
 * The tokens that end an answer: the end-of-sequence token, and those that the chat template puts
 * after a message of the assistant, which are the ones that training learns.
 */
export function stopIds(tokenizer: Tokenizer, variables: ChatVariables = {}): number[] {
  const ends = tokenizer.eos_token_id === null ? [] : [tokenizer.eos_token_id];
  const { tokens } = tokenizer.has_chat_template
    ? answerEnds(tokenizer, variables)
    : { tokens: [] };
  return [...new Set([...ends, ...tokens.map((token) => tokenizer.added_tokens.get(token)!)])];
}
