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
import { readOutline } from './metricsOutline';
import { RunFolder, statusFromFolder, type FolderState } from './runFolder';

const POLL_MS = 1000;
/** Lines that arrive within this time are sent together. */
const GATHER_MS = 50;
/** How long the first snapshot waits for the engine's status. */
const FIRST_ANSWER_MS = 300;
const LOG_KEPT = 200;

/**
 * The data of one run for one panel. Nothing is read before `prepare` or `start` and after `stop`;
 * what was read before is kept.
 */
export class RunSource {
  private history = new RunHistory();
  private folder: FolderState = { run: null, engine: null, remote: null, error: null };
  private engineStatus: EngineStatus | undefined;
  private progress: EngineProgress | null = null;
  private follower: RunFollower | undefined;
  private readonly log: LogMessage[] = [];
  private readonly metricsFile: string;
  /** What `prepare` reads. */
  private prepared: Promise<RunHistory | null> | undefined;
  private readonly tail: LineTail;
  private readonly reader: RunFolder;
  private fresh: MetricLine[] = [];
  private restarted = false;
  private gathering = false;
  private connecting = false;
  private lastStatus = '';
  /** Counts starts and stops, so that work from before the last one can be discarded. */
  private session = 0;
  private timer: NodeJS.Timeout | undefined;
  /** Until it fires, an engine's status and progress are only kept. */
  private newsTimer: NodeJS.Timeout | undefined;
  private progressIsNew = false;
  /** Resolves when the window has the last message. */
  private delivered: Promise<unknown> = Promise.resolve();
  private busy = Promise.resolve();

  constructor(
    private readonly runDir: string,
    private readonly connect: ConnectRun,
    private readonly send: (message: HostMessage) => Promise<unknown>,
    private readonly isTrusted: () => boolean = () => true,
  ) {
    this.metricsFile = path.join(runDir, RUN_FILES.metrics);
    this.tail = new LineTail(this.metricsFile);
    this.reader = new RunFolder(runDir);
  }

  /** Whether the run is still about to start, so that an empty folder is no error. */
  set isExpected(expected: boolean) {
    this.reader.isExpected = expected;
  }

  /** The newest run.json; null until it can be read. */
  get run(): RunRecord | null {
    return this.folder.run;
  }

  /** Reads all metrics written so far. */
  async metrics(): Promise<RunHistory> {
    await this.read();
    return this.history;
  }

  /** The engine's status, or one from the folder without a connection. */
  get status(): EngineStatus {
    return this.engineStatus ?? statusFromFolder(this.folder, this.history.lastStep, Date.now());
  }

  /** Reads ahead of `outline`, while the page loads. */
  prepare(): void {
    this.prepared = this.readOutline();
  }

  /**
   * Sends an outline of a long run, which is there much sooner than all its steps: `start` sends
   * those, once they are wanted. Starts at once for other runs.
   */
  async outline(): Promise<void> {
    this.stop();
    const { session } = this;
    const history = await (this.prepared ?? this.readOutline());
    this.prepared = undefined;
    if (session !== this.session) return;
    if (!history) return this.start();
    await this.firstAnswer(session);
    if (session === this.session) this.sendSnapshot(history);
  }

  /** Sends a snapshot, then everything new. */
  async start(): Promise<void> {
    this.stop();
    const { session } = this;
    await this.read();
    if (session !== this.session) return;
    await this.firstAnswer(session);
    if (session !== this.session) return;
    this.sendSnapshot(this.history);
    this.scheduleNext();
  }

  /** Stops reading and closes the connection to the engine. */
  stop(): void {
    this.session++;
    clearTimeout(this.timer);
    this.timer = undefined;
    clearTimeout(this.newsTimer);
    this.newsTimer = undefined;
    this.gathering = false;
    this.unfollow();
  }

