import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { refuseLinks } from '../../common/withoutLinks';

// The repository may be untrusted: HEAD and refs are names of files to read.

/**
 * The current commit of a folder's repository, read from its .git folder; null without a
 * repository, where HEAD or its branch cannot be read, and in a worktree or submodule, whose .git
 * is a file that names another folder. Only regular files in .git are read, and no links followed.
 */
export async function gitCommit(folder: string): Promise<string | null> {
  for (let dir = path.resolve(folder); ; dir = path.dirname(dir)) {
    const git = path.join(dir, '.git');
    const found = await lstat(git).catch(() => null);
    if (found && !found.isDirectory()) return null;
    const head = found && (await gitText(git, 'HEAD', MAX_BYTES.smallRecord));
    if (head !== null) return typeof head === 'string' ? commitOf(git, head.trim()) : null;
    if (dir === path.dirname(dir)) return null;
  }
}

/** The commit that HEAD names: itself, or by a branch. */
async function commitOf(git: string, head: string): Promise<string | null> {
  if (isCommit(head)) return head;
  const ref = head.startsWith('ref: ') ? head.slice('ref: '.length) : '';
  if (!isRefName(ref)) return null;
  const loose = await gitText(git, ref, MAX_BYTES.smallRecord);
  if (loose === UNREADABLE) return null;
  if (loose !== null) return isCommit(loose.trim()) ? loose.trim() : null;
  const packed = await gitText(git, 'packed-refs', MAX_BYTES.runRecord);
  if (typeof packed !== 'string') return null;
  const line = packed.split('\n').find((own) => own.trimEnd().endsWith(` ${ref}`));
  const [commit = ''] = line?.split(' ') ?? [];
  return isCommit(commit) ? commit : null;
}

/** A file that is there, but that is no text of a repository. */
const UNREADABLE = Symbol('unreadable');

/** The text of a file in .git; null when it is missing. */
async function gitText(
  git: string,
  name: string,
  maxBytes: number,
): Promise<string | typeof UNREADABLE | null> {
  const file = path.join(git, name);
  try {
    await refuseLinks(file, git);
    return await readTextFile(file, { maxBytes, links: 'refused' });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return ['ENOENT', 'ENOTDIR'].includes(code) ? null : UNREADABLE;
  }
}

/** SHA-1 or SHA-256. */
const isCommit = (text: string) => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);

/** What has a meaning in revisions, patterns and paths. */
const FORBIDDEN = /[ ~^:?*[\\]|\.\.|@\{|\.$/;
const hasControls = (text: string) =>
  Buffer.from(text).some((byte) => byte < 0x20 || byte === 0x7f);

/** Whether git allows the name of a branch or tag (git check-ref-format). */
export function isRefName(name: string): boolean {
  const [first, ...others] = name.split('/');
  return (
    first === 'refs' &&
    others.length > 0 &&
    !FORBIDDEN.test(name) &&
    !hasControls(name) &&
    others.every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'))
  );
}
