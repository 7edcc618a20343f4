import { readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { changedFile, recordFiles } from '../../support/verified.mjs';
import { temp } from '../../support/temp';

const FILES = ['a.node', 'b.node'];

/** A folder with recorded files. */
function recorded(): string {
  const folder = temp();
  for (const file of FILES) writeFileSync(path.join(folder, file), file);
  recordFiles(folder, FILES);
  return folder;
}

it('programs of the cache are used while they are what was installed', () => {
  const folder = recorded();
  expect(changedFile(folder, FILES)).toBeNull();
  if (process.platform !== 'win32') expect(statSync(folder).mode & 0o777).toBe(0o700);
});

it.each<readonly [string, (folder: string) => void, string]>([
  ['have other bytes', (folder) => writeFileSync(path.join(folder, 'b.node'), 'planted'), 'b.node'],
  ['are missing', (folder) => rmSync(path.join(folder, 'b.node')), 'b.node'],
  ['have no record', (folder) => rmSync(path.join(folder, 'verified.json')), 'a.node'],
  ['have a damaged record', (folder) => writeFileSync(recordOf(folder), '{'), 'a.node'],
  ['are not in the record', (folder) => writeFileSync(recordOf(folder), '{}'), 'a.node'],
  [
    'are links',
    (folder) => {
      renameSync(path.join(folder, 'b.node'), path.join(folder, 'c.node'));
      symlinkSync(path.join(folder, 'c.node'), path.join(folder, 'b.node'));
    },
    'b.node',
  ],
])('programs of the cache are not used if they %s', (_, change, file) => {
  const folder = recorded();
  change(folder);
  expect(changedFile(folder, FILES)).toBe(file);
});

const recordOf = (folder: string) => path.join(folder, 'verified.json');

it('what the tests install from npm has a checksum for each package', () => {
  for (const name of ['workbench', 'recording']) {
    const file = path.resolve('test/workbench/packages', name, 'package-lock.json');
    const { packages } = JSON.parse(readFileSync(file, 'utf8')) as {
      readonly packages: Readonly<Record<string, { readonly integrity?: string; inBundle?: true }>>;
    };
    const installed = Object.entries(packages).filter(([place]) => place !== '');
    expect(installed.length).toBeGreaterThan(0);
    for (const [place, { integrity, inBundle }] of installed)
      expect([place, inBundle ?? /^sha512-/.test(integrity ?? '')]).toEqual([place, true]);
  }
});
