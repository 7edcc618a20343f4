import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { MetricLine } from '../../shared/metrics/lines';
import { parseMetricLine } from '../../shared/metrics/parse';
import { LoraError } from '../../shared/errors';
import { RunHistory } from '../../shared/runHistory';
import type { EngineProgress, EngineStatus } from '../../shared/engineProtocol';
import { ENDED_STATES, RUN_FILES, type RunRecord } from '../../shared/run';
import type {
  HostMessage,
  LogMessage,
  RunLink,
  RunRequest,
} from '../../shared/pages/dashboard/protocol';
import { t } from '../text/l10n';
import { isEngineAlive } from '../../formats/run/engineRecord';
import type { ConnectRun, RunFollower } from './follower';
import { LineTail } from './lineTail';
import { RunFolder, statusFromFolder, type FolderState } from './runFolder';

const POLL_MS = 1000;
/** Lines that come faster than this go to the page together. */
const GATHER_MS = 50;
/** How long the first picture waits for the engine's word. */
const FIRST_ANSWER_MS = 300;
const LOG_KEPT = 200;

/**
 * The data of one run for one panel. It costs nothing until `start` and after `stop`, and keeps
 * what it has read in between.
 */
export class RunSource {
  private history = new RunHistory();
  private folder: FolderState = { run: null, engine: null, error: null };
  private engineStatus: EngineStatus | undefined;
  private progress: EngineProgress | null = null;
  private follower: RunFollower | undefined;
  private readonly log: LogMessage[] = [];
  private readonly tail: LineTail;
  private readonly reader: RunFolder;
  private fresh: MetricLine[] = [];
  private restarted = false;
  private gathering = false;
  private connecting = false;
  private told = '';
  /** Counts starts and stops: work that was begun before the last one no longer speaks. */
  private session = 0;
  private timer: NodeJS.Timeout | undefined;
  private busy = Promise.resolve();

  constructor(
    private readonly runDir: string,
    private readonly connect: ConnectRun,
    private readonly emit: (message: HostMessage) => void,
    private readonly isTrusted: () => boolean = () => true,
  ) {
    this.tail = new LineTail(path.join(runDir, RUN_FILES.metrics));
    this.reader = new RunFolder(runDir);
  }

  get run(): RunRecord | null {
    return this.folder.run;
  }

  get metrics(): RunHistory {
    return this.history;
  }

  get status(): EngineStatus {
    return this.engineStatus ?? statusFromFolder(this.folder, this.history.lastStep, Date.now());
  }

  /** Sends a snapshot, then everything new. */
  async start(): Promise<void> {
    this.stop();
    const { session } = this;
    await this.look();
    if (session !== this.session) return;
    await Promise.race([this.follow(session), wait(FIRST_ANSWER_MS)]);
    if (session !== this.session) return;
    this.sendSnapshot();
    this.scheduleNext();
  }

  stop(): void {
    this.session++;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.gathering = false;
    this.unfollow();
  }

  /** Errors: LoraError('engine') when no engine can be reached or it refuses. */
  async request(name: RunRequest): Promise<void> {
    if (!this.follower)
      throw new LoraError('engine', t('The engine of this run does not respond.'), {
        fix: t('Wait until it responds, or check the log.'),
      });
    this.engineStatus = await this.follower.request(name, undefined);
    this.tellStatus();
  }

  private scheduleNext(): void {
    this.schedule(this.gathering ? GATHER_MS : POLL_MS);
  }

  private schedule(ms: number): void {
    clearTimeout(this.timer);
    const { session } = this;
    this.timer = setTimeout(() => {
      void this.tick(session);
    }, ms);
  }

  private async tick(session: number): Promise<void> {
    const before = this.folder.run;
    this.timer = undefined;
    this.gathering = false;
    await this.look();
    if (session !== this.session) return;
    void this.follow(session);
    this.tellLines();
    if (this.folder.run && this.folder.run !== before)
      this.emit({ kind: 'run', run: this.folder.run });
    this.tellStatus();
    this.scheduleNext();
  }

  /**
   * Reads what is new; a reading that a stopped session began ends first, since both read on from
   * the same place.
   */
  private look(): Promise<void> {
    this.busy = this.busy.then(() => this.readAll());
    return this.busy;
  }

