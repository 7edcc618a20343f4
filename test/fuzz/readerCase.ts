import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Random } from '../../src/shared/random';

const fixtures = path.resolve(import.meta.dirname, '../fixtures');
/** The path of a file or folder of the fixtures. */
export const fixture = (...parts: string[]) => path.join(fixtures, ...parts);

/** Returns a damaged version of a file. */
export type Damage = (original: Buffer, random: Random) => Uint8Array | string;

/** A reader under test, and files that it reads. */
export interface ReaderCase {
  readonly name: string;
  /** A folder that is copied, or files by name. */
  readonly files: string | Readonly<Record<string, Uint8Array>>;
  /** The file that is damaged. */
  readonly target: string;
  readonly damage: Damage;
  /** Ends with a result, which it checks, or rejects with a LoraError. */
  readonly read: (folder: string) => Promise<void>;
  /** False: it may have any content, because nothing reads it. */
  readonly refuses?: false;
  /** How many inputs an ordinary run gives it: fewer for readers of whole models. */
  readonly inputs?: number;
}

/** A reader with a folder of its own. */
export interface Reader {
  readonly name: string;
  /** Writes a damaged file over the good one and returns its path. */
  readonly spoil: (random: Random) => string;
  readonly read: () => Promise<void>;
}

/** Puts the files of a case into a folder within `root`. */
export function readerOf(root: string, { name, files, target, damage, read }: ReaderCase): Reader {
  const folder = path.join(root, name.replaceAll(' ', '-'));
  mkdirSync(folder);
  if (typeof files === 'string') cpSync(files, folder, { recursive: true });
  else
    for (const [own, bytes] of Object.entries(files)) writeFileSync(path.join(folder, own), bytes);
  const file = path.join(folder, target);
  const original = readFileSync(file);
  return {
    name,
    read: () => read(folder),
    spoil: (random) => {
      writeFileSync(file, damage(original, random), { mode: 0o644 });
      return file;
    },
  };
}
