import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { MetricLine } from '../../shared/metrics/lines';
import { LoraError } from '../../shared/errors';
import type { EngineProgress, EngineStatus, GenerateParams } from '../../shared/engineProtocol';
import {
  ENDED_STATES,
  HEARTBEAT_MS,
  RUN_FILES,
  type EngineRecord,
  type RunRecord,
} from '../../shared/run';
import { UNRECORDED_STEP_PLAN } from '../../shared/stepPlan';
import { findGpu, type Gpu } from '../../runtime/gpu';
import { setTensorflowEnvironment } from '../../runtime/loadTfjs';
import type { Runtime } from '../../runtime/runtime';
import { writeJson } from '../../common/atomicWrite';
import { fingerprintOf } from '../run/fingerprint';
import { clearLeftovers } from '../run/leftovers';
import type { RunFacts, TrainJob, WorkerCommand, WorkerEvent } from './messages';
import { PipeServer } from '../run/pipe';
import { diskErrorForUser, errorForUser } from './errorPlaces';
import { MetricsFile } from '../run/runFolder';

export interface SupervisorOptions {
  readonly record: RunRecord;
  readonly run_dir: string;
  readonly runtime: Runtime;
  readonly dist: string;
  readonly resume_from: number | null;
  readonly onMetric?: (line: MetricLine) => void;
  readonly onProgress?: (progress: EngineProgress) => void;
  readonly onStatus?: (status: EngineStatus, record: RunRecord) => void;
  readonly onLog?: (level: 'info' | 'warn' | 'error', message: string) => void;
}

type Pending = {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
};

/**
 * The main thread of a training: owns run.json, engine.json, metrics.jsonl and the pipe, and always
 * answers, whatever the worker computes.
 */
export class RunSupervisor {
  private record: RunRecord;
  private worker: Worker | null = null;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private step: number;
  private speed: { readonly step: number; readonly elapsed: number } | null = null;
  private secondsLeft: number | null = null;
  private progress: EngineProgress | null = null;
  private gpu: Gpu | null = null;
  private aloneSeconds: number | null = null;
  private aloneTimer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private fingerprinting: Promise<void> = Promise.resolve();

  private constructor(
    private readonly options: SupervisorOptions,
    private readonly metrics: MetricsFile,
  ) {
    this.record = options.record;
    this.step = options.resume_from ?? 0;
  }

  private pipe!: PipeServer;

  /**
   * Runs to the end, to a stop or to an error; the record says which. Errors: only where the run's
   * folder itself cannot be written.
   */
  static async run(options: SupervisorOptions, signal: AbortSignal): Promise<RunRecord> {
    await mkdir(options.run_dir, { recursive: true });
    const training = new RunSupervisor(options, await MetricsFile.open(options.run_dir));
    return training.life(signal);
  }

  /** Records that a run could not begin. */
  static async fail(
    { record, run_dir }: Pick<SupervisorOptions, 'record' | 'run_dir'>,
    error: LoraError,
  ): Promise<void> {
    await writeJson(path.join(run_dir, RUN_FILES.record), {
      ...record,
      state: 'failed',
      ended: new Date().toISOString(),
      error: error.serialize(),
    } satisfies RunRecord);
  }

  private async life(signal: AbortSignal): Promise<RunRecord> {
    this.pipe = await PipeServer.listen(
      {
        status: () => this.status(),
        pause: () => this.command({ kind: 'pause' }),
        resume: () => this.command({ kind: 'resume' }),
        stop: () => this.command({ kind: 'stop' }),
        checkpoint: () =>
          this.ask((id) => ({ kind: 'checkpoint', id })) as Promise<{ path: string }>,
        generate: (params: GenerateParams) =>
          this.ask((id) => ({ kind: 'generate', id, params })) as Promise<{ text: string }>,
        stop_when_alone: ({ seconds }) => {
          this.aloneSeconds = seconds;
          return this.status();
        },
      },
      (count) => this.countClients(count),
    );
    let beating = this.beat();
    const heart = setInterval(() => {
      beating = beating.then(() => this.beat());
    }, HEARTBEAT_MS);
    try {
      await this.update({});
      const stop = () => {
        this.command({ kind: 'stop' });
      };
      signal.addEventListener('abort', stop, { once: true });
      await this.work().finally(() => signal.removeEventListener('abort', stop));
      await this.fingerprinting;
      return this.record;
    } finally {
      clearInterval(heart);
      clearTimeout(this.aloneTimer);
      await this.metrics.close();
      await this.writing.catch(() => undefined);
      await this.pipe.close();
      await beating;
      await rm(path.join(this.options.run_dir, RUN_FILES.engine), { force: true });
      // of a worker that was ended in the middle of a save
      await clearLeftovers(this.options.run_dir);
    }
  }

