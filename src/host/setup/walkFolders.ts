import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

const SKIPPED = new Set([
  'node_modules',
  '.git',
  '.hg',
  '.svn',
  '.lora',
  '.venv',
  'venv',
  '__pycache__',
  '.cache',
]);

export interface WalkLimits {
  readonly depth: number;
  /**
   * Folders read before the walk gives up: a home folder opened as a workspace must not keep the
   * user waiting.
   */
  readonly folders: number;
}

const LIMITS: WalkLimits = { depth: 6, folders: 5_000 };

export interface Folder {
  readonly dir: string;
  readonly entries: readonly Dirent[];
}

/**
 * Every folder from `root` down, nearest first. Folders that cannot be read are passed over; links
 * to folders are not followed.
 */
export async function* walkFolders(
  root: string,
  limits: WalkLimits = LIMITS,
): AsyncGenerator<Folder> {
  let level = [root];
  let read = 0;
  for (let depth = 0; depth <= limits.depth && level.length > 0; depth++) {
    const next: string[] = [];
    for (const dir of level) {
      if (++read > limits.folders) return;
      const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
      yield { dir, entries };
      next.push(
        ...entries
          .filter((e) => e.isDirectory() && !SKIPPED.has(e.name))
          .map((e) => path.join(dir, e.name)),
      );
    }
    level = next;
  }
}
