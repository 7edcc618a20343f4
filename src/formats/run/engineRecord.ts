import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isRunningNow, thisMachine } from '../../common/processIdentity';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { isProcessAlive } from '../../common/system';
import { HEARTBEAT_MS, RUN_FILES, type EngineRecord } from '../../shared/run';

/** Reads engine.json of a run; null when there is none or it is not valid. */
export async function readEngineRecord(runDir: string): Promise<EngineRecord | null> {
  try {
    const value = JSON.parse(
      await readTextFile(path.join(runDir, RUN_FILES.engine), {
        maxBytes: MAX_BYTES.smallRecord,
        links: 'refused',
      }),
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
 * Whether the engine of a run is alive at the time `now` (ms). On this machine its process decides.
 * Its heartbeat decides where it may run on another machine or in another container that shares the
 * folder, and where the system does not tell one process from a later one with the same id; there
 * the end of the process shows sooner when its pipe exists on this machine.
 */
export function isEngineAlive(engine: EngineRecord | null, now: number): boolean {
  if (!engine) return false;
  const { pid, start = null, machine = null } = engine;
  if (machine === thisMachine()) {
    const isRunning = isRunningNow({ pid, start, machine });
    if (isRunning !== undefined) return isRunning;
  }
  if (now - Date.parse(engine.heartbeat) >= 5 * HEARTBEAT_MS) return false;
  return isProcessAlive(pid) || !isPipeHere(engine.pipe);
}

const PIPE_OF_WINDOWS = /^\\\\\.\\pipe\\lora-[0-9a-f]{32}$/;

/**
 * Whether a path has the form of an engine's pipe on Windows. Another could lead to a server, which
 * Windows sends the user's credentials to.
 */
export const isPipeOfWindows = (pipe: string): boolean => PIPE_OF_WINDOWS.test(pipe);

/** Whether the pipe of a run exists and is this user's: engine.json may be untrusted. */
export async function isPipeOfUser(pipe: string): Promise<boolean> {
  if (process.platform === 'win32') return isPipeOfWindows(pipe);
  const info = await stat(pipe).catch(() => null);
  return info !== null && info.isSocket() && info.uid === process.getuid?.();
}

/**
 * Whether the pipe exists on this machine. engine.json may be untrusted: no other path than
 * those of engines is touched.
 */
function isPipeHere(pipe: string): boolean {
  const isOfEngine =
    process.platform === 'win32'
      ? isPipeOfWindows(pipe)
      : /^lora-[\w-]+$/.test(path.basename(path.dirname(pipe))) &&
        path.resolve(pipe, '../..') === path.resolve(tmpdir());
  return isOfEngine && existsSync(pipe);
}
