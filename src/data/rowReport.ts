import { quote } from './json';
import type { ProblemCollector } from './problems';

/** Reports what is wrong in one row. `error` gives null, so that a reader can report and give up in one word. */
export class RowReport {
  constructor(private readonly collector: ProblemCollector, private readonly line: number) {}

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

  ignored(key: string): void {
    this.warn(`${quote(key)} is not used.`);
  }
}
