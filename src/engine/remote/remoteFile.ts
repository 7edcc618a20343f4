import path from 'node:path';
import { writeJson } from '../../common/atomicWrite';
import { readRemoteRecord } from '../../formats/run/remoteRecord';
import { LoraError } from '../../shared/errors';
import type { RemoteStage } from '../../shared/remoteRun';
import { RUN_FILES, type RemoteConnection, type RemoteRecord } from '../../shared/run';

const STAGE_MS = 500;

/** remote.json of a run that this process owns. Writes are queued; each saves the newest. */
export class RemoteFile {
  private readonly file: string;
  private lastWrite: Promise<void> = Promise.resolve();
  private savedStage = -Infinity;

  constructor(
    runDir: string,
    private record: RemoteRecord,
  ) {
    this.file = path.join(runDir, RUN_FILES.remote);
  }

  get current(): RemoteRecord {
    return this.record;
  }

  /** Changes the record and saves it. @throws LoraError('disk') */
  update(change: Partial<RemoteRecord>): Promise<void> {
    this.record = { ...this.record, ...change };
    this.lastWrite = this.lastWrite
      .catch(() => undefined)
      .then(() => writeJson(this.file, this.record));
    return this.lastWrite;
  }

  /** Says what the run is doing; null: it trains. Saved now and then while it changes quickly. */
  async setStage(stage: RemoteStage | null): Promise<void> {
    const before = this.record.stage;
    const others: RemoteRecord & { stage?: RemoteStage } = { ...this.record };
    delete others.stage;
    this.record = stage === null ? others : { ...others, stage };
    const isSame = before?.kind === stage?.kind;
    if (isSame && performance.now() - this.savedStage < STAGE_MS) return;
    if (isSame && JSON.stringify(before) === JSON.stringify(stage)) return;
    this.savedStage = performance.now();
    await this.update({});
  }

  /** Saves whether the target can be reached, if that has changed. @throws LoraError('disk') */
  async connected(state: RemoteConnection['state'], reason: string | null = null): Promise<void> {
    const { connection } = this.record;
    if (connection.state === state && connection.reason === reason) return;
    await this.update({ connection: { state, since: new Date().toISOString(), reason } });
  }
}

/** Reads remote.json of a run, to follow it. @throws LoraError('run') */
export async function requireRemote(runDir: string): Promise<RemoteRecord> {
  const record = await readRemoteRecord(runDir);
  if (record) return record;
  throw new LoraError('run', 'This run is not trained on a target.', { place: { file: runDir } });
}
