import { BudgetExceeded } from './faults';
import type { Span } from '../chat';

/** The limits of one rendering, for a context of this many characters. */
export interface Limits {
  readonly steps: number;
  /** Characters of one text, the output included. */
  readonly length: number;
  /** Characters of all texts that are made. */
  readonly total: number;
  /** Macros and recursive loops inside each other. */
  readonly depth: number;
}

/**
 * Generous for every template that writes its messages a few times, and reached within a second by
 * one that would not end.
 */
export function limitsFor(contextSize: number): Limits {
  return {
    steps: 2_000_000 + 100 * contextSize,
    length: 4_000_000 + 32 * contextSize,
    total: 64_000_000 + 512 * contextSize,
    depth: 150,
  };
}

/** Text that is being written: the output, or the body of a macro, a set block, …. */
export class Sink {
  private readonly parts: string[] = [];
  readonly generated: Span[] = [];
  length = 0;

  write(text: string): void {
    this.parts.push(text);
    this.length += text.length;
  }

  text(): string {
    return this.parts.join('');
  }
}

/** The state of one rendering: its budget, its position in the template and its output. */
export class Runtime {
  /** The line that is being executed, for errors. */
  line = 1;
  sink = new Sink();
  /** Generation blocks of texts that are not written yet: those of macros and set blocks. */
  readonly pending = new Map<string, readonly Span[]>();
  private steps = 0;
  private total = 0;
  private depth = 0;

  constructor(private readonly limits: Limits) {}

  /** Counts work that does not depend on the length of a text. */
  step(count = 1): void {
    this.steps += count;
    if (this.steps > this.limits.steps) throw new BudgetExceeded('it takes too many steps');
  }

  /** Counts the reading of a text. */
  scan(length: number): void {
    this.step(1 + (length >> 6));
  }

  /** Counts a text of this length, before it is made. */
  allocate(length: number): void {
    this.step();
    this.total += length;
    if (length > this.limits.length || this.total > this.limits.total)
      throw new BudgetExceeded('it makes too long a text');
  }

  /** Checks the length of a text whose parts are counted. */
  check(length: number): void {
    if (length > this.limits.length) throw new BudgetExceeded('it makes too long a text');
  }

  /** Counts a list of this length, before it is made. */
  allocateItems(count: number): void {
    this.step(1 + count);
    this.allocate(count * 8);
  }

  write(text: string): void {
    this.step();
    if (this.sink.length + text.length > this.limits.length)
      throw new BudgetExceeded('it writes too long a text');
    const pending = this.pending.size > 0 ? this.pending.get(text) : undefined;
    if (pending) this.place(text, pending);
    this.sink.write(text);
  }

  /** Runs this with an output of its own and returns what it wrote. */
  capture(body: () => void): Sink {
    const outer = this.sink;
    this.sink = new Sink();
    body();
    const inner = this.sink;
    this.sink = outer;
    this.allocate(inner.length);
    return inner;
  }

  /** The text of a macro or a block; its generation blocks are placed where it is written. */
  keep(sink: Sink): string {
    const text = sink.text();
    if (sink.generated.length > 0) this.pending.set(text, sink.generated);
    return text;
  }

  nested<T>(body: () => T): T {
    if (++this.depth > this.limits.depth)
      throw new BudgetExceeded('its macros or loops call themselves too often');
    const result = body();
    this.depth--;
    return result;
  }

  private place(text: string, spans: readonly Span[]): void {
    const { length } = this.sink;
    for (const { start, end } of spans)
      this.sink.generated.push({ start: start + length, end: end + length });
    this.placed.add(text);
  }

  private readonly placed = new Set<string>();

  /** True where a generation block was rendered but its text was changed before it was written. */
  get lostGeneration(): boolean {
    return [...this.pending.keys()].some((text) => text !== '' && !this.placed.has(text));
  }
}
