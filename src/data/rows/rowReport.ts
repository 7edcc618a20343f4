import { quote } from './describe';
import type { ProblemCollector } from '../dataset/problems';

/**
 * Reports what is wrong in one row. `error` gives null, so that a reader can report and give up in
 * one word.
 */
export class RowReport {
  constructor(
    private readonly collector: ProblemCollector,
    private readonly line: number,
  ) {}

  get errorCount(): number {
    return this.collector.errorCount;
  }

  error(message: string, key?: string, column?: number): null {
    this.collector.error(message, this.line, key, column);
    return null;
  }

  warn(message: string): void {
    this.collector.warn(message, this.line);
  }

  /** As a setting says: an error with what to do about it, or the row is left out with a word. */
  refuse(choice: 'error' | 'skip', fault: string, fix: string, key?: string): null {
    if (choice === 'error') return this.error(`${fault}: ${fix}.`, key);
    this.warn(`${fault}; the row is left out.`);
    return null;
  }

  ignored(key: string): void {
    this.warn(`${quote(key)} is not used.`);
  }
}
