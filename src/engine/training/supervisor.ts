import path from 'node:path';
import { LoraError } from '../../shared/errors';
import type { RunForgetting } from '../../shared/evaluation/forgetting';
import type { EvalLine, MetricLine, StepLine } from '../../shared/metrics/lines';
import type { EngineStatus } from '../../shared/engineProtocol';
import { ENDED_STATES, RUN_FILES, type RunRecord, UNRECORDED_STEP_PLAN } from '../../shared/run';
import { preloadLibrary, setTensorflowEnvironment } from '../../runtime/loadTfjs';
import type { Runtime } from '../../runtime/runtime';
import { fingerprintOf, isHashed, sizesOf } from '../run/fingerprint';
import { clearLeftovers } from '../run/leftovers';
import type { Handlers } from '../run/pipe';
import { MetricsFile } from '../run/runFolder';
import { checkpointSteps } from './checkpoint';
import { diskErrorForUser, errorForUser } from './errorForUser';
import { Heartbeat } from './heartbeat';
import {
  STOPPED_AT_ONCE,
  type RunEvent,
  type RunFacts,
  type TrainJob,
  type WorkerCommand,
} from './messages';
import { Trackers } from '../trackers/trackers';
import { failedWith, RecordFile } from './recordFile';
import { RemainingTime } from './remainingTime';
import { RunReport, type RunHooks } from './runReport';
import { TrainingWorker } from './trainingWorker';
import { UnattendedStop } from './unattendedStop';

/** The run to supervise, and callbacks for its events. */
export interface SupervisorOptions extends RunHooks {
  readonly record: RunRecord;
  readonly run_dir: string;
  readonly runtime: Runtime;
  /** Folder of the bundles. */
  readonly dist: string;
  /** Continue from this step's checkpoint; null: from the start. */
  readonly resume_from: number | null;
}

const NOT_MEASURED: RunForgetting = { base_loss: null, loss: null, answers: null };

/** How long a stop waits for the worker to leave what it computes. */
const STOP_MS = 1_300;

/**
 * The main thread of a training run. Owns the run's files (run.json, engine.json, metrics.jsonl),
 * its pipe and the worker thread, and answers clients at any time, whatever the worker computes.
 */
export class RunSupervisor {
  private readonly record: RecordFile;
  private readonly worker = new TrainingWorker();
  private readonly unattendedStop = new UnattendedStop(() => this.command({ kind: 'stop' }));
  private readonly remainingTime = new RemainingTime();
  private readonly report: RunReport;
  private readonly trackers: Trackers;
  private heartbeat!: Heartbeat;
  private step: number;
  private secondsLeft: number | null = null;
  /** Whether a stop has reached the worker, which it cannot within a native call. */
  private hasReceivedStop = false;
  /** Whether the worker has stopped training, and saves what it has trained. */
  private isStopping = false;
  private stopTimer: NodeJS.Timeout | undefined;
  private fingerprinting: Promise<void> = Promise.resolve();
  /** A run that is stopped does not wait until gigabytes are hashed. */
  private readonly fingerprintingStop = new AbortController();

  private constructor(
    private readonly options: SupervisorOptions,
    private readonly metrics: MetricsFile,
  ) {
    this.record = new RecordFile(options.run_dir, options.record);
    this.step = options.resume_from ?? 0;
    this.report = new RunReport({
      record: this.record,
      hooks: options,
      status: () => this.status(),
      onClients: (count) => this.unattendedStop.clientsChanged(count),
    });
    this.trackers = new Trackers({
      record: options.record,
      run_dir: options.run_dir,
      resumed: options.resume_from,
      env: process.env,
      warn: (message) => this.report.log('warn', message),
    });
  }

  /**
   * Trains until the end, a stop or an error, and returns the record, which tells them apart.
   *
   * @throws LoraError('disk') when the run's own files cannot be written
   */
  static async run(options: SupervisorOptions, signal: AbortSignal): Promise<RunRecord> {
    const metrics = await MetricsFile.open(options.run_dir);
    return new RunSupervisor(options, metrics).superviseRun(signal);
  }

  /** Writes run.json of a run that could not start. @throws LoraError('disk') */
  static async recordFailure(
    { record, run_dir }: Pick<SupervisorOptions, 'record' | 'run_dir'>,
    error: LoraError,
  ): Promise<void> {
    await new RecordFile(run_dir, record).update(failedWith(error));
  }

