import { createHash } from 'node:crypto';
import path from 'node:path';
import { readHead } from '../../common/regularFile';
import { refuseLinks } from '../../common/withoutLinks';
import type { CodeFile } from '../../data/code/codeRows';
import { languageOf } from '../../data/code/languages';
import { leftOutByName, MOST_FILE_BYTES, textOfFile, type ReadText } from '../../data/code/leftOut';
import { secretFile, secretsIn } from '../../data/code/secrets';
import { Groups } from '../../data/quality/groups';
import { NearDuplicates } from '../../data/quality/nearDuplicates';
import type { LeftOut, SecretPlace } from '../../shared/preparedRepository';
import { createRandom, shuffle } from '../../shared/random';
import type { TrackedFile } from './trackedFiles';

/** The most files that are read, and bytes of them. */
const MOST_FILES = 50_000;
const MOST_BYTES = 2 ** 28;

/** The files of a repository that can be trained on, and what was left out. */
export interface Sources {
  /** In an order of chance. */
  readonly files: readonly { readonly path: string; readonly hash: string }[];
  /** Files that resemble each other. */
  readonly groups: Groups;
  readonly leftOut: ReadonlyMap<LeftOut, number>;
  readonly secrets: readonly SecretPlace[];
}

interface ReadSettings {
  readonly folder: string;
  /** Ids; empty: all. */
  readonly languages: readonly string[];
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number) => void;
}

/** Reads the files once, to choose among them. No link is followed. */
export async function readSources(
  tracked: readonly TrackedFile[],
  settings: ReadSettings,
): Promise<Sources> {
  const { folder, seed, signal, onProgress } = settings;
  const leftOut = new Map<LeftOut, number>();
  const leave = (why: LeftOut) => leftOut.set(why, (leftOut.get(why) ?? 0) + 1);
  const secrets: SecretPlace[] = [];
  const chosen = shuffle(tracked, createRandom(seed, 'files')).filter((file) => {
    const kind = secretFile(file.path);
    if (kind !== null) secrets.push({ file: file.path, line: 1, kind });
    const why = kind === null ? leftOutEntry(file, settings.languages) : 'secret';
    if (why !== null) leave(why);
    return why === null;
  });
  const files = new Map<string, { readonly path: string; readonly hash: string }>();
  const near = new NearDuplicates();
  let bytes = 0;
  for (const [i, file] of chosen.entries()) {
    signal.throwIfAborted();
    onProgress((0.9 * i) / chosen.length);
    if (files.size >= MOST_FILES || bytes >= MOST_BYTES) {
      leave('beyond');
      continue;
    }
    const read = await readSource(folder, file.path);
    const hash = read.kind === 'text' ? hashOf(read.text) : '';
    const found = read.kind === 'text' ? secretsIn(read.text) : [];
    secrets.push(...found.map((secret) => ({ file: file.path, ...secret })));
    if (read.kind === 'leftOut') leave(read.why);
    else if (found.length > 0) leave('secret');
    else if (files.has(hash)) leave('duplicate');
    else {
      files.set(hash, { path: file.path, hash });
      near.add(read.text);
      bytes += read.text.length;
    }
  }
  const groups = new Groups(files.size);
  await near.search(
    ({ row, like }) => groups.join(row, like),
    (done) => {
      signal.throwIfAborted();
      onProgress(0.9 + 0.1 * done);
      return Promise.resolve();
    },
  );
  return { files: [...files.values()], groups, leftOut, secrets };
}

function leftOutEntry(
  { path: name, kind, isIgnored }: TrackedFile,
  languages: readonly string[],
): LeftOut | null {
  if (kind !== 'file') return kind;
  if (isIgnored) return 'ignored';
  const byName = leftOutByName(name);
  if (byName !== null) return byName;
  const language = languageOf(name);
  const isChosen = language && (languages.length === 0 || languages.includes(language.id));
  return isChosen ? null : 'other';
}

/** The text of a file of the folder. */
async function readSource(folder: string, name: string): Promise<ReadText> {
  const file = path.join(folder, ...name.split('/'));
  try {
    await refuseLinks(file, folder);
    // one byte more tells that it is larger
    return textOfFile(await readHead(file, MOST_FILE_BYTES + 1, 'refused'));
  } catch {
    return { kind: 'leftOut', why: 'unreadable' };
  }
}

/** A file that was chosen, if it is still the same. */
export async function sourceAgain(
  folder: string,
  { path: name, hash }: Sources['files'][number],
): Promise<CodeFile | null> {
  const read = await readSource(folder, name);
  return read.kind === 'text' && hashOf(read.text) === hash
    ? { path: name, text: read.text }
    : null;
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64');
