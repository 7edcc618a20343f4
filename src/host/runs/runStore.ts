import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { RUN_FILES, type RunRecord } from '../../shared/run';
import { EngineLinks } from '../engine/engineLinks';
import { Signal, type Disposable } from '../../common/signal';
import { readRun, type RunFilesThere, type RunSnapshot } from './readRun';
import { byAge, collectRun, isActive, type RunSummary } from './run';
import { NOTES_FILE } from './runNotes';

export interface RunStoreOptions {
  /** The `.lora/runs` folders to look into; those that do not exist are passed over. */
  readonly roots: () => Promise<readonly string[]> | readonly string[];
  /** False in a workspace that is not trusted: then only files are read. */
  readonly mayConnect: () => boolean;
}

/** Polling never rests on file watchers, which are dead in some remote folders. Milliseconds. */
const PACE = { active: 1_000, visible: 2_000, hidden: 5_000, live: 200 } as const;

/**
 * All runs of the workspace, newest first, kept current by the engines' pipes and by looking into
 * the folders.
 */
export class RunStore implements Disposable {
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
  private soon: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private disposed = false;

  readonly onDidChange = this.changed.event;

  constructor(private readonly options: RunStoreOptions) {
    this.engines.onChange(() => this.publishSoon());
    this.engines.onClose(() => void this.refresh());
  }

  get runs(): readonly RunSummary[] {
    return this.current;
  }

  /** What run.json says. Undefined: it cannot be read. */
  record(dir: string): RunRecord | undefined {
    const known = this.snapshots.get(dir)?.snapshot;
    return known?.kind === 'run' ? known.record : undefined;
  }

  find(dir: string): RunSummary | undefined {
    return this.current.find((run) => run.dir === dir);
  }

  /** Polls faster while somebody looks. The first call starts the polling. */
  watch(visible: boolean): void {
    this.visible = visible;
    this.schedule(0);
  }

  /** Looks into the folders now; what changed while another look was under way is seen too. */
  async refresh(): Promise<void> {
    while (this.looking) await this.looking;
    if (this.disposed) return;
    this.looking = this.look().finally(() => (this.looking = undefined));
    await this.looking;
  }

  private async look(): Promise<void> {
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
      const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
      for (const entry of entries)
        if (entry.isDirectory() && !entry.name.startsWith('.'))
          dirs.add(path.join(root, entry.name));
    }
    return dirs;
  }

  /** A run that has ended changes only with its run.json, or when an engine takes it up again. */
  private async readIfChanged(dir: string): Promise<void> {
    const { stamp, there } = await stampOf(dir);
    const known = this.snapshots.get(dir);
    if (known && stamp && known.stamp === stamp && !isActive(collectRun(known.snapshot, null)))
      return;
    this.snapshots.set(dir, { stamp, snapshot: await readRun(dir, Date.now(), there) });
  }

  private publishSoon(): void {
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      this.publish();
    }, PACE.live);
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
    const next = () => this.schedule(this.pace());
    this.timer = setTimeout(() => void this.refresh().then(next, next), delay);
    this.timer.unref();
  }

  private pace(): number {
    if (this.current.some(isActive)) return PACE.active;
    return this.visible ? PACE.visible : PACE.hidden;
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
    clearTimeout(this.soon);
    this.engines.dispose();
    this.changed.dispose();
  }
}

/** Reading a thousand folders one after the other would take seconds where files are far away. */
const AT_ONCE = 32;

async function inParallel<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, items.length) }, async () => {
      for (const item of rest) await act(item);
    }),
  );
}

/** Changes when a run's record, its notes or its engine do; empty while there is no record. */
async function stampOf(
  dir: string,
): Promise<{ readonly stamp: string; readonly there: RunFilesThere }> {
  const [record, engine, notes] = await Promise.all(
    [RUN_FILES.record, RUN_FILES.engine, NOTES_FILE].map((name) =>
      stat(path.join(dir, name)).catch(() => null),
    ),
  );
  const stamp = record
    ? `${record.mtimeMs} ${record.size} ${record.ino} ${engine?.mtimeMs ?? ''} ${notes?.mtimeMs ?? ''}`
    : '';
  return { stamp, there: { engine: engine !== null, notes: notes !== null } };
}