  private async superviseRun(signal: AbortSignal): Promise<RunRecord> {
    const { run_dir, runtime } = this.options;
    const pipe = await this.report.listen(this.handlers());
    this.heartbeat = new Heartbeat({
      run_dir,
      runtime,
      pipe,
      onError: (error) => this.report.log('warn', error.describe()),
    });
    this.heartbeat.start();
    try {
      await this.report.updateRecord({});
      const stop = () => this.command({ kind: 'stop' });
      signal.addEventListener('abort', stop, { once: true });
      const ended = this.runWorker().finally(() => signal.removeEventListener('abort', stop));
      if (signal.aborted) stop();
      await ended;
      if (this.record.current.state !== 'completed') this.fingerprintingStop.abort();
      await this.fingerprinting;
      await this.trackers.close(this.record.current);
      return this.record.current;
    } finally {
      this.unattendedStop.cancel();
      clearTimeout(this.stopTimer);
      await this.metrics.close();
      await this.record.settled();
      await this.report.close();
      await this.heartbeat.stop();
      // a worker that was terminated while saving leaves temporary files
      await clearLeftovers(run_dir);
    }
  }

  /** Answers to the clients' requests. */
  private handlers(): Handlers {
    const commandAndStatus = (command: WorkerCommand) => {
      this.command(command);
      return this.status();
    };
    return {
      status: () => this.status(),
      pause: () => commandAndStatus({ kind: 'pause' }),
      resume: () => commandAndStatus({ kind: 'resume' }),
      stop: () => commandAndStatus({ kind: 'stop' }),
      checkpoint: () => this.worker.checkpoint(),
      generate: (params) => this.worker.generate(params),
      stop_when_alone: ({ seconds }) => {
        this.unattendedStop.setDelay(seconds);
        return this.status();
      },
    };
  }

  private command(command: WorkerCommand): void {
    this.worker.send(command);
    if (command.kind === 'stop') this.endUnlessStopping();
  }

  /**
   * Ends the worker unless it receives the stop in time: a row of many megabytes, a tokenizer, or
   * an operation on a large batch may keep it. A save in progress is waited for, unless such a call
   * keeps it, too.
   */
  private endUnlessStopping(): void {
    this.stopTimer ??= setTimeout(() => {
      this.stopTimer = undefined;
      if (this.isStopping || ENDED_STATES.has(this.record.current.state)) return;
      if (this.report.progress?.phase === 'saving' && this.hasReceivedStop)
        this.endUnlessStopping();
      else void this.endWorker();
    }, STOP_MS);
  }

  /** Records the run as stopped, with the checkpoints that it has, and ends the worker. */
  private async endWorker(): Promise<void> {
    const words = this.hasMadeNothing() ? null : await this.describeKept();
    if (this.isStopping || ENDED_STATES.has(this.record.current.state)) return;
    const ended = this.worker.end();
    if (words !== null) this.report.log('warn', words);
    // the error of a full disk is reported by the next write
    await this.handleEvent(STOPPED_AT_ONCE)?.catch(() => undefined);
    await ended;
  }

  private async describeKept(): Promise<string> {
    const [checkpoint] = await checkpointSteps(this.options.run_dir);
    return [
      'The operation in progress did not end in time, so the training was ended in the middle of it.',
      checkpoint === undefined
        ? 'No checkpoint had been saved: nothing that was trained is kept.'
        : `The checkpoint of step ${checkpoint} is kept; the steps after it are lost.`,
    ].join(' ');
  }

  /** Whether nothing has been made yet that a stop would have to save. */
  private hasMadeNothing(): boolean {
    const isBeforeReading =
      this.report.progress === null && this.record.current.state === 'preparing';
    return (
      !ENDED_STATES.has(this.record.current.state) &&
      (isBeforeReading ||
        this.report.progress?.phase === 'reading data' ||
        this.report.progress?.phase === 'loading model')
    );
  }

  /** Runs the worker from start to exit. An error of the worker ends in the record. */
  private async runWorker(): Promise<void> {
    setTensorflowEnvironment();
    try {
      const ended = this.worker.run(path.join(this.options.dist, 'worker.js'), this.job(), {
        onEvent: (event) => this.handleEvent(event),
        onCrash: (error) => this.fail(error),
      });
      // while the worker reads the data
      void preloadLibrary(this.options.runtime);
      await ended;
      if (!ENDED_STATES.has(this.record.current.state))
        await this.fail(new LoraError('engine', 'The training ended unexpectedly.'));
    } catch (error) {
      await this.fail(LoraError.from(error, 'disk'));
    }
  }

  private job(): TrainJob {
    const { record, run_dir, runtime, dist, resume_from } = this.options;
    return {
      recipe: record.recipe,
      run_dir,
      created: record.created,
      runtime,
      dist,
      resume_from,
      step_plan: resume_from === null ? null : (record.step_plan ?? UNRECORDED_STEP_PLAN),
    };
  }

