import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { listFolder } from '../../common/regularFile';
import { NOTES_FILE, RUN_FILES, type RunRecord } from '../../shared/run';
import { EngineLinks } from '../engine/engineLinks';
import { Signal, type Disposable } from '../../common/signal';
import { readRun, type ExistingRunFiles, type RunSnapshot } from './readRun';
import { byAge, collectRun, isActive, type RunSummary } from './run';

/** Where a store looks for runs. */
export interface RunStoreOptions {
  /** The `.lora/runs` folders; those that don't exist are skipped. */
  readonly roots: () => Promise<readonly string[]> | readonly string[];
  /** False in an untrusted workspace, where only files are read. */
  readonly mayConnect: () => boolean;
}

/**
 * Polling intervals in milliseconds. File watchers don't work in some remote folders. `live`: the
 * shortest time between two updates from engines.
 */
const INTERVALS = { active: 1_000, visible: 2_000, hidden: 5_000, live: 200 } as const;

/** All runs of the workspace, kept up to date by the engines' pipes and by polling the folders. */
export class RunStore implements Disposable {
  /** The connections to running engines. */
  readonly engines = new EngineLinks();
  private readonly changed = new Signal();
  private readonly snapshots = new Map<
    string,
    { readonly stamp: string; readonly snapshot: RunSnapshot }
  >();
  private current: readonly RunSummary[] = [];
  private shown = '[]';
  private visible = false;
  private timer: NodeJS.Timeout | undefined;
  private publishTimer: NodeJS.Timeout | undefined;
  private reading: Promise<void> | undefined;
  private disposed = false;

  /** Fires when `runs` has changed. */
  readonly onDidChange = this.changed.event;

  constructor(private readonly options: RunStoreOptions) {
    this.engines.onChange(() => this.publishSoon());
    this.engines.onClose(() => void this.refresh());
  }

  /** Newest first. */
  get runs(): readonly RunSummary[] {
    return this.current;
  }

  /** The run.json of a run; undefined when it cannot be read. */
  record(dir: string): RunRecord | undefined {
    const known = this.snapshots.get(dir)?.snapshot;
    return known?.kind === 'run' ? known.record : undefined;
  }

  /** The run of a folder. */
  find(dir: string): RunSummary | undefined {
    return this.current.find((run) => run.dir === dir);
  }

  /** Polls faster while the Runs view is visible. The first call starts the polling. */
  watch(visible: boolean): void {
    this.visible = visible;
    this.schedule(0);
  }

  /** Reads the folders now, after any reading in progress, which may have missed changes. */
  async refresh(): Promise<void> {
    while (this.reading) await this.reading;
    if (this.disposed) return;
    this.reading = this.read().finally(() => (this.reading = undefined));
    await this.reading;
  }

  private async read(): Promise<void> {
    const dirs = await this.runDirs();
    for (const dir of this.snapshots.keys()) if (!dirs.has(dir)) this.snapshots.delete(dir);
    await inParallel([...dirs], (dir) => this.readIfChanged(dir));
    this.publish();
    if (this.options.mayConnect())
      await Promise.all(this.current.filter(isActive).map((run) => this.engines.connect(run.dir)));
  }

  private async runDirs(): Promise<Set<string>> {
    const dirs = new Set<string>();
    for (const root of await this.options.roots()) {
      const entries = (await isLinked(root)) ? [] : await listFolder(root).catch(() => []);
      for (const entry of entries)
        if (entry.isDirectory() && !entry.name.startsWith('.'))
          dirs.add(path.join(root, entry.name));
    }
    return dirs;
  }

  /** A run that has ended only changes with its files. */
  private async readIfChanged(dir: string): Promise<void> {
    const { stamp, existing } = await stampOf(dir);
    const known = this.snapshots.get(dir);
    if (known && stamp && known.stamp === stamp && !isActive(collectRun(known.snapshot, null)))
      return;
    this.snapshots.set(dir, { stamp, snapshot: await readRun(dir, Date.now(), existing) });
  }

  private publishSoon(): void {
    this.publishTimer ??= setTimeout(() => {
      this.publishTimer = undefined;
      this.publish();
    }, INTERVALS.live);
  }

  private publish(): void {
    const runs = [...this.snapshots.values()]
      .map(({ snapshot }) => collectRun(snapshot, this.engines.live(snapshot.dir)))
      .sort(byAge);
    const shown = JSON.stringify(runs);
    if (this.disposed || shown === this.shown) return;
    this.shown = shown;
    this.current = runs;
    this.changed.fire();
  }

  private schedule(delay: number): void {
    clearTimeout(this.timer);
    if (this.disposed) return;
    const next = () => this.schedule(this.interval());
    this.timer = setTimeout(() => void this.refresh().then(next, next), delay);
    this.timer.unref();
  }

  private interval(): number {
    if (this.current.some(isActive)) return INTERVALS.active;
    return this.visible ? INTERVALS.visible : INTERVALS.hidden;
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
    clearTimeout(this.publishTimer);
    this.engines.dispose();
    this.changed.dispose();
  }
}

/** Whether .lora or .lora/runs is a link: no run is read or written through it. */
async function isLinked(root: string): Promise<boolean> {
  const found = await Promise.all(
    [path.dirname(root), root].map((folder) => lstat(folder).catch(() => null)),
  );
  return found.some((info) => info?.isSymbolicLink() === true);
}

/** Reading a thousand remote folders one after the other would take seconds. */
const CONCURRENCY = 32;

async function inParallel<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: Math.min(CONCURRENCY, items.length) }, async () => {
      for (const item of rest) await act(item);
    }),
  );
}

/**
 * A text that changes with a run's record, notes, engine or target; empty while there is no record.
 */
async function stampOf(
  dir: string,
): Promise<{ readonly stamp: string; readonly existing: ExistingRunFiles }> {
  const [record, engine, remote, notes] = await Promise.all(
    [RUN_FILES.record, RUN_FILES.engine, RUN_FILES.remote, NOTES_FILE].map((name) =>
      lstat(path.join(dir, name)).catch(() => null),
    ),
  );
  const others = [engine, remote, notes].map((info) => info?.mtimeMs ?? '');
  const stamp = record ? `${record.mtimeMs} ${record.size} ${record.ino} ${others.join(' ')}` : '';
  const existing = { engine: engine !== null, remote: remote !== null, notes: notes !== null };
  return { stamp, existing };
}