  /** The worker's life, from its start to its last word. */
  private work(): Promise<void> {
    const { record, run_dir, runtime, dist, resume_from } = this.options;
    const job: TrainJob = {
      recipe: record.recipe,
      run_dir,
      created: record.created,
      runtime,
      dist,
      resume_from,
      step_plan: resume_from === null ? null : (record.step_plan ?? UNRECORDED_STEP_PLAN),
    };
    setTensorflowEnvironment();
    const worker = new Worker(path.join(dist, 'worker.js'), { workerData: job });
    this.worker = worker;
    return new Promise((resolve, reject) => {
      let last: Promise<void> = Promise.resolve();
      const next = (take: () => Promise<void> | void) => {
        last = last.then(take);
        // what is heard cannot be written: nothing is gained by going on
        last.catch(() => worker.terminate());
      };
      worker.on('message', (event: WorkerEvent) => next(() => this.hear(event)));
      worker.on('error', (error) => next(() => this.fail(LoraError.from(error, 'engine'))));
      worker.on('exit', () => {
        this.worker = null;
        for (const { reject: refuse } of this.pending.values())
          refuse(new LoraError('engine', 'The training has ended.'));
        last
          .then(async () => {
            if (!ENDED_STATES.has(this.record.state))
              await this.fail(new LoraError('engine', 'The training ended without a word.'));
          })
          .catch((error: unknown) => this.fail(LoraError.from(error, 'disk')))
          .then(resolve, reject);
      });
    });
  }

  private hear(event: WorkerEvent): Promise<void> | void {
    switch (event.kind) {
      case 'metric':
        return this.measure(event.line);
      case 'progress':
        this.progress = event.progress;
        this.options.onProgress?.(event.progress);
        this.pipe.notify('progress', event.progress);
        return;
      case 'facts':
        return this.learn(event.facts);
      case 'state':
        return this.update({
          state: event.state,
          started: this.record.started ?? new Date().toISOString(),
        });
      case 'log': {
        this.log(event.level, event.message);
        return;
      }
      case 'best':
        return this.update({
          result: {
            ...this.record.result,
            best_step: event.step,
            best_validation_loss: event.loss,
          },
        });
      case 'reply': {
        this.settle(event.id, (p) => p.resolve(event.result));
        return;
      }
      case 'refusal': {
        this.settle(event.id, (p) => p.reject(LoraError.deserialize(event.error)));
        return;
      }
      case 'done':
        return this.update({
          state: event.state,
          ended: new Date().toISOString(),
          result: { ...this.record.result, [event.product]: RUN_FILES[event.product] },
        });
      case 'failed':
        return this.fail(LoraError.deserialize(event.error));
    }
  }

  private async measure(line: MetricLine): Promise<void> {
    await this.metrics.append(line);
    if (line.kind === 'step') {
      this.step = line.step;
      this.secondsLeft = this.timeLeft(line.step, line.elapsed);
      this.record = {
        ...this.record,
        result: { ...this.record.result, steps: line.step, last_loss: line.loss },
      };
    }
    if (line.kind === 'eval')
      this.record = {
        ...this.record,
        result: { ...this.record.result, last_validation_loss: line.loss },
      };
    this.options.onMetric?.(line);
    this.pipe.notify('metric', line);
    if (line.kind === 'step') this.tell();
    if (line.kind === 'checkpoint' || line.kind === 'eval') await this.update({});
  }

  /**
   * By the mean speed since this process began; the first step is slower than the others and does
   * not count.
   */
  private timeLeft(step: number, elapsed: number): number | null {
    this.speed ??= { step, elapsed };
    const steps = step - this.speed.step;
    const total = this.record.total_steps;
    return steps === 0 || total === null
      ? null
      : ((elapsed - this.speed.elapsed) / steps) * (total - step);
  }

