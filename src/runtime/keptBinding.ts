import { createHash } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { writeJson } from '../common/atomicWrite';
import { makePrivateFolder, keepPrivate } from '../common/privateFiles';
import { readRegularFile, readTextFile, type ReadLimits } from '../common/regularFile';

// The binding is native code that every run loads. What an earlier build has kept is used only if
// it is what that build compiled, of the same sources and by the same compiler.

/** A kept binding and its record. */
export interface BindingPlace {
  readonly folder: string;
  /** SHA-256 of everything that is compiled, and of how. */
  readonly sources: string;
}

const RecordSchema = v.object({ sources: v.string(), compiler: v.string(), sha256: v.string() });

/** A binding has a megabyte. */
const BINDING: ReadLimits = { maxBytes: 2 ** 27, links: 'refused' };
const RECORD: ReadLimits = { maxBytes: 2 ** 16, links: 'refused' };

const fileOf = ({ folder, sources }: BindingPlace) =>
  path.join(folder, `${sources.slice(0, 16)}.node`);
const recordOf = (place: BindingPlace) => `${fileOf(place)}.json`;

/**
 * The bytes of a kept binding; null when there is none, or another one than the record says.
 *
 * @param compiler Null: there is none now, and that of the record is not compared.
 */
export async function keptBinding(
  place: BindingPlace,
  compiler: string | null,
  log: (line: string) => void,
): Promise<Buffer | null> {
  const file = fileOf(place);
  if ((await lstat(file).catch(() => null)) === null) return null;
  const bytes = await readRegularFile(file, BINDING).catch(() => null);
  const record = await recordAt(recordOf(place));
  const isSame =
    bytes !== null &&
    record?.sha256 === sha256Of(bytes) &&
    record.sources === place.sources &&
    (compiler === null || record.compiler === compiler);
  if (isSame) return bytes;
  log(`${file} is not what was compiled of these sources, and is compiled again.`);
  return null;
}

const recordAt = async (file: string) => {
  try {
    return v.parse(RecordSchema, JSON.parse(await readTextFile(file, RECORD)));
  } catch {
    return null;
  }
};

/** Keeps a compiled binding in a folder that its user alone can enter. Gives its bytes. */
export async function keepBinding(
  place: BindingPlace,
  compiled: string,
  compiler: string,
): Promise<Buffer> {
  const bytes = await readRegularFile(compiled, BINDING);
  await makePrivateFolder(place.folder);
  await keepPrivate(place.folder);
  const temp = `${fileOf(place)}.${process.pid}.tmp`;
  await copyFile(compiled, temp);
  await chmod(temp, 0o700);
  await rename(temp, fileOf(place));
  await writeJson(recordOf(place), { sources: place.sources, compiler, sha256: sha256Of(bytes) });
  return bytes;
}

/** Writes a binding where the build expects it. Never leaves half a file. */
export async function putBytes(bytes: Buffer, target: string): Promise<void> {
  await mkdir(path.dirname(target), { recursive: true });
  const temp = `${target}.${process.pid}.tmp`;
  await writeFile(temp, bytes, { mode: 0o755 });
  await rename(temp, target);
}

const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