  private handleEvent(event: RunEvent): Promise<void> | void {
    const { result, started } = this.record.current;
    switch (event.kind) {
      case 'metric':
        return this.recordMetric(event.line);
      case 'progress':
        this.report.tellProgress(event.progress);
        return;
      case 'facts':
        return this.recordFacts(event.facts);
      case 'state':
        return this.report.updateRecord({
          state: event.state,
          started: started ?? new Date().toISOString(),
        });
      case 'log':
        this.report.log(event.level, event.message);
        return;
      case 'stopReceived':
        this.hasReceivedStop = true;
        return;
      case 'stopping':
        this.isStopping = true;
        return;
      case 'best':
        return this.report.updateRecord({
          result: {
            ...result,
            best_step: event.step,
            best_validation_loss: event.loss,
            best_metric: event.metric,
          },
        });
      case 'done':
        return this.recordEnd(event);
      case 'failed':
        return this.fail(LoraError.deserialize(event.error));
    }
  }

  private recordEnd(event: Extract<RunEvent, { kind: 'done' }>): Promise<void> {
    const { result } = this.record.current;
    const { product, stopped_early, evaluation, general } = event;
    return this.report.updateRecord({
      state: event.state,
      ended: new Date().toISOString(),
      result: {
        ...result,
        ...(product && { [product]: RUN_FILES[product] }),
        ...(stopped_early && { stopped_early }),
        ...(evaluation && { evaluation }),
        ...(general && {
          forgetting: { ...(result.forgetting ?? NOT_MEASURED), answers: general },
        }),
      },
    });
  }

  private async recordMetric(line: MetricLine): Promise<void> {
    await this.metrics.append(line);
    this.trackers.add(line);
    if (line.kind === 'step') this.recordStep(line);
    if (line.kind === 'eval') this.recordEvaluation(line);
    this.options.onMetric?.(line);
    this.report.tellMetric(line);
    if (line.kind === 'step') this.report.tellStatus();
    if (line.kind === 'checkpoint' || line.kind === 'eval') await this.report.updateRecord({});
  }

  private recordEvaluation({ step, loss, scores }: EvalLine): void {
    this.record.changeResult({ last_validation_loss: loss, last_validation_step: step });
    if (step === 0) this.record.changeResult({ first_validation_loss: loss });
    const general = scores?.general_loss;
    if (general === undefined) return;
    const { base_loss } = this.record.current.result.forgetting ?? NOT_MEASURED;
    const forgetting = {
      base_loss: step === 0 ? general : base_loss,
      loss: general,
      answers: null,
    };
    this.record.changeResult({ forgetting });
  }

  private recordStep({ step, loss, elapsed }: StepLine): void {
    this.step = step;
    this.secondsLeft = this.remainingTime.after(step, elapsed, this.record.current.total_steps);
    this.record.changeResult({ steps: step, last_loss: loss });
  }

  private async recordFacts({ base, weight_files, device, ...facts }: RunFacts): Promise<void> {
    const { base: recorded, versions } = this.record.current;
    const known = recorded?.fingerprint ?? [];
    const isKnown = known.length > 0 && known.every(isHashed);
    const fingerprint = isKnown ? known : await sizesOf(weight_files).catch(() => []);
    await this.report.updateRecord({
      ...facts,
      base: { ...base, fingerprint },
      versions: { ...versions, runtime: runtimeName(this.options.runtime), device },
    });
    if (isKnown) return;
    this.fingerprinting = this.recordFingerprint(weight_files).catch((error: unknown) => {
      if (this.fingerprintingStop.signal.aborted) return;
      this.report.log('warn', `The base's files could not be fingerprinted: ${String(error)}`);
    });
  }

  /** Runs beside the worker, so that it does not delay the first step. */
  private async recordFingerprint(files: readonly string[]): Promise<void> {
    const fingerprint = [];
    const { signal } = this.fingerprintingStop;
    for (const file of files) fingerprint.push(await fingerprintOf(file, signal));
    const { base } = this.record.current;
    if (base) await this.report.updateRecord({ base: { ...base, fingerprint } });
  }

  /**
   * Records the failure and logs it.
   *
   * @throws LoraError('disk') when it cannot be recorded
   */
  private async fail(cause: LoraError): Promise<void> {
    const { run_dir, record } = this.options;
    const error = await errorForUser(cause, run_dir, record.recipe_path);
    const writeError = await this.report.updateRecord(failedWith(error)).then(
      () => null,
      (reason: unknown) => diskErrorForUser(LoraError.from(reason, 'disk'), run_dir),
    );
    if (!writeError || cause.area !== 'disk') this.report.log('error', error.describe());
    if (writeError) throw writeError;
  }

  private status(): EngineStatus {
    const { state, total_steps, error } = this.record.current;
    const { gpu } = this.heartbeat;
    return {
      state,
      step: this.step,
      total_steps,
      seconds_left: this.secondsLeft,
      error,
      device_memory: gpu && { used: gpu.memory_used, total: gpu.memory_total },
    };
  }
}

const runtimeName = (runtime: Runtime): string =>
  runtime.kind === 'tensorflow'
    ? `libtensorflow ${runtime.tensorflow_version}`
    : 'tfjs-backend-wasm 4.22.0';
