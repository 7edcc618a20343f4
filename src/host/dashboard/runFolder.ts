import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../../shared/errors';
import type { EngineStatus } from '../../shared/protocol';
import { ENDED_STATES, HEARTBEAT_MS, RUN_FILES, type EngineRecord, type RunRecord, type RunState } from '../../shared/run';
import { asRunRecord } from '../../shared/webviewGuards';

/** What a run's folder says of the run now. */
export interface FolderState {
  /** null: not written yet, or not readable (then `error` says why). */
  readonly run: RunRecord | null;
  readonly engine: 'alive' | 'gone' | 'none';
  readonly error: LoraError | null;
}

/** How long an engine that was just started may take to write its first file. */
const START_MS = 30_000;
/** A process may carry the number of an engine that is long dead: then nobody renews the heartbeat. */
const SILENT_MS = 15 * HEARTBEAT_MS;

/** Reads a run's folder. The engine is looked at first: it writes its last word into run.json before it goes. Never throws. */
export class RunFolder {
  private seen: { readonly key: string; readonly run: RunRecord | null; readonly error: LoraError | null } | undefined;
  private readonly firstLook: number;

  constructor(private readonly runDir: string, private readonly now: () => number = Date.now) {
    this.firstLook = now();
  }

  async read(): Promise<FolderState> {
    const engine = await this.readEngine();
    const { run, error } = await this.readRun(engine);
    return { run, engine, error };
  }

  private async readEngine(): Promise<FolderState['engine']> {
    const text = await readFile(path.join(this.runDir, RUN_FILES.engine), 'utf8').catch(() => undefined);
    if (text === undefined) return 'none';
    try {
      return isAlive(JSON.parse(text) as Partial<EngineRecord> | null, this.now()) ? 'alive' : 'gone';
    } catch {
      return 'gone';
    }
  }

  private async readRun(engine: FolderState['engine']): Promise<{ run: RunRecord | null; error: LoraError | null }> {
    const file = path.join(this.runDir, RUN_FILES.record);
    const info = await stat(file).catch(() => undefined);
    if (!info) return { run: null, error: engine !== 'alive' && this.now() - this.firstLook > START_MS ? this.missing(file) : null };
    const key = `${info.ino}:${info.size}:${info.mtimeMs}`;
    if (this.seen?.key !== key) this.seen = { key, ...await parseRun(file) };
    return this.seen;
  }

  private missing(file: string): LoraError {
    return new LoraError('run', 'This run has no run.json: its folder was moved or deleted, or its engine never started.', {
      place: { file }, fix: 'Open the run from the Runs view, or run the recipe again.',
    });
  }
}

async function parseRun(file: string): Promise<{ run: RunRecord | null; error: LoraError | null }> {
  try {
    const run = asRunRecord(JSON.parse(await readFile(file, 'utf8')));
    return run ? { run, error: null } : { run: null, error: new LoraError('run', 'run.json is not the record of a run.', { place: { file } }) };
  } catch (cause) {
    return { run: null, error: new LoraError('run', 'run.json cannot be read.', { place: { file }, cause }) };
  }
}

function isAlive(engine: Partial<EngineRecord> | null, now: number): boolean {
  if (typeof engine?.pid !== 'number' || !Number.isInteger(engine.pid) || engine.pid <= 0) return false;
  const heartbeat = Date.parse(engine.heartbeat ?? '');
  if (!(now - heartbeat < SILENT_MS)) return false;
  try {
    process.kill(engine.pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** The run's status when no engine can be asked. */
export function statusFromFolder(folder: FolderState, lastStep: number, now: number): EngineStatus {
  const { run, error } = folder;
  return { state: stateFromFolder(folder, now), step: lastStep, total_steps: run?.total_steps ?? null, seconds_left: null, error: error?.serialize() ?? run?.error ?? null };
}

function stateFromFolder({ run, engine, error }: FolderState, now: number): RunState {
  if (!run) return error ? 'failed' : 'preparing';
  if (ENDED_STATES.has(run.state) || engine === 'alive') return run.state;
  const starting = run.state === 'preparing' && engine === 'none' && now - Date.parse(run.created) < START_MS;
  return starting ? run.state : 'interrupted';
}
