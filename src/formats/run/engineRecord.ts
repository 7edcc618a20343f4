import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isProcessAlive } from '../../common/system';
import { HEARTBEAT_MS, RUN_FILES, type EngineRecord } from '../../shared/run';

/** Reads engine.json of a run; null when there is none or it is not valid. */
export async function readEngineRecord(runDir: string): Promise<EngineRecord | null> {
  try {
    const value = JSON.parse(
      await readFile(path.join(runDir, RUN_FILES.engine), 'utf8'),
    ) as Partial<EngineRecord> | null;
    const isComplete =
      typeof value?.pid === 'number' &&
      typeof value.pipe === 'string' &&
      typeof value.heartbeat === 'string' &&
      typeof value.started === 'string';
    return isComplete ? (value as EngineRecord) : null;
  } catch {
    return null;
  }
}

/**
 * Whether the engine of a run is alive at the time `now` (ms). Its heartbeat decides, since it may
 * run on another machine or in another container that shares the folder. When its pipe exists on
 * this machine, the end of its process shows sooner.
 */
export function isEngineAlive(engine: EngineRecord | null, now: number): boolean {
  if (!engine || now - Date.parse(engine.heartbeat) >= 5 * HEARTBEAT_MS) return false;
  return isProcessAlive(engine.pid) || !existsSync(engine.pipe);
}
