import type { Disposable } from '../../common/signal';
import type { RunSummary } from '../runs/run';

/** What connecting runs again needs from the extension. */
export interface ReattachServices {
  readonly store: {
    readonly runs: readonly RunSummary[];
    find(dir: string): RunSummary | undefined;
    readonly onDidChange: (listener: () => void) => Disposable;
  };
  /** False in an untrusted workspace. */
  readonly mayStart: () => boolean;
  /** Whether the target of a run is known, and may be used without a question. */
  readonly mayUse: (run: RunSummary) => Promise<boolean>;
  /** Starts the process that mirrors a run; rejects when it cannot. */
  readonly attach: (run: RunSummary) => Promise<void>;
  readonly log: (message: string) => void;
}

/** The pauses before each attempt; the first lets a process that has just started be seen. */
const PAUSES_MS = [3_000, 30_000, 120_000] as const;

interface Attempts {
  count: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Connects the runs of this workspace again whose mirror has ended while they continue, such as
 * after the machine was restarted. A few attempts for each run; then the user can try.
 */
export class Reattachment implements Disposable {
  private readonly attempts = new Map<string, Attempts>();
  private readonly listener: Disposable;

  constructor(
    private readonly services: ReattachServices,
    private readonly pauses: readonly number[] = PAUSES_MS,
  ) {
    this.listener = services.store.onDidChange(() => this.update());
  }

  /** Looks for runs that are not connected. */
  update(): void {
    if (!this.services.mayStart()) return;
    for (const run of this.services.store.runs) if (isUnattended(run)) this.schedule(run.dir);
  }

  dispose(): void {
    this.listener.dispose();
    for (const { timer } of this.attempts.values()) clearTimeout(timer);
    this.attempts.clear();
  }

  private schedule(dir: string): void {
    const known = this.attempts.get(dir) ?? { count: 0, timer: undefined };
    const pause = this.pauses[known.count];
    if (known.timer !== undefined || pause === undefined) return;
    known.timer = setTimeout(() => {
      known.count++;
      void this.attempt(dir).finally(() => {
        known.timer = undefined;
        this.update();
      });
    }, pause);
    known.timer.unref();
    this.attempts.set(dir, known);
  }

  private async attempt(dir: string): Promise<void> {
    const { store, mayStart, mayUse, attach, log } = this.services;
    const run = store.find(dir);
    if (!run || !isUnattended(run) || !mayStart()) return;
    try {
      if (await mayUse(run)) await attach(run);
    } catch (error) {
      log(`${run.name} is not connected again: ${String(error)}`);
    }
  }
}

/** Whether the run continues on its target while nothing mirrors it. */
export const isUnattended = ({ remote }: RunSummary): boolean =>
  remote?.link.kind === 'unattended' && remote.record.handle !== null;
