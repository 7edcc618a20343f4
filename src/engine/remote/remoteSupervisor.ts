import { setTimeout as wait } from 'node:timers/promises';
import { LoraError } from '../../shared/errors';
import type { RemoteStage } from '../../shared/remoteRun';
import type { MetricLine } from '../../shared/metrics/lines';
import type { EngineStatus } from '../../shared/engineProtocol';
import { ENDED_STATES, type RemoteRecord, type RunRecord } from '../../shared/run';
import type { JobHandle, JobState, Target } from '../../targets/target';
import type { Handlers } from '../run/pipe';
import { Heartbeat } from '../training/heartbeat';
import { failedWith, RecordFile } from '../training/recordFile';
import { RunReport, type RunHooks } from '../training/runReport';
import { asPart, logTail, LostJob, lostReason } from './lostJob';
import { Mirror } from './mirror';
import { RemoteFile } from './remoteFile';
import { checkedAnswer, NotReached, RemotePipe, type RemoteStatus } from './remotePipe';
import { Retries } from './retries';
import { sendAndStart } from './sending';
import { progressOf } from './stageProgress';

/** How a job comes to be. */
export interface JobStart {
  /** The folder of the bundles. */
  readonly dist: string;
  readonly bases: Readonly<Record<string, string>>;
  /** How many workers of Ray Train train it; null: our engine does. */
  readonly workers: number | null;
  /** Go on from the last checkpoint there. */
  readonly resume: boolean;
  /** The record of an earlier start, which counts again if this one fails; null: there was none. */
  readonly before: RunRecord | null;
}

/** A run on a target, whose folder this process owns. */
export interface RemoteRunOptions extends RunHooks {
  readonly record: RunRecord;
  readonly remote: RemoteRecord;
  readonly run_dir: string;
  readonly target: Target;
  /** Null: the job is there, and is followed. */
  readonly start: JobStart | null;
}

/** How the following of a run has ended. */
export type RemoteEnd =
  | { readonly kind: 'ended'; readonly record: RunRecord }
  /** The run continues there, or nothing was started. */
  | { readonly kind: 'detached'; readonly isStarted: boolean };

const POLL_MS = 1_000;
/** The least time between two looks when the engine there says that there is more. */
const WOKEN_MS = 150;
/** How often a job whose machine was lost is started again. */
const MAX_RESTARTS = 5;
/** How long the end of a run may take to be seen here. */
const END_SEEN_MS = 30_000;

/**
 * Stands in for the engine of a run that a target trains: owns the folder, mirrors the one there
 * into it, answers clients at the pipe, and passes their requests on.
 */
export class RemoteSupervisor {
  private readonly record: RecordFile;
  private readonly remote: RemoteFile;
  /** Ends the sending, and the following, for which the run continues. */
  private readonly leaving = new AbortController();
  private readonly retries: Retries;
  private readonly report: RunReport;
  private there: RemotePipe | null = null;
  private handle: JobHandle | null;
  private step = 0;
  private secondsLeft: number | null = null;
  private memory: EngineStatus['device_memory'] = null;
  /** Lines from the last poll that clients have not received yet. */
  private fresh: MetricLine[] = [];
  private isStopped = false;
  private isStarted = false;
  /** The job waits on its target, as was seen last. */
  private isQueued = false;
  /** The engine there has ended the run. */
  private hasEnded = false;
  private restarts = 0;
  private wake: () => void = () => undefined;

  private constructor(private readonly options: RemoteRunOptions) {
    const { run_dir, record, remote, target } = options;
    this.record = new RecordFile(run_dir, record);
    this.remote = new RemoteFile(run_dir, remote);
    this.step = record.result.steps;
    this.handle = remote.handle && { job: remote.job, values: remote.handle };
    this.report = new RunReport({
      record: this.record,
      hooks: options,
      status: () => this.status(),
    });
    this.retries = new Retries({
      onLost: (error) => this.lost(error),
      onBack: () => this.report.log('info', `${target.name} can be reached again.`),
    });
  }

  /**
   * Starts or follows a run until it has ended there and all of it is here, or until the signal.
   *
   * @throws LoraError('disk') when the folder cannot be written; the run continues there. What
   *   keeps
   *   it from being started is recorded, too.
   */
  static run(options: RemoteRunOptions, signal: AbortSignal): Promise<RemoteEnd> {
    return new RemoteSupervisor(options).supervise(signal);
  }

  private async supervise(signal: AbortSignal): Promise<RemoteEnd> {
    const { run_dir } = this.options;
    const leave = () => this.leaving.abort();
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    const pipe = await this.report.listen(this.handlers());
    const heartbeat = new Heartbeat({
      run_dir,
      runtime: null,
      pipe,
      onError: (error) => this.report.log('warn', error.describe()),
    });
    heartbeat.start();
    try {
      await this.remote.update({});
      await this.report.updateRecord({});
      return await this.startAndFollow();
    } finally {
      signal.removeEventListener('abort', leave);
      this.there?.dispose();
      await this.remote.connected('closed').catch(() => undefined);
      await this.record.settled();
      await this.report.close();
      await heartbeat.stop();
    }
  }

