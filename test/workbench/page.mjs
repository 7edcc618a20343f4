// What the tests of the workbench share: waiting, and the extension as a package.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { root } from './workspace.mjs';

/** Looks again until there is something to see. */
export async function until(look, what, seconds = 90) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  throw new Error(`waited ${seconds} s for ${what}`);
}

export function packageVsix() {
  for (const name of readdirSync(root).filter((file) => file.endsWith('.vsix'))) rmSync(path.join(root, name));
  const { status, stderr } = spawnSync(process.execPath, [path.join(root, 'scripts', 'package.mjs')], { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return path.join(root, readdirSync(root).find((file) => file.endsWith('.vsix')));
}
