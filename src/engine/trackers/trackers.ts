import { LoraError } from '../../shared/errors';
import type { MetricLine } from '../../shared/metrics/lines';
import type { RunRecord } from '../../shared/run';
import type { TrackerName } from '../../shared/trackers';
import { openMlflow } from './mlflow';
import { openTensorboard } from './tensorboard';
import { measuredOf, type Measured, type TrackedRun, type Tracker } from './tracker';
import { openTrackio } from './trackio';

const OPEN: Readonly<Record<TrackerName, (run: TrackedRun) => Promise<Tracker>>> = {
  tensorboard: openTensorboard,
  mlflow: openMlflow,
  trackio: openTrackio,
};

/** More lines than this are not kept for a server that is slower than the training. */
const MAX_WAITING = 1_000;
/** How long the end of a training run waits for a tracker. */
const CLOSE_MS = 10_000;

/** A run, and who hears of a tracker that fails. */
export interface TrackersOptions extends TrackedRun {
  readonly warn: (message: string) => void;
}

/**
 * The trackers of a run. They work beside the training, which waits for none of them; one that
 * fails is named once, and gets nothing more from this process.
 */
export class Trackers {
  private readonly feeds: readonly Feed[];

  constructor(options: TrackersOptions) {
    // recipes of older versions have none
    const names = new Set((options.record.recipe.report_to as TrackerName[] | undefined) ?? []);
    this.feeds = [...names].map((name) => new Feed(name, options));
  }

  add(line: MetricLine): void {
    if (this.feeds.length === 0) return;
    const measured = measuredOf(line, Date.now());
    if (measured) for (const feed of this.feeds) feed.add(measured);
  }

  /** Waits for what was added, but not for long. */
  async close(record: RunRecord): Promise<void> {
    await Promise.all(this.feeds.map((feed) => feed.close(record)));
  }
}

/** The lines for one tracker, in their order. */
class Feed {
  private tracker: Tracker | null = null;
  private pending: Promise<void> = Promise.resolve();
  private waiting = 0;
  private hasFailed = false;

  constructor(
    private readonly name: TrackerName,
    private readonly options: TrackersOptions,
  ) {
    this.pending = this.attempt(async () => {
      this.tracker = await OPEN[name](options);
    });
  }

  add(measured: Measured): void {
    if (this.hasFailed) return;
    if (this.waiting >= MAX_WAITING) {
      this.fail(new LoraError('engine', 'it is too slow'));
      return;
    }
    this.waiting++;
    this.then(async () => {
      this.waiting--;
      await this.tracker?.add(measured);
    });
  }

  async close(record: RunRecord): Promise<void> {
    this.then(async () => this.tracker?.close(record));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.fail(new LoraError('engine', 'it is too slow'));
        resolve();
      }, CLOSE_MS);
    });
    await Promise.race([this.pending, late]);
    clearTimeout(timer);
  }

  private then(action: () => Promise<void> | undefined): void {
    this.pending = this.pending.then(() => this.attempt(action));
  }

  private async attempt(action: () => Promise<void> | undefined): Promise<void> {
    if (this.hasFailed) return;
    try {
      await action();
    } catch (error) {
      this.fail(LoraError.from(error, 'engine'));
    }
  }

  private fail({ message }: LoraError): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    this.pending = this.pending.then(() => this.tracker?.abandon?.()).catch(() => undefined);
    const reason = message.replace(/\.$/, '');
    this.options.warn(`Training continues without ${this.name} (report_to): ${reason}.`);
  }
}
