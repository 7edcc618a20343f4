import { readJsonObject } from '../formats/json';
import path from 'node:path';
import { HEARTBEAT_MS, RUN_FILES } from '../shared/run';

/** Whether a living engine owns the run: its heart beats and its process is there. */
export async function isOwned(runDir: string): Promise<boolean> {
  const engine = await readJsonObject(path.join(runDir, RUN_FILES.engine), 'run').catch(() => null);
  if (!engine || typeof engine['pid'] !== 'number' || typeof engine['heartbeat'] !== 'string') return false;
  return Date.now() - Date.parse(engine['heartbeat']) < 5 * HEARTBEAT_MS && isAlive(engine['pid']);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