  private async learn({
    base,
    weight_files,
    data,
    step_plan,
    trainable_parameters,
    total_steps,
    device,
  }: RunFacts): Promise<void> {
    const { runtime } = this.options;
    const versions = {
      ...this.record.versions,
      runtime:
        runtime.kind === 'tensorflow'
          ? `libtensorflow ${runtime.tensorflow_version}`
          : 'tfjs-backend-wasm 4.22.0',
      device,
    };
    const known = this.record.base?.fingerprint ?? [];
    await this.update({
      base: { ...base, fingerprint: known },
      data,
      step_plan,
      trainable_parameters,
      total_steps,
      versions,
    });
    if (known.length === 0)
      this.fingerprinting = this.fingerprint(weight_files).catch((error: unknown) =>
        this.log('warn', `The base's fingerprint could not be taken: ${String(error)}`),
      );
  }

  /** While the worker trains: it would otherwise delay the first step. */
  private async fingerprint(files: readonly string[]): Promise<void> {
    const fingerprint = [];
    for (const file of files) fingerprint.push(await fingerprintOf(file));
    if (this.record.base) await this.update({ base: { ...this.record.base, fingerprint } });
  }

  /** Told once it is written. Errors: LoraError('disk') where it cannot be. */
  private async fail(cause: LoraError): Promise<void> {
    const {
      run_dir,
      record: { recipe_path },
    } = this.options;
    const error = await errorForUser(cause, run_dir, recipe_path);
    const written = this.update({
      state: 'failed',
      ended: new Date().toISOString(),
      error: error.serialize(),
    });
    const unwritten = await written.then(
      () => null,
      (refusal: unknown) => diskErrorForUser(LoraError.from(refusal, 'disk'), run_dir),
    );
    if (!unwritten || cause.area !== 'disk') this.log('error', error.describe());
    if (unwritten) throw unwritten;
  }

  private log(level: 'info' | 'warn' | 'error', message: string): void {
    this.options.onLog?.(level, message);
    this.pipe.notify('log', { level, message });
  }

  private command(command: WorkerCommand): EngineStatus {
    this.worker?.postMessage(command);
    return this.status();
  }

  private ask(make: (id: number) => WorkerCommand): Promise<unknown> {
    const { worker } = this;
    if (!worker) return Promise.reject(new LoraError('engine', 'The training has ended.'));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      worker.postMessage(make(id));
    });
  }

  private settle(id: number, use: (pending: Pending) => void): void {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    if (pending) use(pending);
  }

  private status(): EngineStatus {
    return {
      state: this.record.state,
      step: this.step,
      total_steps: this.record.total_steps,
      seconds_left: this.secondsLeft,
      error: this.record.error,
      device_memory: this.gpu && { used: this.gpu.memory_used, total: this.gpu.memory_total },
    };
  }

  private tell(): void {
    this.options.onStatus?.(this.status(), this.record);
    this.pipe.notify('status', this.status());
  }

  /** Writes run.json and tells every client; one write after the other. */
  private update(change: Partial<RunRecord>): Promise<void> {
    this.record = { ...this.record, ...change };
    this.writing = this.writing
      .catch(() => undefined)
      .then(() => writeJson(path.join(this.options.run_dir, RUN_FILES.record), this.record));
    this.tell();
    return this.writing;
  }

  private started = new Date().toISOString();

  private async beat(): Promise<void> {
    const { runtime } = this.options;
    if (runtime.kind === 'tensorflow' && runtime.device === 'gpu') this.gpu = await findGpu();
    const engine: EngineRecord = {
      pid: process.pid,
      started: this.started,
      pipe: this.pipe.path,
      heartbeat: new Date().toISOString(),
    };
    await writeJson(path.join(this.options.run_dir, RUN_FILES.engine), engine).catch(
      (error: unknown) => this.log('warn', LoraError.from(error, 'disk').describe()),
    );
  }

  private countClients(count: number): void {
    clearTimeout(this.aloneTimer);
    // for the one who just came
    if (count > 0 && this.progress) this.pipe.notify('progress', this.progress);
    if (count > 0 || this.aloneSeconds === null) return;
    this.aloneTimer = setTimeout(() => this.command({ kind: 'stop' }), this.aloneSeconds * 1000);
  }
}
