import { NO_LABEL } from '../../shared/task';
import { markAnswers } from '../chat/answerSpans';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { encodeOnce } from '../tokenizer/encodeOnce';
import { quote } from '../rows/describe';
import type { TextRow } from '../rows/row';
import { exchange, type Chat, type Message, type Span } from '../chat/chat';
import { checkImagesRead, NO_IMAGES, withImages, type RowImages } from './rowImages';

import type { EncodedRow } from './encodedRow';

export type { EncodedRow } from './encodedRow';

/**
 * Encodes a row, not truncated. Chats, and a prompt with its completion, are rendered by the chat
 * template; the assistant's answers are labelled. Without a template, the completion is labelled,
 * and the end-of-sequence token after it. A text is labelled in full, with such a token at its end.
 *
 * @param images Reads those of a chat. Default: they are refused.
 * @throws LoraError('tokenizer') where the template cannot render the row; see `withImages`.
 */
export function encodeRow(
  row: TextRow,
  tokenizer: Tokenizer,
  images: RowImages = NO_IMAGES,
): EncodedRow {
  switch (row.kind) {
    case 'messages':
      checkImagesRead(row, images); // the template of a model without images may fail
      return withImages(encodeChat(row, tokenizer), row, images);
    case 'completion':
      return tokenizer.has_chat_template && row.plain !== true
        ? encodeChat({ messages: asChat(row) }, tokenizer)
        : encodeCompletion(row.prompt, row.completion, tokenizer);
    case 'text':
      return encodeText(row.text, tokenizer);
    case 'tokenized':
      return {
        ids: row.input_ids,
        labelled: labelledSpans(row.labels),
        unlearnt: [],
        findings: [],
      };
  }
}

/** The prompt as the user's message, the completion as the assistant's. */
export function asChat(row: Extract<TextRow, { kind: 'completion' }>): Message[] {
  return exchange(row.prompt, row.completion);
}

function encodeChat(chat: Chat, tokenizer: Tokenizer): EncodedRow {
  const { text, answers, unlearnt, findings } = markAnswers(chat, tokenizer);
  const spans = [
    ...answers.map((span) => ({ span, isLearnt: true })),
    ...unlearnt.map((span) => ({ span, isLearnt: false })),
  ];
  const offsets = spans.flatMap(({ span }) => [span.start, span.end]).sort((a, b) => a - b);
  const { ids, places } = tokenizer.encodeAt(text, offsets);
  const tokensOf = (wanted: boolean): Span[] =>
    spans
      .filter(({ isLearnt }) => isLearnt === wanted)
      .map(({ span }) => ({
        start: places[offsets.indexOf(span.start)]!.before,
        end: places[offsets.indexOf(span.end)]!.reached,
      }));
  return { ids, labelled: tokensOf(true), unlearnt: tokensOf(false), findings };
}

/** With the special tokens that the tokenizer itself adds at the start. */
function encodeCompletion(prompt: string, completion: string, tokenizer: Tokenizer): EncodedRow {
  const { ids: whole, written } = encodeOnce(tokenizer, prompt + completion);
  const ids = ended(whole, tokenizer);
  const before = encodeOnce(tokenizer, prompt).ids;
  let start = 0;
  while (start < before.length && ids[start] === before[start]) start++;
  return {
    ids,
    labelled: [{ start, end: ids.length }],
    unlearnt: [],
    findings: onceFindings(written, tokenizer),
  };
}

function encodeText(text: string, tokenizer: Tokenizer): EncodedRow {
  const { ids: whole, written } = encodeOnce(tokenizer, text);
  const ids = ended(whole, tokenizer);
  return {
    ids,
    labelled: [{ start: 0, end: ids.length }],
    unlearnt: [],
    findings: onceFindings(written, tokenizer),
  };
}

function onceFindings(written: readonly number[], tokenizer: Tokenizer): string[] {
  if (written.length === 0) return [];
  const start = quote(tokenizer.decode(written));
  return [`The text begins with ${start} already: the tokenizer does not add it again.`];
}

function ended(ids: number[], { eos_token_id }: Tokenizer): number[] {
  if (eos_token_id !== null && ids.at(-1) !== eos_token_id) ids.push(eos_token_id);
  return ids;
}

function labelledSpans(labels: readonly number[]): Span[] {
  const spans: Span[] = [];
  for (let start = 0, end = 0; end <= labels.length; end++) {
    const isLabelled = labels[end] !== undefined && labels[end] !== NO_LABEL;
    if (isLabelled) continue;
    if (end > start) spans.push({ start, end });
    start = end + 1;
  }
  return spans;
}
