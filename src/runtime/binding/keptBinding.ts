import { createHash } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { replaceFile, writeJson } from '../../common/atomicWrite';
import { makePrivateFolder, keepPrivate } from '../../common/privateFiles';
import { readRegularFile, readTextFile, type ReadLimits } from '../../common/regularFile';

// The binding is native code that every run loads. What an earlier build has kept is used only if
// it is what that build compiled from the same sources.

/** Where a binding and its record are kept. */
export interface BindingPlace {
  readonly folder: string;
  /** SHA-256 of everything that is compiled, and of how. */
  readonly sources: string;
  /** Its files. */
  readonly names: readonly string[];
}

/** The bytes of a binding's files, by their names. */
export type BindingBytes = ReadonlyMap<string, Buffer>;

const RecordSchema = v.object({
  sources: v.string(),
  sha256: v.record(v.string(), v.string()),
});

/** A binding has a megabyte. */
const BINDING: ReadLimits = { maxBytes: 2 ** 27, links: 'refused' };
const RECORD: ReadLimits = { maxBytes: 2 ** 16, links: 'refused' };

const folderOf = ({ folder, sources }: BindingPlace) => path.join(folder, sources.slice(0, 16));
const recordOf = (place: BindingPlace) => `${folderOf(place)}.json`;

/** A kept binding; null when there is none, or another one than the record says. */
export async function keptBinding(
  place: BindingPlace,
  log: (line: string) => void,
): Promise<BindingBytes | null> {
  const folder = folderOf(place);
  if ((await lstat(folder).catch(() => null)) === null) return null;
  const record = await recordAt(recordOf(place));
  const files = await readFiles(folder, place.names).catch(() => null);
  const isSame =
    files !== null &&
    record?.sources === place.sources &&
    place.names.every((name) => record.sha256[name] === sha256Of(files.get(name)!));
  if (isSame) return files;
  log(`${folder} is not what was compiled from these sources, and is compiled again.`);
  return null;
}

const recordAt = async (file: string) => {
  try {
    return v.parse(RecordSchema, JSON.parse(await readTextFile(file, RECORD)));
  } catch {
    return null;
  }
};

async function readFiles(folder: string, names: readonly string[]): Promise<BindingBytes> {
  const files = new Map<string, Buffer>();
  for (const name of names)
    files.set(name, await readRegularFile(path.join(folder, name), BINDING));
  return files;
}

/** Keeps a compiled binding in a folder that its user alone can enter. */
export async function keepBinding(place: BindingPlace, compiled: string): Promise<BindingBytes> {
  const files = await readFiles(compiled, place.names);
  await makePrivateFolder(place.folder);
  await keepPrivate(place.folder);
  await putBinding(files, folderOf(place));
  const sha256 = Object.fromEntries([...files].map(([name, bytes]) => [name, sha256Of(bytes)]));
  await writeJson(recordOf(place), { sources: place.sources, sha256 });
  return files;
}

/** Writes a binding into a folder. Never leaves half a file. */
export async function putBinding(files: BindingBytes, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, bytes] of files)
    await replaceFile(path.join(folder, name), (handle) => handle.writeFile(bytes));
}

const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
