import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { clearLeftovers } from '../../../../src/engine/run/leftovers';
import { temp } from '../../../support/temp';

it('removes the incomplete files of a killed engine, and restores those it was replacing', async () => {
  const dir = temp();
  for (const name of [
    'checkpoints/step-3.77.tmp',
    'checkpoints/step-2',
    'best.77.old',
    'best.77.tmp',
    'adapter',
    'adapter.77.old',
  ]) {
    mkdirSync(path.join(dir, name), { recursive: true });
    writeFileSync(path.join(dir, name, 'file'), name);
  }
  for (const name of ['.run.json.77.tmp', 'run.json', 'notes.tmp'])
    writeFileSync(path.join(dir, name), name);
  await clearLeftovers(dir);
  expect(readdirSync(dir, { recursive: true }).map(String).sort()).toEqual(
    [
      'adapter',
      'adapter/file',
      'best',
      'best/file',
      'checkpoints',
      'checkpoints/step-2',
      'checkpoints/step-2/file',
      'notes.tmp',
      'run.json',
    ].map((name) => path.normalize(name)),
  );
  expect(readFileSync(path.join(dir, 'best/file'), 'utf8')).toBe('best.77.old');
  expect(readFileSync(path.join(dir, 'adapter/file'), 'utf8')).toBe('adapter');
});
