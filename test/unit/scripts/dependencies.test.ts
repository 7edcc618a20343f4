import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { temp } from '../../support/temp';

it('does not let npm empty a folder that node_modules is a link to', async () => {
  const root = temp();
  mkdirSync(path.join(root, 'scripts'));
  for (const name of ['dependencies.mjs', 'programs.mjs'])
    copyFileSync(path.resolve('scripts', name), path.join(root, 'scripts', name));
  writeFileSync(path.join(root, 'package-lock.json'), '{}');
  const shared = temp();
  writeFileSync(path.join(shared, 'kept'), '');
  symlinkSync(shared, path.join(root, 'node_modules'), 'junction');
  const file = pathToFileURL(path.join(root, 'scripts', 'dependencies.mjs')).href;
  const { installDependencies } = (await import(file)) as {
    readonly installDependencies: () => boolean;
  };
  expect(installDependencies).toThrow('node_modules is a link and out of date');
  expect(existsSync(path.join(shared, 'kept'))).toBe(true);
});