  /**
   * Sends a request to the engine.
   *
   * @throws LoraError('engine') when it cannot be reached or refuses.
   */
  async request(name: RunRequest): Promise<void> {
    if (!this.follower)
      throw new LoraError('engine', t('The engine of this run does not respond.'), {
        fix: t('Wait until it responds, or check the log.'),
      });
    this.engineStatus = await this.follower.request(name, undefined);
    this.sendStatus();
  }

  /** Connects to a running engine; the snapshot doesn't wait long for its answer. */
  private async firstAnswer(session: number): Promise<void> {
    await Promise.race([this.follow(session), wait(FIRST_ANSWER_MS)]);
  }

  private async readOutline(): Promise<RunHistory | null> {
    this.folder = await this.reader.read();
    return readOutline(this.metricsFile).catch(() => null);
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
    await this.delivered;
    if (session !== this.session) return;
    await this.read();
    if (session !== this.session) return;
    void this.follow(session);
    this.sendLines();
    if (this.folder.run && this.folder.run !== before)
      this.emit({ kind: 'run', run: this.folder.run });
    this.sendStatus();
    this.scheduleNext();
  }

  /**
   * Reads what is new, after any reading of a stopped session, since both continue at the same
   * position.
   */
  private read(): Promise<void> {
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
      const place = { file: this.metricsFile };
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

  /** Connects to a running engine unless connected or connecting already. */
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
    if (this.timer !== undefined) this.sendStatus();
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
        this.sendNewsSoon();
      }),
    );
    follower.on(
      'progress',
      ifCurrent((progress) => {
        this.progress = progress;
        this.progressIsNew = true;
        this.sendNewsSoon();
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

  /** Reads new lines soon, together with those that arrive until then. */
  private gather(): void {
    if (this.gathering) return;
    this.gathering = true;
    if (this.timer !== undefined) this.schedule(GATHER_MS);
  }

  /**
   * Sends the status and progress that are the newest then. An engine may report thousands a
   * second, more than a window takes: its queue, in which every click waits, would only grow.
   */
  private sendNewsSoon(): void {
    const { session } = this;
    this.newsTimer ??= setTimeout(() => {
      void this.delivered.then(() => {
        if (session === this.session) this.sendNews();
      });
    }, GATHER_MS);
  }

  private sendNews(): void {
    this.newsTimer = undefined;
    if (this.progressIsNew && this.progress)
      this.emit({ kind: 'progress', progress: this.progress });
    this.progressIsNew = false;
    this.sendStatus();
  }

  private emit(message: HostMessage): void {
    this.delivered = this.send(message).catch(() => undefined);
  }

  private addLog(level: LogMessage['level'], message: string): void {
    const entry: LogMessage = { kind: 'log', level, message, time: new Date().toISOString() };
    this.log.push(entry);
    if (this.log.length > LOG_KEPT) this.log.shift();
    this.emit(entry);
  }

  private sendLines(): void {
    if (this.restarted) {
      this.sendSnapshot(this.history);
      return;
    }
    if (this.fresh.length === 0) return;
    const lines = this.fresh;
    this.fresh = [];
    this.emit({ kind: 'append', lines });
  }

  private sendStatus(): void {
    const message = { kind: 'status', status: this.status, link: this.link() } as const;
    const text = JSON.stringify(message);
    if (text === this.lastStatus) return;
    this.lastStatus = text;
    this.emit(message);
  }

  private link(): RunLink {
    if (this.follower) return 'engine';
    if (ENDED_STATES.has(this.status.state)) return 'ended';
    return this.isTrusted() ? 'folder' : 'untrusted';
  }

  private sendSnapshot(history: RunHistory): void {
    if (history === this.history) this.fresh = [];
    this.restarted = false;
    this.progressIsNew = false;
    const { status, progress } = this;
    this.lastStatus = JSON.stringify({ kind: 'status', status, link: this.link() });
    this.emit({
      kind: 'snapshot',
      run_dir: this.runDir,
      run: this.folder.run,
      status,
      progress,
      link: this.link(),
      outline: history.isOutline,
      steps: history.snapshot(),
      lines: history.lines,
    });
    for (const entry of this.log) this.emit(entry);
  }
}
