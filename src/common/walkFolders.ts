import type { Dirent } from 'node:fs';
import path from 'node:path';
import { listFolder } from './regularFile';

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

/** How far a walk goes. */
export interface WalkLimits {
  readonly depth: number;
  /** The most folders to read, for users who open their home folder as a workspace. */
  readonly folders: number;
}

const LIMITS: WalkLimits = { depth: 6, folders: 5_000 };

/** A folder of images may have this many. */
const MAX_ENTRIES = 1_000_000;

/** A folder and what it contains. */
export interface Folder {
  readonly dir: string;
  readonly entries: readonly Dirent[];
}

/**
 * Yields `root` and the folders below it, level by level. Unreadable folders are skipped, links to
 * folders are not followed.
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
      const entries = await listFolder(dir, MAX_ENTRIES).catch(() => []);
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
