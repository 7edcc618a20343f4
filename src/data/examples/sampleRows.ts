import path from 'node:path';
import type { TokenizedRows } from './tokenizeRows';
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

/**
 * The first two rows that can be shown as text. For rows other than chats, which are often
 * sorted by label: one from each half.
 */
export function selectSampleRows({
  rows,
  examples,
}: Pick<TokenizedRows, 'rows' | 'examples'>): SampleRow[] {
  const shown: SampleRow[] = [];
  const maybeSorted =
    rows[0] !== undefined && rows[0].kind !== 'messages' && rows[0].kind !== 'completion';
  for (const [i, row] of rows.entries()) {
    if (shown.length === MAX_SAMPLE_ROWS || (maybeSorted && i < shown.length * (rows.length >> 1)))
      continue;
    const text = textOf(row);
    if (text)
      shown.push({ text, example: examples[i]!, words: row.kind === 'tagged' ? row.tokens : [] });
  }
  return shown;
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