  private async startAndFollow(): Promise<RemoteEnd> {
    const { start } = this.options;
    try {
      if (start) await this.send(start);
      let isRestarted = await this.follow(this.handle!);
      while (isRestarted) isRestarted = await this.follow(this.handle!);
      return { kind: 'ended', record: this.record.current };
    } catch (error) {
      if (this.leaving.signal.aborted && !isDiskError(error)) return await this.left();
      const failure = LoraError.from(error, 'target');
      if (failure instanceof LostJob && this.isStopped) return await this.stoppedWhileQueued();
      if (failure instanceof LostJob) {
        await this.remote.setStage({ kind: 'lost', reason: failure.message });
        throw failure;
      }
      if (start && !this.isStarted)
        await this.report.updateRecord(start.before ?? failedWith(failure));
      throw failure;
    }
  }

  /** A run that was never started has ended. */
  private async left(): Promise<RemoteEnd> {
    const { start } = this.options;
    if (start === null || this.isStarted) return { kind: 'detached', isStarted: true };
    const ended = { state: 'stopped', ended: new Date().toISOString() } as const;
    await this.report.updateRecord(start.before ?? ended);
    return { kind: 'detached', isStarted: false };
  }

  /** Its job was ended before it began; what an earlier one has saved stays. */
  private async stoppedWhileQueued(): Promise<RemoteEnd> {
    await this.remote.setStage(null);
    await this.report.updateRecord({ state: 'stopped', ended: new Date().toISOString() });
    return { kind: 'ended', record: this.record.current };
  }

  private async send({ dist, bases, workers, resume }: JobStart): Promise<void> {
    const { target } = this.options;
    this.handle = await sendAndStart({
      target,
      record: this.record.current,
      remote: this.remote,
      dist,
      bases,
      workers,
      resume,
      signal: this.leaving.signal,
      onStage: (stage) => this.setStage(stage),
      say: (text) => this.report.log('info', text),
    });
    this.isStarted = true;
    if (this.isStopped) await target.stop(this.handle, new AbortController().signal);
  }

  /**
   * Until the end of a job. True: its machine was lost, and another job continues with the run.
   *
   * @throws LoraError('cancelled') when this process leaves
   */
  private async follow(handle: JobHandle): Promise<boolean> {
    const { target, run_dir } = this.options;
    const { signal } = this.leaving;
    const mirror = new Mirror(
      { target, handle, run_dir, signal },
      { record: this.record, remote: this.remote },
      (line) => this.recordMetric(line),
    );
    const pipe = this.openPipe(handle);
    for (;;) {
      const state = await this.retries.run(() => mirror.pull(), signal);
      this.tellMetrics();
      await this.remote.connected('connected');
      this.isQueued = state.kind === 'queued';
      this.setStage(state.kind === 'queued' ? { kind: 'queued', reason: state.reason } : null);
      this.report.tellStatus();
      if (mirror.hasEnded && state.kind !== 'running' && state.kind !== 'queued') {
        this.tellReason(state);
        break;
      }
      if (await this.isRestarted(state, mirror)) return true;
      if (!mirror.hasEnded) void pipe.connect();
      await this.pause(signal);
    }
    this.hasEnded = true;
    pipe.dispose();
    const onBytes = (received: number, total: number) =>
      this.setStage({ kind: 'fetching', received, total });
    await this.retries.run(() => mirror.pullProducts(onBytes), signal);
    await mirror.recordEnd();
    await this.remote.setStage(null);
    this.report.tellStatus();
    return false;
  }

  /**
   * Starts a job whose machine was lost again.
   *
   * @throws LostJob when the job ended without the engine's word
   */
  private async isRestarted(state: JobState, mirror: Mirror): Promise<boolean> {
    const { target, start, run_dir } = this.options;
    if (state.kind === 'running' || state.kind === 'queued') return false;
    if (state.kind === 'ended' && state.isLost && start && this.restarts < MAX_RESTARTS) {
      this.restarts++;
      this.report.log(
        'warn',
        `The machine of the run on ${target.name} was lost: it continues elsewhere.`,
      );
      await this.retries.run(() => this.send({ ...start, resume: true }), this.leaving.signal);
      return true;
    }
    // the record may have been written after the look at it
    await this.retries.run(() => mirror.pull(), this.leaving.signal);
    if (mirror.hasEnded) return false;
    const log = await logTail(run_dir);
    throw new LostJob(lostReason(state, { name: target.name, log }));
  }

