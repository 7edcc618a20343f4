import { isObject } from '../../shared/values';
import { isActive, isActiveHere, type RunSummary } from '../runs/run';
import { Signal, type Disposable } from '../../common/signal';

/** A new run of a recipe. */
export interface NewRun {
  readonly recipe: string;
  /** Folder that will contain the run's folder; undefined: `.lora/runs` beside the recipe. */
  readonly root?: string;
  /** Name of the run; undefined: the engine chooses one. */
  readonly name?: string;
  /** Where it is trained; undefined: on this machine. */
  readonly on?: QueuedOn;
}

/** A target, and how many runs may be active there for the next one to start. */
export interface QueuedOn {
  readonly target: string;
  readonly parallel: number;
}

/** An ended run that continues from its last checkpoint. */
export interface ContinuedRun {
  /** The run's folder. */
  readonly resume: string;
  readonly name: string;
}

/** What the queue starts. */
export type QueueItem = NewRun | ContinuedRun;

/** A run that is waiting to start. */
export type QueuedRun = QueueItem & { readonly id: string };

/** What an item is about: a recipe, or the folder of a run. */
export const placeOf = (item: QueueItem): string => ('resume' in item ? item.resume : item.recipe);

/** The outcome of starting a run; declined: the user did not install a runtime. */
export type StartOutcome = 'started' | 'queued' | 'declined';

/** What the queue needs from the extension. */
export interface QueueServices {
  readonly memory: {
    get(key: string): unknown;
    update(key: string, value: unknown): PromiseLike<void>;
  };
  readonly store: {
    readonly runs: readonly RunSummary[];
    readonly onDidChange: (listener: () => void) => Disposable;
    refresh(): Promise<void>;
  };
  /** Starts a run; false: the user declined. Throws a LoraError when it cannot start. */
  readonly start: (item: QueuedRun) => Promise<boolean>;
  readonly mayStart: () => boolean;
  readonly report: (error: unknown) => void;
}

const MEMORY_KEY = 'lora.queue';

/**
 * Runs that start one after another: the next starts when no run is active on this machine; one for
 * a target when it has room there. The list is kept when the window is closed.
 */
export class RunQueue implements Disposable {
  private readonly changed = new Signal();
  private readonly listener: Disposable;
  private waiting: readonly QueuedRun[];
  private starting = false;
  /** The user declined to start a run: the queue waits until more are added. */
  private paused = false;

  /** Fires when `items` has changed. */
  readonly onDidChange = this.changed.event;

  constructor(private readonly services: QueueServices) {
    const stored = services.memory.get(MEMORY_KEY);
    this.waiting = Array.isArray(stored) ? stored.filter(isQueued) : [];
    this.listener = services.store.onDidChange(() => void this.next());
  }

  /** Continues with the runs that were waiting when the window was closed. */
  async resume(): Promise<void> {
    if (this.waiting.length === 0) return;
    await this.services.store.refresh();
    await this.next();
  }

  /** The waiting runs, the next one first. */
  get items(): readonly QueuedRun[] {
    return this.waiting;
  }

  /** Adds runs to the end of the queue, and starts the first if nothing trains. */
  async add(items: readonly QueueItem[]): Promise<void> {
    this.paused = false;
    const last = Math.max(0, ...this.waiting.map(({ id }) => Number(id)));
    await this.save([
      ...this.waiting,
      ...items.map((item, i) => ({ ...item, id: String(last + 1 + i) })),
    ]);
    await this.services.store.refresh();
    await this.next();
  }

  /**
   * Starts a run without asking the user; adds it to the queue while another is active or is
   * being started, so that of several at once only the first starts.
   *
   * @throws as `start` does.
   */
  async startOrAdd(item: QueueItem, start: () => Promise<boolean>): Promise<StartOutcome> {
    const { store } = this.services;
    await store.refresh();
    if (this.starting || store.runs.some(isActiveHere)) {
      await this.add([item]);
      return 'queued';
    }
    this.starting = true;
    try {
      return (await start()) ? 'started' : 'declined';
    } finally {
      this.starting = false;
      void this.next();
    }
  }

  /** Removes a run from the queue. */
  remove(id: string): Promise<void> {
    return this.save(this.waiting.filter((item) => item.id !== id));
  }

  /** Moves a run one position earlier (-1) or later (1). */
  move(id: string, by: -1 | 1): Promise<void> {
    return this.save(
      moved(
        this.waiting,
        this.waiting.findIndex((item) => item.id === id),
        by,
      ),
    );
  }

  /**
   * Starts the next run if nothing trains. One that cannot start is reported and removed so that it
   * doesn't block the others.
   */
  async next(): Promise<void> {
    const { store, start, mayStart, report } = this.services;
    if (this.starting || this.paused || !mayStart()) return;
    const first = this.waiting.find((item) => hasRoom(item, store.runs));
    if (!first) return;
    this.starting = true;
    try {
      await this.save(this.waiting.filter((item) => item !== first));
      if (!(await start(first))) {
        this.paused = true;
        await this.save([first, ...this.waiting]);
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

  private async save(items: readonly QueuedRun[]): Promise<void> {
    this.waiting = items;
    this.changed.fire();
    await this.services.memory.update(MEMORY_KEY, items);
  }
}

/** Whether a run can start where it is to be trained. */
function hasRoom(item: QueueItem, runs: readonly RunSummary[]): boolean {
  const on = 'resume' in item ? undefined : item.on;
  if (!on) return !runs.some(isActiveHere);
  const active = runs.filter(
    (run) => isActive(run) && run.remote?.record.target.name === on.target,
  );
  return active.length < on.parallel;
}

/** The list with one item moved by a position; unchanged if that would be outside the list. */
export function moved<T>(items: readonly T[], index: number, by: -1 | 1): readonly T[] {
  const to = index + by;
  if (index < 0 || to < 0 || to >= items.length) return items;
  const result = [...items];
  [result[index], result[to]] = [result[to]!, result[index]!];
  return result;
}

function isQueued(value: unknown): value is QueuedRun {
  if (!isObject(value)) return false;
  const { id, recipe, resume, root, name, on } = value;
  if (typeof id !== 'string' || !Number.isInteger(Number(id))) return false;
  if (resume !== undefined) return typeof resume === 'string' && typeof name === 'string';
  return (
    typeof recipe === 'string' &&
    (root === undefined || typeof root === 'string') &&
    (name === undefined || typeof name === 'string') &&
    (on === undefined || isPlace(on))
  );
}

const isPlace = (value: unknown): value is QueuedOn =>
  isObject(value) &&
  typeof value['target'] === 'string' &&
  Number.isInteger(value['parallel']) &&
  Number(value['parallel']) >= 1;