  private async readAll(): Promise<void> {
    this.folder = await this.reader.read();
    try {
      await this.tail.read(
        (lines) => this.take(lines),
        () => {
          this.history = new RunHistory();
          this.restarted = true;
        },
      );
    } catch (cause) {
      const place = { file: path.join(this.runDir, RUN_FILES.metrics) };
      this.folder = {
        ...this.folder,
        error: new LoraError('run', t('The metrics cannot be read.'), { place, cause }),
      };
    }
  }

  private take(lines: readonly string[]): void {
    for (const text of lines) {
      const line = parseMetricLine(text);
      if (!line) continue;
      this.history.append(line);
      this.fresh.push(line);
    }
  }

  /**
   * Connects to the engine when there is one that is not followed yet; tries are not made side by
   * side.
   */
  private async follow(session: number): Promise<void> {
    if (this.follower || this.connecting || !isEngineAlive(this.folder.engine, Date.now())) return;
    this.connecting = true;
    try {
      await this.connectNow(session);
    } finally {
      this.connecting = false;
    }
  }

  private async connectNow(session: number): Promise<void> {
    const follower = await this.connect(this.runDir).catch(() => undefined);
    if (!follower) return;
    if (session !== this.session) {
      follower.dispose();
      return;
    }
    this.follower = follower;
    this.listen(follower);
    const status = await follower.request('status', undefined).catch(() => undefined);
    if (!status || this.follower !== follower) return;
    this.engineStatus = status;
    if (this.timer !== undefined) this.tellStatus();
  }

  private listen(follower: RunFollower): void {
    const ifCurrent =
      <T>(act: (value: T) => void) =>
      (value: T) => {
        if (this.follower === follower) act(value);
      };
    follower.on(
      'metric',
      ifCurrent(() => this.gather()),
    );
    follower.on(
      'status',
      ifCurrent((status) => {
        this.engineStatus = status;
        this.tellStatus();
      }),
    );
    follower.on(
      'progress',
      ifCurrent((progress) => {
        this.progress = progress;
        this.emit({ kind: 'progress', progress });
      }),
    );
    follower.on(
      'log',
      ifCurrent(({ level, message }) => {
        if (level !== 'info') this.addLog(level, message);
      }),
    );
    follower.onClose(() => {
      if (this.follower !== follower) return;
      this.unfollow();
      this.gather();
    });
  }

  private unfollow(): void {
    const { follower } = this;
    this.follower = undefined;
    this.engineStatus = undefined;
    this.progress = null;
    follower?.dispose();
  }

  /**
   * There is something to read: soon, together with what comes until then. While a reading is under
   * way, right after it.
   */
  private gather(): void {
    if (this.gathering) return;
    this.gathering = true;
    if (this.timer !== undefined) this.schedule(GATHER_MS);
  }

  private addLog(level: LogMessage['level'], message: string): void {
    const entry: LogMessage = { kind: 'log', level, message, time: new Date().toISOString() };
    this.log.push(entry);
    if (this.log.length > LOG_KEPT) this.log.shift();
    this.emit(entry);
  }

  private tellLines(): void {
    if (this.restarted) {
      this.sendSnapshot();
      return;
    }
    if (this.fresh.length === 0) return;
    const lines = this.fresh;
    this.fresh = [];
    this.emit({ kind: 'append', lines });
  }

  private tellStatus(): void {
    const message = { kind: 'status', status: this.status, link: this.link() } as const;
    const told = JSON.stringify(message);
    if (told === this.told) return;
    this.told = told;
    this.emit(message);
  }

  private link(): RunLink {
    if (this.follower) return 'engine';
    if (ENDED_STATES.has(this.status.state)) return 'ended';
    return this.isTrusted() ? 'folder' : 'untrusted';
  }

  private sendSnapshot(): void {
    this.fresh = [];
    this.restarted = false;
    const { status, progress } = this;
    this.told = JSON.stringify({ kind: 'status', status, link: this.link() });
    this.emit({
      kind: 'snapshot',
      run: this.folder.run,
      status,
      progress,
      link: this.link(),
      steps: this.history.snapshot(),
      lines: this.history.lines,
    });
    for (const entry of this.log) this.emit(entry);
  }
}
