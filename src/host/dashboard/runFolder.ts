import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { FileRefused, MAX_BYTES, readTextFile, type ReadLimits } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import type { EngineStatus } from '../../shared/engineProtocol';
import { RUN_FILES, type EngineRecord, type RemoteRecord, type RunRecord } from '../../shared/run';
import { asRunRecord } from '../../shared/pages/dashboard/guards';
import { effectiveState } from '../../formats/run/effectiveState';
import { isEngineAlive, readEngineRecord } from '../../formats/run/engineRecord';
import { goesOnWithoutMirror, readRemoteRecord } from '../../formats/run/remoteRecord';
import { t } from '../text/l10n';

/** The state of a run as its folder describes it. */
export interface FolderState {
  /** Null: not written yet, or unreadable (then `error` says why). */
  readonly run: RunRecord | null;
  readonly engine: EngineRecord | null;
  readonly remote: RemoteRecord | null;
  readonly error: LoraError | null;
}

/** How long a new engine may take to write its first file. */
const START_MS = 30_000;

/**
 * Reads the folder of a run; never throws. engine.json is read first, because the engine writes its
 * last state to run.json before it ends.
 */
export class RunFolder {
  private seen:
    | { readonly key: string; readonly run: RunRecord | null; readonly error: LoraError | null }
    | undefined;
  private firstLook: number;
  /** Whether the run is still about to start: then nothing is late. */
  isExpected = false;

  constructor(
    private readonly runDir: string,
    private readonly now: () => number = Date.now,
  ) {
    this.firstLook = now();
  }

  /** The current state; run.json is only parsed again when it has changed. */
  async read(): Promise<FolderState> {
    const engine = await readEngineRecord(this.runDir);
    const remote = await readRemoteRecord(this.runDir);
    const file = path.join(this.runDir, RUN_FILES.record);
    const info = await lstat(file).catch(() => undefined);
    if (this.isExpected) this.firstLook = this.now();
    if (!info) {
      const isLate = !goesOnWithoutMirror(remote) && this.isLate(engine);
      return { run: null, engine, remote, error: isLate ? missing(file) : null };
    }
    const key = `${info.ino}:${info.size}:${info.mtimeMs}`;
    if (this.seen?.key !== key) this.seen = { key, ...(await parseRun(file)) };
    return { run: this.seen.run, engine, remote, error: this.seen.error };
  }

  private isLate(engine: EngineRecord | null): boolean {
    return !isEngineAlive(engine, this.now()) && this.now() - this.firstLook > START_MS;
  }
}

function missing(file: string): LoraError {
  return new LoraError(
    'run',
    t('This run has no run.json. Its folder was moved or deleted, or its engine never started.'),
    {
      place: { file },
      fix: t('Open the run from the Runs view, or run the recipe again.'),
    },
  );
}

const RECORD: ReadLimits = { maxBytes: MAX_BYTES.runRecord, links: 'refused' };

async function parseRun(file: string): Promise<{ run: RunRecord | null; error: LoraError | null }> {
  try {
    const run = asRunRecord(JSON.parse(await readTextFile(file, RECORD)));
    return run
      ? { run, error: null }
      : {
          run: null,
          error: new LoraError('run', t('run.json is not a valid run record.'), {
            place: { file },
          }),
        };
  } catch (cause) {
    return {
      run: null,
      error: new LoraError('run', unreadable(cause), { place: { file }, cause }),
    };
  }
}

const unreadable = (cause: unknown) =>
  cause instanceof FileRefused
    ? t('run.json cannot be read: {0}', cause.message)
    : t('run.json cannot be read.');

/** The status of a run without a connection to its engine. `now`: in milliseconds since 1970. */
export function statusFromFolder(
  { run, engine, remote, error }: FolderState,
  lastStep: number,
  now: number,
): EngineStatus {
  const stateWithoutRun = error ? 'failed' : 'preparing';
  const state = run ? effectiveState(run, engine, now, remote) : stateWithoutRun;
  return {
    state,
    step: lastStep,
    total_steps: run?.total_steps ?? null,
    seconds_left: null,
    error: error?.serialize() ?? run?.error ?? null,
  };
}
