import type { BigIntStats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { writeJson } from './atomicWrite';
import { hashFile, type HashFileOptions } from './hashFile';
import { makePrivateFolder } from './privateFiles';
import { readTextFile } from './regularFile';

/** Smaller files are hashed each time. */
const LEAST_BYTES = 16n * 2n ** 20n;
/** A file that was written more recently could change again within the same tick of its clock. */
const SETTLED_MS = 2_000;
const MAX_FILES = 200;
const MAX_BYTES = 2 ** 20;

/** Where hashes are kept between starts, in the user's cache. */
const defaultFile = (): string =>
  path.join(homedir(), '.cache', 'lora-workbench', 'hashes', 'hashes.json');

/** Unchanged as long as the file is: size, inode and times; no program can set `ctime`. */
type Identity = readonly [size: string, inode: string, mtime: string, ctime: string];

interface Entry {
  readonly file: string;
  readonly identity: Identity;
  readonly sha256: string;
}

const identityOf = ({ size, ino, mtimeNs, ctimeNs }: BigIntStats): Identity => [
  `${size}`,
  `${ino}`,
  `${mtimeNs}`,
  `${ctimeNs}`,
];

const isSame = (a: Identity, b: Identity): boolean => a.every((value, i) => value === b[i]);

/**
 * The SHA-256 of a file. That of a large one is kept, so that gigabytes are read once, not at each
 * start. Those who cannot keep it read the file again.
 *
 * @throws what `hashFile` throws
 */
export async function cachedHash(
  file: string,
  options: Omit<HashFileOptions, 'hash'> = {},
  cache = defaultFile(),
): Promise<string> {
  const place = await realpath(file);
  const before = await stat(place, { bigint: true });
  if (before.size < LEAST_BYTES) return hashFile(file, options);
  const identity = identityOf(before);
  const known = (await readEntries(cache)).find((entry) => entry.file === place);
  if (known !== undefined && isSame(known.identity, identity)) {
    options.onBytes?.(Number(before.size));
    return known.sha256;
  }
  const sha256 = await hashFile(place, options);
  const after = await stat(place, { bigint: true });
  const isSettled = Date.now() - Number(after.ctimeNs / 1_000_000n) > SETTLED_MS;
  if (isSettled && isSame(identityOf(after), identity))
    await keep(cache, { file: place, identity, sha256 }).catch(() => undefined);
  return sha256;
}

/** The newest first. Two processes may write at once: one of them hashes again then. */
async function keep(cache: string, entry: Entry): Promise<void> {
  const others = (await readEntries(cache)).filter(({ file }) => file !== entry.file);
  await makePrivateFolder(path.dirname(cache));
  await writeJson(cache, [entry, ...others].slice(0, MAX_FILES));
}

/** Invalid entries are ignored. */
async function readEntries(cache: string): Promise<readonly Entry[]> {
  const limits = { maxBytes: MAX_BYTES, links: 'refused' } as const;
  const value: unknown = await readTextFile(cache, limits)
    .then(JSON.parse)
    .catch(() => null);
  return Array.isArray(value) ? value.filter(isEntry) : [];
}

function isEntry(value: unknown): value is Entry {
  const { file, identity, sha256 } = (value ?? {}) as Partial<Record<keyof Entry, unknown>>;
  return (
    typeof file === 'string' &&
    Array.isArray(identity) &&
    identity.length === 4 &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256)
  );
}
