import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isProcessAlive } from '../../common/system';
import { HEARTBEAT_MS, RUN_FILES, type EngineRecord } from '../../shared/run';

/** engine.json of a run, or null when no engine ever owned it or the file is not one. */
export async function readEngineRecord(runDir: string): Promise<EngineRecord | null> {
  try {
    const value = JSON.parse(
      await readFile(path.join(runDir, RUN_FILES.engine), 'utf8'),
    ) as Partial<EngineRecord> | null;
    const whole =
      typeof value?.pid === 'number' &&
      typeof value.pipe === 'string' &&
      typeof value.heartbeat === 'string' &&
      typeof value.started === 'string';
    return whole ? (value as EngineRecord) : null;
  } catch {
    return null;
  }
}

/**
 * The heartbeat decides, since the engine may run on another machine or in another container that
 * shares the folder. Where its pipe is on this machine, a process that is gone tells sooner.
 */
export function isEngineAlive(engine: EngineRecord | null, now: number): boolean {
  if (!engine || now - Date.parse(engine.heartbeat) >= 5 * HEARTBEAT_MS) return false;
  return isProcessAlive(engine.pid) || !existsSync(engine.pipe);
}
