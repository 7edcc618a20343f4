// Programs and native modules in the user's cache are run only if they are what was put there:
// their hashes are recorded beside them when they are installed or compiled.
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const RECORD = 'verified.json';

/** Records the SHA-256 of files of a folder, which its user alone can enter from now on. */
export function recordFiles(folder, files) {
  chmodSync(folder, 0o700);
  const record = Object.fromEntries(files.map((file) => [file, sha256Of(path.join(folder, file))]));
  writeFileSync(path.join(folder, RECORD), `${JSON.stringify(record, null, 2)}\n`);
}

/**
 * The first of the files that is not as recorded: missing, a link, or with other bytes; null when
 * all are.
 */
export function changedFile(folder, files) {
  const record = recordIn(folder);
  return files.find((file) => record[file] !== hashOrNull(path.join(folder, file))) ?? null;
}

function recordIn(folder) {
  try {
    return JSON.parse(readFileSync(path.join(folder, RECORD), 'utf8'));
  } catch {
    return {};
  }
}

function hashOrNull(file) {
  try {
    return sha256Of(file);
  } catch {
    return null;
  }
}

function sha256Of(file) {
  if (!lstatSync(file).isFile()) throw new Error(`${file} is no regular file.`);
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
