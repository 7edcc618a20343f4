import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { clearUnfinished } from '../../../src/common/unfinished';
import { temp } from '../../support/temp';

it('removes what killed jobs left of the same output, and nothing else', async () => {
  const { pid: dead } = spawnSync(process.execPath, ['--version']);
  const folder = temp();
  for (const name of [`a.gguf.${dead}.tmp`, `b.gguf.${dead}.tmp`, `a.gguf.${process.pid}.tmp`])
    mkdirSync(path.join(folder, name));
  for (const name of [
    'a.gguf',
    `.a.gguf.1f2e.${dead}.tmp`,
    `.axgguf.1f2e.${dead}.tmp`,
    'a.gguf.tmp',
  ])
    writeFileSync(path.join(folder, name), '');
  await clearUnfinished(path.join(folder, 'a.gguf'));
  expect(readdirSync(folder).sort()).toEqual(
    [
      `.axgguf.1f2e.${dead}.tmp`,
      'a.gguf',
      `a.gguf.${process.pid}.tmp`,
      'a.gguf.tmp',
      `b.gguf.${dead}.tmp`,
    ].sort(),
  );
});
