import path from 'node:path';
import type { Message } from '../chat/chat';
import { reasoningOf } from '../chat/reasoning';
import { isEmbedded } from '../images/embedded';
import type { CaptionedRow, ImageRow, Label, PairRow, Row } from './row';

/** What one side of a chat says, or a column of a row of another kind. */
export interface RowText {
  readonly role: string;
  readonly text: string;
}

/** A row as people read it: a chat by its messages, other rows by their columns. */
export const rowTexts = (row: Row): readonly RowText[] => textsOf(row, shownImage);

/** Where an image stands in a message, by the name of its file. */
export const shownImage = (image: string): string =>
  `[${isEmbedded(image) ? 'image' : path.basename(image)}]`;

/** @param imageText What stands in the place of an image of a message */
function textsOf(row: Row, imageText: (image: string) => string): readonly RowText[] {
  switch (row.kind) {
    case 'messages':
      return row.messages.map((message) => messageText(message, imageText));
    case 'completion':
      return [
        { role: 'user', text: row.prompt },
        { role: 'assistant', text: row.completion },
      ];
    case 'text':
      return [{ role: 'text', text: row.text }];
    case 'tokenized':
      return [{ role: 'input_ids', text: row.input_ids.join(' ') }];
    case 'labelled':
      return [
        { role: 'text', text: row.text },
        ...(row.text_pair === null ? [] : [{ role: 'text_pair', text: row.text_pair }]),
        { role: 'label', text: labelText(row.label) },
      ];
    case 'tagged':
      return [
        { role: 'tokens', text: row.tokens.join(' ') },
        { role: 'tags', text: row.tags.join(' ') },
      ];
    case 'pair':
      return pairTexts(row);
    case 'ranking':
      return [
        { role: 'query', text: row.query },
        ...row.documents.map((text) => ({ role: 'document', text })),
        { role: 'label', text: row.scores.join(', ') },
      ];
    case 'preference':
      return [
        ...textsOf(row.chosen, imageText),
        ...textsOf(row.rejected, imageText)
          .slice(-1)
          .map(({ text }) => ({ role: 'rejected', text })),
      ];
    case 'unpaired':
      return [...textsOf(row.answer, imageText), { role: 'label', text: String(row.desirable) }];
    case 'captioned':
    case 'image':
      return imageTexts(row);
  }
}

const pairTexts = ({ anchor, positive, negatives = [], score }: PairRow): readonly RowText[] => [
  { role: 'anchor', text: anchor },
  { role: 'positive', text: positive },
  ...negatives.map((text) => ({ role: 'negative', text })),
  ...(score === undefined ? [] : [{ role: 'label', text: String(score) }]),
];

const imageTexts = (row: CaptionedRow | ImageRow): readonly RowText[] =>
  row.kind === 'captioned'
    ? [
        { role: 'image', text: row.image },
        { role: 'text', text: row.text },
      ]
    : [
        { role: 'image', text: row.file },
        { role: 'label', text: String(row.label) },
      ];

/**
 * What of a row is compared with other rows: many chats have the same system message. Images are
 * compared by their bytes, not by their paths.
 */
export const comparedText = (row: Row): string =>
  textsOf(row, () => '')
    .filter(({ role }) => role !== 'system' && role !== 'label' && role !== 'image')
    .map(({ text }) => text)
    .join('\n');

function messageText(message: Message, imageText: (image: string) => string): RowText {
  const parts = [
    ...(reasoningOf(message) === undefined ? [] : [String(reasoningOf(message))]),
    contentText(message, imageText),
    ...(message.tool_calls ?? []).map((call) => JSON.stringify(call, plainValue)),
  ];
  return { role: message.role, text: parts.filter((part) => part !== '').join('\n') };
}

const contentText = ({ content = '' }: Message, imageText: (image: string) => string): string =>
  typeof content === 'string'
    ? content
    : content.map((part) => (part.type === 'text' ? part.text : imageText(part.image))).join('');

/** JSON has no integers beyond 2^53, and no maps. */
function plainValue(_: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(value as ReadonlyMap<string, unknown>);
  return typeof value === 'bigint' ? String(value) : value;
}

const labelText = (label: Label | readonly Label[]): string =>
  Array.isArray(label) ? label.join(', ') : String(label);
