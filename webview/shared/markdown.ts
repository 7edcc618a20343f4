import { markdownText } from '../../src/shared/plainText';

/** A heading that shows the text as it is. */
export const markdownHeading = (text: string): string => `## ${markdownText(text)}\n\n`;

/** A table as Markdown that shows the texts as they are. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cellText).join(' | ')} |`;
  return [line(head), `| ${head.map(() => '---').join(' | ')} |`, ...rows.map(line), ''].join('\n');
}

const cellText = (text: string): string =>
  text
    .split('\n')
    .map((part) => part.trim())
    .map(markdownText)
    .join('<br>');