  /** Why the target ended an engine that could still save what it had. */
  private tellReason(state: JobState): void {
    if (state.kind === 'ended' && state.reason !== null)
      this.report.log(
        'warn',
        `The run on ${this.options.target.name} was ended: ${asPart(state.reason)}.`,
      );
  }

  private openPipe(handle: JobHandle): RemotePipe {
    this.there?.dispose();
    this.there = new RemotePipe(this.options.target, handle, {
      onStatus: (status) => this.hear(status),
      onProgress: (progress) => this.report.tellProgress(progress),
      onLog: ({ level, message }) => this.report.log(level, message),
      onMetric: () => this.wake(),
    });
    return this.there;
  }

  private async pause(signal: AbortSignal): Promise<void> {
    await wait(WOKEN_MS, undefined, { signal }).catch(() => undefined);
    const woken = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    const rest = new AbortController();
    const ended = AbortSignal.any([signal, rest.signal]);
    await Promise.race([woken, wait(POLL_MS, undefined, { signal: ended }).catch(() => undefined)]);
    rest.abort();
  }

  /** Answers to the clients' requests, from there where only the engine there can answer. */
  private handlers(): Handlers {
    const commandAndStatus = async (name: 'pause' | 'resume'): Promise<EngineStatus> => {
      await this.engineThere().request(name, undefined);
      return this.status();
    };
    return {
      status: () => this.status(),
      pause: () => commandAndStatus('pause'),
      resume: () => commandAndStatus('resume'),
      stop: () => this.stop(),
      checkpoint: async () =>
        checkedAnswer('checkpoint', await this.engineThere().request('checkpoint', undefined)),
      generate: async (params) =>
        checkedAnswer('generate', await this.engineThere().request('generate', params)),
      // a run on a target continues without anybody
      stop_when_alone: () => this.status(),
    };
  }

  /** Before the job is there, a stop ends the sending; a job that waits has nothing to save. */
  private async stop(): Promise<EngineStatus> {
    if (this.options.start !== null && !this.isStarted) {
      this.isStopped = true;
      this.leaving.abort();
    } else if (this.isQueued && this.handle) {
      this.isStopped = true;
      await this.options.target.stop(this.handle, this.leaving.signal);
      this.wake();
    } else {
      await this.stopThere();
    }
    return this.status();
  }

  /** The engine may have ended before its answer is here: the end of the run is an answer, too. */
  private async stopThere(): Promise<void> {
    try {
      await this.engineThere().request('stop', undefined);
    } catch (error) {
      if (error instanceof NotReached && !this.hasEnded) throw error;
      this.wake();
      const end = performance.now() + END_SEEN_MS;
      while (!this.hasEnded) {
        if (performance.now() > end) throw error;
        await wait(WOKEN_MS);
      }
    }
  }

  /** @throws LoraError('engine') before the job has been started */
  private engineThere(): RemotePipe {
    if (this.there) return this.there;
    throw new LoraError('engine', 'The run has not been started yet: its files are being sent.');
  }

  private hear({ state, seconds_left, device_memory = null }: RemoteStatus): void {
    this.secondsLeft = seconds_left;
    this.memory = device_memory;
    // an end counts when its files are here
    if (!ENDED_STATES.has(state) && state !== this.record.current.state)
      void this.report.updateRecord({ state }).catch(() => undefined);
    this.wake();
    this.report.tellStatus();
  }

  private recordMetric(line: MetricLine): void {
    if (line.kind === 'step') this.step = line.step;
    if (line.kind === 'step' && this.report.progress?.phase !== 'training')
      this.report.tellProgress({ phase: 'training', fraction: null });
    this.options.onMetric?.(line);
    this.fresh.push(line);
  }

  /**
   * Tells the clients what has come at once, of the steps the last one: clients read the lines from
   * the folder, and must not fall behind when thousands were missed.
   */
  private tellMetrics(): void {
    const lastStep = this.fresh.findLast(({ kind }) => kind === 'step');
    for (const line of this.fresh)
      if (line.kind !== 'step' || line === lastStep) this.report.tellMetric(line);
    this.fresh = [];
  }

  private lost(error: LoraError): void {
    void this.remote.connected('lost', error.message).catch(() => undefined);
    this.report.log(
      'warn',
      `${error.message} The run continues there; it is followed again when ${this.options.target.name} can be reached.`,
    );
  }

  private status(): EngineStatus {
    const { state, total_steps, error } = this.record.current;
    return {
      state,
      step: this.step,
      total_steps,
      seconds_left: this.secondsLeft,
      error,
      device_memory: this.memory ?? null,
    };
  }

  /** What is done besides training, for readers of the folder and for clients. */
  private setStage(stage: RemoteStage | null): void {
    void this.remote.setStage(stage).catch(() => undefined);
    if (stage !== null) this.report.tellProgress(progressOf(stage));
  }
}

const isDiskError = (error: unknown): boolean =>
  error instanceof LoraError && error.area === 'disk';
