import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { RunHistory } from '../../shared/history';
import type { MetricLine } from '../../shared/metrics';
import type { EngineProgress, EngineStatus } from '../../shared/protocol';
import { ENDED_STATES, RUN_FILES, type RunRecord } from '../../shared/run';
import type { HostMessage, LogMessage, RunLink, RunRequest } from '../../shared/webview';
import { asMetricLine } from '../../shared/webviewGuards';
import type { ConnectRun, RunFollower } from './follower';
import { LineTail } from './lineTail';
import { RunFolder, statusFromFolder, type FolderState } from './runFolder';

const POLL_MS = 1000;
/** Lines that come faster than this go to the page together. */
const GATHER_MS = 50;
const LOG_KEPT = 200;

/** The data of one run for one panel. It costs nothing until `start` and after `stop`, and keeps what it has read in between. */
export class RunSource {
  private history = new RunHistory();
  private folder: FolderState = { run: null, engine: 'none', error: null };
  private engineStatus: EngineStatus | undefined;
  private progress: EngineProgress | null = null;
  private follower: RunFollower | undefined;
  private readonly log: LogMessage[] = [];
  private readonly tail: LineTail;
  private readonly reader: RunFolder;
  private fresh: MetricLine[] = [];
  private restarted = false;
  private told = '';
  /** Counts starts and stops: work that was begun before the last one no longer speaks. */
  private session = 0;
  private timer: NodeJS.Timeout | undefined;
  private busy: Promise<void> | undefined;

  constructor(private readonly runDir: string, private readonly connect: ConnectRun, private readonly emit: (message: HostMessage) => void) {
    this.tail = new LineTail(path.join(runDir, RUN_FILES.metrics));
    this.reader = new RunFolder(runDir);
  }

  get run(): RunRecord | null { return this.folder.run; }

  get metrics(): RunHistory { return this.history; }

  get status(): EngineStatus {
    return this.engineStatus ?? statusFromFolder(this.folder, this.history.lastStep, Date.now());
  }

  /** Sends a snapshot, then everything new. */
  async start(): Promise<void> {
    this.stop();
    const session = ++this.session;
    await this.look();
    if (session !== this.session) return;
    await this.follow(session);
    if (session !== this.session) return;
    this.sendSnapshot();
    this.schedule(POLL_MS);
  }

  stop(): void {
    this.session++;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.unfollow();
  }

  /** Errors: LoraError('engine') when no engine can be reached or it refuses. */
  async request(name: RunRequest): Promise<void> {
    if (!this.follower) throw new LoraError('engine', 'The engine of this run does not answer.', { fix: 'Wait until it does, or look into the log.' });
    this.engineStatus = await this.follower.request(name, undefined);
    this.tellStatus();
  }

  private schedule(wait: number): void {
    clearTimeout(this.timer);
    const { session } = this;
    this.timer = setTimeout(() => { void this.tick(session); }, wait);
  }

  private async tick(session: number): Promise<void> {
    const before = this.folder.run;
    await this.look();
    if (session !== this.session) return;
    if (!this.follower) await this.follow(session);
    if (session !== this.session) return;
    this.tellLines();
    if (this.folder.run && this.folder.run !== before) this.emit({ kind: 'run', run: this.folder.run });
    this.tellStatus();
    this.schedule(POLL_MS);
  }

  /** Reads the folder and the new lines; calls that overlap share one reading. */
  private look(): Promise<void> {
    this.busy ??= this.readAll().finally(() => { this.busy = undefined; });
    return this.busy;
  }

  private async readAll(): Promise<void> {
    this.folder = await this.reader.read();
    await this.tail.read((lines) => this.take(lines), () => {
      this.history = new RunHistory();
      this.restarted = true;
    });
  }

  private take(lines: readonly string[]): void {
    for (const text of lines) {
      const line = parseLine(text);
      if (!line) continue;
      this.history.append(line);
      this.fresh.push(line);
    }
  }

  private async follow(session: number): Promise<void> {
    if (this.folder.engine !== 'alive' || ENDED_STATES.has(this.folder.run?.state ?? 'preparing')) return;
    const follower = await this.connect(this.runDir).catch(() => undefined);
    if (!follower) return;
    if (session !== this.session) { follower.dispose(); return; }
    this.follower = follower;
    this.listen(follower);
    const status = await follower.request('status', undefined).catch(() => undefined);
    if (status && this.follower === follower) this.engineStatus = status;
  }

  private listen(follower: RunFollower): void {
    const ifCurrent = <T>(act: (value: T) => void) => (value: T) => { if (this.follower === follower) act(value); };
    follower.on('metric', ifCurrent(() => this.gather()));
    follower.on('status', ifCurrent((status) => {
      this.engineStatus = status;
      this.tellStatus();
    }));
    follower.on('progress', ifCurrent((progress) => {
      this.progress = progress;
      this.emit({ kind: 'progress', progress });
    }));
    follower.on('log', ifCurrent(({ level, message }) => { if (level !== 'info') this.addLog(level, message); }));
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

  private gathering = false;

  private gather(): void {
    if (this.gathering || this.timer === undefined) return;
    this.gathering = true;
    const { session } = this;
    setTimeout(() => {
      this.gathering = false;
      if (session === this.session) void this.tick(session);
    }, GATHER_MS);
  }

  private addLog(level: LogMessage['level'], message: string): void {
    const entry: LogMessage = { kind: 'log', level, message, time: new Date().toISOString() };
    this.log.push(entry);
    if (this.log.length > LOG_KEPT) this.log.shift();
    this.emit(entry);
  }

  private tellLines(): void {
    if (this.restarted) { this.sendSnapshot(); return; }
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
    return this.follower ? 'engine' : ENDED_STATES.has(this.status.state) ? 'ended' : 'folder';
  }

  private sendSnapshot(): void {
    this.fresh = [];
    this.restarted = false;
    const { status, progress } = this;
    this.told = JSON.stringify({ kind: 'status', status, link: this.link() });
    this.emit({ kind: 'snapshot', run: this.folder.run, status, progress, link: this.link(), steps: this.history.snapshot(), lines: this.history.lines });
    for (const entry of this.log) this.emit(entry);
  }
}

function parseLine(text: string): MetricLine | undefined {
  try {
    return asMetricLine(JSON.parse(text));
  } catch {
    return undefined;
  }
}
