import type {
  EngineNotifications,
  EngineProgress,
  EngineStatus,
} from '../../shared/engineProtocol';
import type { MetricLine } from '../../shared/metrics/lines';
import type { RunRecord } from '../../shared/run';
import { PipeServer, type Handlers } from '../run/pipe';
import type { RecordFile } from './recordFile';

export type LogLevel = EngineNotifications['log']['level'];

/** Callbacks for the events of a run. */
export interface RunHooks {
  readonly onMetric?: (line: MetricLine) => void;
  readonly onProgress?: (progress: EngineProgress) => void;
  readonly onStatus?: (status: EngineStatus, record: RunRecord) => void;
  readonly onLog?: (level: LogLevel, message: string) => void;
}

/** The facts of a run for its report. */
interface Reported {
  readonly record: RecordFile;
  readonly hooks: RunHooks;
  readonly status: () => EngineStatus;
  /** Clients have come or gone. */
  readonly onClients?: (count: number) => void;
}

/** Tells the clients at a run's pipe and its callbacks what happens. */
export class RunReport {
  private pipe: PipeServer | null = null;
  private latest: EngineProgress | null = null;

  constructor(private readonly run: Reported) {}

  /** The last progress; null: none yet. */
  get progress(): EngineProgress | null {
    return this.latest;
  }

  /** Opens the pipe; gives its path. */
  async listen(handlers: Handlers): Promise<string> {
    this.pipe = await PipeServer.listen(handlers, (count) => {
      // a client that has just connected does not know the progress yet
      if (count > 0 && this.latest) this.pipe?.notify('progress', this.latest);
      this.run.onClients?.(count);
    });
    return this.pipe.path;
  }

  async close(): Promise<void> {
    await this.pipe?.close();
  }

  /** Writes run.json and tells the status. @throws LoraError('disk') */
  updateRecord(change: Partial<RunRecord>): Promise<void> {
    const written = this.run.record.update(change);
    this.tellStatus();
    return written;
  }

  tellStatus(): void {
    const status = this.run.status();
    this.run.hooks.onStatus?.(status, this.run.record.current);
    this.pipe?.notify('status', status);
  }

  tellProgress(progress: EngineProgress): void {
    this.latest = progress;
    this.run.hooks.onProgress?.(progress);
    this.pipe?.notify('progress', progress);
  }

  /** Tells clients a line of metrics. The callback has been told by whoever read it. */
  tellMetric(line: MetricLine): void {
    this.pipe?.notify('metric', line);
  }

  log(level: LogLevel, message: string): void {
    this.run.hooks.onLog?.(level, message);
    this.pipe?.notify('log', { level, message });
  }
}
