import path from 'node:path';
import type { Row } from '../rows/row';
import type { Example } from './example';

/** A row whose prediction is shown during training. */
export interface SampleRow {
  /** The row as text; for a chat, its first question. */
  readonly text: string;
  readonly example: Example;
  /** The words of a tagged row, else empty. */
  readonly words: readonly string[];
}

const MAX_SAMPLE_ROWS = 2;

/** What is known of the rows that samples are chosen from. */
export interface SampleCandidates {
  readonly length: number;
  /** Whether `sampleText` has a text for the row. */
  hasTextAt(index: number): boolean;
  /** Rows of other kinds than chats are often sorted by label. */
  readonly maybeSorted: boolean;
}

/**
 * The indices of the first two rows that can be shown as text. For rows that may be sorted: one
 * from each half.
 */
export function selectSampleRows(rows: SampleCandidates): number[] {
  const shown: number[] = [];
  for (let i = 0; i < rows.length && shown.length < MAX_SAMPLE_ROWS; i++) {
    if (rows.maybeSorted && i < shown.length * (rows.length >> 1)) continue;
    if (rows.hasTextAt(i)) shown.push(i);
  }
  return shown;
}

/** Whether rows that begin with this one may be sorted by label. */
export const maybeSorted = (first: Row['kind']): boolean =>
  first !== 'messages' && first !== 'completion';

/** A row as the text that is shown; empty if there is none. */
export function sampleText(row: Row): string {
  return textOf(row) ?? '';
}

function textOf(row: Row): string | undefined {
  switch (row.kind) {
    case 'completion':
      return row.prompt;
    case 'messages':
      return row.messages.find((message) => message.role === 'user')?.content;
    case 'labelled':
      return row.text_pair === null ? row.text : `${row.text}\n${row.text_pair}`;
    case 'tagged':
      return row.tokens.join(' ');
    case 'pair':
      return `${row.anchor}\n${row.positive}`;
    case 'image':
      return path.join(path.basename(path.dirname(row.file)), path.basename(row.file));
    default:
      return undefined;
  }
}
