import { NO_LABEL } from '../../shared/task';
import { markAnswers } from '../chat/answerSpans';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { TextRow } from '../rows/row';
import type { Message, Span } from '../chat/chat';

export interface EncodedRow {
  readonly ids: readonly number[];
  /** Ranges of tokens that get labels. */
  readonly labelled: readonly Span[];
}

/**
 * Encodes a row, not truncated. Chats, and a prompt with its completion, are rendered by the chat
 * template; the assistant's answers are labelled. Without a template, the completion is labelled,
 * and the end-of-sequence token after it. A text is labelled in full, with such a token at its end.
 *
 * @throws LoraError('tokenizer') where the template cannot render the row.
 */
export function encodeRow(row: TextRow, tokenizer: Tokenizer): EncodedRow {
  switch (row.kind) {
    case 'messages':
      return encodeChat(row.messages, tokenizer);
    case 'completion':
      return tokenizer.has_chat_template
        ? encodeChat(asChat(row), tokenizer)
        : encodeCompletion(row.prompt, row.completion, tokenizer);
    case 'text':
      return encodeText(row.text, tokenizer);
    case 'tokenized':
      return { ids: row.input_ids, labelled: labelledSpans(row.labels) };
  }
}

/** The prompt as the user's message, the completion as the assistant's. */
export function asChat(row: Extract<TextRow, { kind: 'completion' }>): Message[] {
  return [
    { role: 'user', content: row.prompt },
    { role: 'assistant', content: row.completion },
  ];
}

function encodeChat(messages: readonly Message[], tokenizer: Tokenizer): EncodedRow {
  const { text, answers } = markAnswers(messages, tokenizer);
  const { ids, places } = tokenizer.encodeAt(
    text,
    answers.flatMap((span) => [span.start, span.end]),
  );
  return {
    ids,
    labelled: answers.map((_, i) => ({
      start: places[2 * i]!.before,
      end: places[2 * i + 1]!.reached,
    })),
  };
}

/** With the special tokens that the tokenizer itself adds at the start. */
function encodeCompletion(prompt: string, completion: string, tokenizer: Tokenizer): EncodedRow {
  const ids = ended(tokenizer.encode(prompt + completion), tokenizer);
  const before = tokenizer.encode(prompt);
  let start = 0;
  while (start < before.length && ids[start] === before[start]) start++;
  return { ids, labelled: [{ start, end: ids.length }] };
}

function encodeText(text: string, tokenizer: Tokenizer): EncodedRow {
  const ids = ended(tokenizer.encode(text), tokenizer);
  return { ids, labelled: [{ start: 0, end: ids.length }] };
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
