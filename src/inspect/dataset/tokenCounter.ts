import { ProblemCollector } from '../../data/dataset/problems';
import { textTokenizer } from '../../data/examples/tokenizeRows';
import { NO_TOKENS } from './rowFacts';
import type { ReadRow, RowReading } from './rowReader';
import { isTextRow, type RowTools } from './shownRow';

/** Counts the tokens of rows for one model. */
export class TokenCounter {
  private readonly tokenizer;

  constructor(
    private readonly tools: RowTools,
    { file, settings }: RowReading,
  ) {
    const problems = new ProblemCollector(file, { listed: 0 });
    this.tokenizer = textTokenizer(problems, { ...tools, max_length: Infinity, rows: settings });
  }

  /** NO_TOKENS where a row cannot be encoded. */
  count({ row }: ReadRow): number {
    if (!row || !isTextRow(row)) return NO_TOKENS;
    return this.tokenizer.add(row)?.length ?? NO_TOKENS;
  }

  /** Whether a row of so many tokens is cut. */
  isCut = (count: number): boolean => count > this.tools.max_length;
}
