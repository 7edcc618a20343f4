import { isObject } from '../../shared/values';
import { isActive, type RunSummary } from '../runs/run';
import { Signal, type Disposable } from '../../common/signal';

/** A run that waits for its turn. */
export interface QueuedRun {
  readonly id: string;
  readonly recipe: string;
  /** Folder that will hold the run; undefined: beside the recipe. */
  readonly root?: string;
  /** What the run is called; undefined: by what it trains. */
  readonly name?: string;
}

export interface QueueParts {
  readonly memory: {
    get(key: string): unknown;
    update(key: string, value: unknown): PromiseLike<void>;
  };
  readonly store: {
    readonly runs: readonly RunSummary[];
    readonly onDidChange: (listener: () => void) => Disposable;
    refresh(): Promise<void>;
  };
  /**
   * Starts a run; false: the user would not have it now. Errors: LoraError where it cannot start.
   */
  readonly start: (item: QueuedRun) => Promise<boolean>;
  readonly mayStart: () => boolean;
  readonly report: (error: unknown) => void;
}

const KEPT = 'lora.queue';

/**
 * Runs one after another: the next begins when no run is active. The list outlives reloads of the
 * window.
 */
export class RunQueue implements Disposable {
  private readonly changed = new Signal();
  private readonly listener: Disposable;
  private waiting: readonly QueuedRun[];
  private starting = false;
  /** The user would not have a run started: until more are queued. */
  private held = false;

  readonly onDidChange = this.changed.event;

  constructor(private readonly parts: QueueParts) {
    const kept = parts.memory.get(KEPT);
    this.waiting = Array.isArray(kept) ? kept.filter(isQueued) : [];
    this.listener = parts.store.onDidChange(() => void this.next());
  }

  /** Continues with the runs that were waiting when the window was closed. */
  async resume(): Promise<void> {
    if (this.waiting.length === 0) return;
    await this.parts.store.refresh();
    await this.next();
  }

  get items(): readonly QueuedRun[] {
    return this.waiting;
  }

  async add(items: readonly Omit<QueuedRun, 'id'>[]): Promise<void> {
    this.held = false;
    const last = Math.max(0, ...this.waiting.map(({ id }) => Number(id)));
    await this.keep([
      ...this.waiting,
      ...items.map((item, i) => ({ ...item, id: String(last + 1 + i) })),
    ]);
    await this.parts.store.refresh();
    await this.next();
  }

  remove(id: string): Promise<void> {
    return this.keep(this.waiting.filter((item) => item.id !== id));
  }

  /** One place earlier (-1) or later (1). */
  move(id: string, by: -1 | 1): Promise<void> {
    return this.keep(
      moved(
        this.waiting,
        this.waiting.findIndex((item) => item.id === id),
        by,
      ),
    );
  }

  /**
   * Starts the next one if nothing trains. One that cannot start is told and left out, so that it
   * does not hold up the others.
   */
  async next(): Promise<void> {
    const { store, start, mayStart, report } = this.parts;
    const [first, ...rest] = this.waiting;
    if (!first || this.starting || this.held || !mayStart() || store.runs.some(isActive)) return;
    this.starting = true;
    try {
      await this.keep(rest);
      if (!(await start(first))) {
        this.held = true;
        await this.keep([first, ...this.waiting]);
      }
    } catch (error) {
      report(error);
    } finally {
      this.starting = false;
    }
    await store.refresh();
    await this.next();
  }

  dispose(): void {
    this.listener.dispose();
    this.changed.dispose();
  }

  private async keep(items: readonly QueuedRun[]): Promise<void> {
    this.waiting = items;
    this.changed.fire();
    await this.parts.memory.update(KEPT, items);
  }
}

/** The list with one item a place earlier or later; at the end it stays where it is. */
export function moved<T>(items: readonly T[], index: number, by: -1 | 1): readonly T[] {
  const to = index + by;
  if (index < 0 || to < 0 || to >= items.length) return items;
  const result = [...items];
  [result[index], result[to]] = [result[to]!, result[index]!];
  return result;
}

function isQueued(value: unknown): value is QueuedRun {
  if (!isObject(value)) return false;
  const { id, recipe, root, name } = value;
  return (
    typeof id === 'string' &&
    Number.isInteger(Number(id)) &&
    typeof recipe === 'string' &&
    (root === undefined || typeof root === 'string') &&
    (name === undefined || typeof name === 'string')
  );
}
