import path from 'node:path';
import type { LoraError } from '../../shared/errors';
import { RUN_FILES, type RunRecord, type RunResult } from '../../shared/run';
import { writeJson } from '../../common/atomicWrite';

/** A run's record in memory and in run.json. Writes are queued; each saves the newest record. */
export class RecordFile {
  private readonly file: string;
  private lastWrite: Promise<void> = Promise.resolve();

  constructor(
    runDir: string,
    private record: RunRecord,
  ) {
    this.file = path.join(runDir, RUN_FILES.record);
  }

  /** The newest record, including changes that are not saved yet. */
  get current(): RunRecord {
    return this.record;
  }

  /** Changes the result in memory only: the next `update` saves it. */
  changeResult(change: Partial<RunResult>): void {
    this.record = { ...this.record, result: { ...this.record.result, ...change } };
  }

  /** Changes the record and saves it. @throws LoraError('disk') */
  update(change: Partial<RunRecord>): Promise<void> {
    this.record = { ...this.record, ...change };
    this.lastWrite = this.lastWrite
      .catch(() => undefined)
      .then(() => writeJson(this.file, this.record));
    return this.lastWrite;
  }

  /** Resolves when the last write has ended, whether or not it succeeded. */
  async settled(): Promise<void> {
    await this.lastWrite.catch(() => undefined);
  }
}

/** The changes that mark a run as failed now. */
export const failedWith = (error: LoraError): Pick<RunRecord, 'state' | 'ended' | 'error'> => ({
  state: 'failed',
  ended: new Date().toISOString(),
  error: error.serialize(),
});
