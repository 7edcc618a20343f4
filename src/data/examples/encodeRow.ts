import { markAnswers } from '../chat/answerSpans';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { TextRow } from '../rows/row';
import type { Message, Span } from '../chat/chat';

export interface EncodedRow {
  readonly ids: readonly number[];
  /** Stretches of tokens that are learnt. */
  readonly learnt: readonly Span[];
}

/**
 * The whole of a row as tokens. Chats, and a prompt with its completion, go through the chat
 * template and only the assistant's turns are learnt; without a template, the completion and the
 * end-of-sequence token after it. Of a text all is learnt, with such a token at its end. Errors:
 * LoraError where the template cannot render the row.
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
      return { ids: row.input_ids, learnt: stretches(row.labels) };
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
    learnt: answers.map((_, i) => ({
      start: places[2 * i]!.before,
      end: places[2 * i + 1]!.reached,
    })),
  };
}

/** With the special tokens that the tokenizer itself adds in front. */
function encodeCompletion(prompt: string, completion: string, tokenizer: Tokenizer): EncodedRow {
  const ids = ended(tokenizer.encode(prompt + completion), tokenizer);
  const before = tokenizer.encode(prompt);
  let start = 0;
  while (start < before.length && ids[start] === before[start]) start++;
  return { ids, learnt: [{ start, end: ids.length }] };
}

function encodeText(text: string, tokenizer: Tokenizer): EncodedRow {
  const ids = ended(tokenizer.encode(text), tokenizer);
  return { ids, learnt: [{ start: 0, end: ids.length }] };
}

function ended(ids: number[], { eos_token_id }: Tokenizer): number[] {
  return eos_token_id === null || ids.at(-1) === eos_token_id ? ids : [...ids, eos_token_id];
}

function stretches(labels: readonly number[]): Span[] {
  const spans: Span[] = [];
  for (let start = 0, end = 0; end <= labels.length; end++) {
    const learnt = labels[end] !== undefined && labels[end] !== -100;
    if (learnt) continue;
    if (end > start) spans.push({ start, end });
    start = end + 1;
  }
  return spans;
}
