import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { HEARTBEAT_MS, RUN_FILES, type EngineRecord } from '../../shared/run';
import { findGpu, type Gpu } from '../../runtime/gpu';
import type { Runtime } from '../../runtime/runtime';
import { writeJson } from '../../common/atomicWrite';
import { removeWithin } from '../../common/withoutLinks';
import { thisProcess } from '../../common/processIdentity';

/** What a heartbeat records, and where. */
export interface HeartbeatOptions {
  readonly run_dir: string;
  /** Null: no engine of this machine trains the run. */
  readonly runtime: Runtime | null;
  /** Path of the pipe that clients connect to. */
  readonly pipe: string;
  readonly onError: (error: LoraError) => void;
}

/** Owns engine.json: renews it every HEARTBEAT_MS, from `start` to `stop`. */
export class Heartbeat {
  private readonly file: string;
  private readonly started = new Date().toISOString();
  private timer: NodeJS.Timeout | undefined;
  private lastBeat: Promise<void> = Promise.resolve();
  private latestGpu: Gpu | null = null;
  private readonly stopping = new AbortController();

  constructor(private readonly options: HeartbeatOptions) {
    this.file = path.join(options.run_dir, RUN_FILES.engine);
  }

  /** The GPU's memory at the last beat; null on a CPU. */
  get gpu(): Gpu | null {
    return this.latestGpu;
  }

  /** Writes engine.json now and then every HEARTBEAT_MS. */
  start(): void {
    this.scheduleBeat();
    this.timer = setInterval(() => this.scheduleBeat(), HEARTBEAT_MS);
  }

  /** Ends the beats and removes engine.json. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    // a driver that does not answer must not delay the end
    this.stopping.abort();
    await this.lastBeat;
    await removeWithin(this.file);
  }

  private scheduleBeat(): void {
    this.lastBeat = this.lastBeat.then(() => this.beat());
  }

  /** Never rejects. */
  private async beat(): Promise<void> {
    const { runtime, pipe, onError } = this.options;
    if (runtime?.kind === 'tensorflow' && runtime.device === 'gpu')
      this.latestGpu = await findGpu(process.env, this.stopping.signal).catch(() => null);
    if (this.stopping.signal.aborted) return;
    const record: EngineRecord = {
      ...(await thisProcess()),
      started: this.started,
      pipe,
      heartbeat: new Date().toISOString(),
    };
    await writeJson(this.file, record).catch((error: unknown) =>
      onError(LoraError.from(error, 'disk')),
    );
  }
}
