import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitCommit, isRefName } from '../../../../src/engine/run/gitCommit';
import { temp } from '../../../support/temp';
import { programPath } from '../../../../scripts/programs.mjs';

const COMMIT = 'a'.repeat(40);
const SECRET = 'c'.repeat(40);

/** A folder with .git/HEAD and other files of .git. */
function repository(head: string, files: Readonly<Record<string, string>> = {}): string {
  const folder = path.join(temp(), 'outer', 'project');
  for (const [name, text] of Object.entries({ HEAD: head, ...files })) {
    const file = path.join(folder, '.git', name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return folder;
}

const git = (cwd: string, ...args: string[]) =>
  execFileSync(programPath('git'), ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
    cwd,
    encoding: 'utf8',
  }).trim();

describe('the commit of a repository', () => {
  it('is the one that HEAD or its branch names, loose or packed', async () => {
    expect(await gitCommit(repository(`${COMMIT}\n`))).toBe(COMMIT);
    const dir = repository('ref: refs/heads/main\n');
    expect(await gitCommit(dir)).toBeNull();
    writeFileSync(path.join(dir, '.git/packed-refs'), `# pack-refs\n${COMMIT} refs/heads/main\n`);
    expect(await gitCommit(path.join(dir, 'data', 'deeper'))).toBe(COMMIT);
    mkdirSync(path.join(dir, '.git/refs/heads'), { recursive: true });
    writeFileSync(path.join(dir, '.git/refs/heads/main'), `${'b'.repeat(64)}\n`);
    expect(await gitCommit(dir)).toBe('b'.repeat(64));
  });

  it('is what git says, of a branch with any name', async () => {
    const dir = temp();
    git(dir, 'init', '-q', '-b', 'feature/ü+#1@x');
    git(dir, 'commit', '-q', '--allow-empty', '-m', 'a');
    const commit = git(dir, 'rev-parse', 'HEAD');
    expect(await gitCommit(dir)).toBe(commit);
    git(dir, 'pack-refs', '--all');
    expect(await gitCommit(dir)).toBe(commit);
    git(dir, 'worktree', 'add', '-q', path.join(dir, 'tree'));
    expect(await gitCommit(path.join(dir, 'tree'))).toBeNull();
  });

  it.each([
    'ref: ../../secret',
    'ref: refs/../../../secret',
    'ref: refs/heads/../../../../secret',
    'ref: /etc/hostname',
    'ref: refs/heads/main.lock',
    'ref: HEAD',
    'ref: config',
    'ref: refs/heads/',
    `${COMMIT}0`,
    '',
  ])('is not read by the name %j', async (head) => {
    const dir = repository(head, { 'refs/heads/main.lock': SECRET, config: SECRET });
    writeFileSync(path.join(dir, 'secret'), SECRET);
    writeFileSync(path.join(dir, '..', 'secret'), SECRET);
    expect(await gitCommit(dir)).toBeNull();
  });

  it('is not read through links', async () => {
    const dir = repository('ref: refs/heads/main\n', { 'refs/heads/main': COMMIT });
    const secret = path.join(dir, 'secret');
    writeFileSync(secret, SECRET);
    const links = ['refs/heads/main', 'refs/heads', 'refs', 'HEAD', ''];
    for (const name of links) {
      const place = path.join(dir, '.git', name);
      const kept = path.join(dir, 'kept');
      renameSync(place, kept);
      symlinkSync(kept, place);
      expect([name, await gitCommit(dir)]).toEqual([name, null]);
      rmSync(place);
      renameSync(kept, place);
      expect([name, await gitCommit(dir)]).toEqual([name, COMMIT]);
    }
  });

  it('is not read from a folder that a .git file names', async () => {
    const dir = repository(COMMIT);
    const other = path.join(dir, 'worktree');
    mkdirSync(other);
    writeFileSync(path.join(other, '.git'), `gitdir: ${path.join(dir, '.git')}\n`);
    expect(await gitCommit(other)).toBeNull();
  });

  it.each(['HEAD', 'refs/heads/main', 'packed-refs'])(
    'is not read from a %s that is huge or a named pipe',
    async (name) => {
      const files = name === 'packed-refs' ? {} : { 'refs/heads/main': COMMIT };
      const dir = repository('ref: refs/heads/main\n', {
        ...files,
        'packed-refs': `${COMMIT} refs/heads/main\n`,
      });
      const file = path.join(dir, '.git', name);
      expect(await gitCommit(dir)).toBe(COMMIT);
      truncateSync(file, 2 ** 30);
      expect(await gitCommit(dir)).toBeNull();
      rmSync(file);
      if (process.platform === 'win32') return;
      execFileSync(programPath('mkfifo'), [file]);
      expect(await gitCommit(dir)).toBeNull();
    },
  );

  it.each([`refs ${COMMIT} refs/heads/main`, 'text refs/heads/main', `^${COMMIT} refs/heads/main`])(
    'is not the first word of the packed line %j',
    async (line) => {
      const dir = repository('ref: refs/heads/main', { 'packed-refs': `${line}\n` });
      expect(await gitCommit(dir)).toBeNull();
    },
  );
});

const NAMES = [
  ...['refs/heads/main', 'refs/heads/a/b', 'refs/heads/ü', 'refs/heads/a@b', 'refs/heads/-a'],
  ...['refs/heads/a{b', 'refs/heads/a.b', 'refs/heads/a;b', 'refs/heads/$(x)', 'refs/heads/.a'],
  ...['refs/heads/a.', 'refs/heads/a..b', 'refs/heads/a@{1}', 'refs/heads/a.lock/b', 'refs//a'],
  ...['refs/heads/a b', 'refs/heads/a~1', 'refs/heads/a^', 'refs/heads/a:b', 'refs/heads/a?'],
  ...['refs/heads/*', 'refs/heads/[a', 'refs/heads/a\\b', 'refs/heads/a\tb', 'refs/heads/\u007f'],
  ...['refs/heads/', '/refs/heads/a', 'refs/heads/.', 'refs/heads/..', 'refs/heads/a/./b'],
];

it.each(NAMES)('the name %j is allowed exactly where git allows it', (name) => {
  let isAllowed = true;
  try {
    git('.', 'check-ref-format', name);
  } catch {
    isAllowed = false;
  }
  expect(isRefName(name)).toBe(isAllowed);
});
