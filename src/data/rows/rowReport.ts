import { quote } from './describe';
import type { ProblemCollector } from '../dataset/problems';

/**
 * Reports the problems of one row. `error` and `refuse` return null, so that a reader can report
 * and give up with one `return`.
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

  /** Reports a key that stands twice in an object of JSON, of which one value would be lost. */
  repeated(name: string, key: string): null {
    return this.error(
      `The key ${quote(name)} is duplicated in the same object, so one of its values would be lost: remove one.`,
      key,
    );
  }

  warn(message: string): void {
    this.collector.warn(message, this.line);
  }

  /**
   * Depending on a setting, reports an error with its fix, or a warning that the row is skipped.
   */
  refuse(choice: 'error' | 'skip', fault: string, fix: string, key?: string): null {
    if (choice === 'error') return this.error(`${fault}: ${fix}.`, key);
    this.warn(`${fault}; the row is skipped.`);
    return null;
  }

  /** Warns that a key has no meaning. */
  ignored(key: string): void {
    this.warn(`${quote(key)} is not used.`);
  }
}
