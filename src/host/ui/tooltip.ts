import { markdownText } from '../../shared/plainText';

/**
 * A tooltip in Markdown. Its texts are shown as they are: an image in one of them would be fetched
 * when the user hovers over it, and a link could run a command.
 */
export class Tooltip {
  private readonly blocks: string[] = [];

  /** A paragraph. */
  paragraph(text: string): this {
    return this.add(markdownText(text));
  }

  /** Lines with a label in bold. */
  facts(facts: readonly (readonly [label: string, value: string])[]): this {
    const lines = facts.map(
      ([label, value]) => `**${markdownText(label)}**: ${markdownText(value)}`,
    );
    return this.add(lines.join('  \n'));
  }

  /** A list. */
  list(items: readonly string[]): this {
    return this.add(items.map((item) => `- ${markdownText(item)}`).join('\n'));
  }

  /** Lines in a monospaced font. They must contain no backticks. */
  table(lines: readonly string[]): this {
    return this.add(
      ['```text', ...lines.map((line) => line.replaceAll('`', "'")), '```'].join('\n'),
    );
  }

  /** A horizontal line. */
  rule(): this {
    return this.add('---');
  }

  /** The Markdown. */
  get markdown(): string {
    return this.blocks.join('\n\n');
  }

  private add(block: string): this {
    this.blocks.push(block);
    return this;
  }
}
