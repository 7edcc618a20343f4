import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { changedFiles, filesIn, keepChanges } from '../../../../src/host/git/changes';
import { commitUrl } from '../../../../src/host/git/commitUrl';
import { repeatCommand } from '../../../../src/host/git/repeatCommand';

const COMMIT = 'a'.repeat(40);

it('finds the page of a commit on the server of its repository', () => {
  const page = `https://git.example/team/words/commit/${COMMIT}`;
  for (const remote of [
    'https://git.example/team/words.git',
    'https://user:secret@git.example/team/words/',
    'ssh://git@git.example:22/team/words.git',
    'git@git.example:team/words.git',
  ])
    expect(commitUrl(remote, COMMIT)).toBe(page);
  for (const remote of [
    '/srv/words.git',
    'file:///srv/words',
    '../words',
    'https://git.example/a b',
    'C:/w',
  ])
    expect(commitUrl(remote, COMMIT)).toBeNull();
  expect(commitUrl('https://git.example/words', '../x')).toBeNull();
});

it('counts each file of a diff once, also one that is changed in the index and again', async () => {
  const diff = 'diff --git a/x b/x\n+1\ndiff --git a/y b/y\n+2\ndiff --git a/x b/x\n+3\n';
  expect(filesIn(diff)).toBe(2);
  const dir = mkdtempSync(path.join(tmpdir(), 'changes-'));
  expect(await changedFiles(dir)).toBeNull();
  await keepChanges(dir, () => Promise.resolve(''));
  expect(await changedFiles(dir)).toBeNull();
  await keepChanges(dir, () => Promise.resolve(diff));
  expect(await changedFiles(dir)).toBe(2);
  // a resumed run keeps what it was started with
  await keepChanges(dir, () => Promise.resolve('diff --git a/z b/z\n'));
  expect(await changedFiles(dir)).toBe(2);
});

it('quotes the folder of a run in the command that repeats it', () => {
  expect(repeatCommand('/w/.lora/runs/a')).toBe('lora train --repeat /w/.lora/runs/a');
  expect(repeatCommand('/my w/runs/a')).toContain("'/my w/runs/a'");
});
