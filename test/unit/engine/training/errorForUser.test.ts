import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { diskErrorForUser } from '../../../../src/engine/training/errorForUser';
import { LoraError } from '../../../../src/shared/errors';
import { temp } from '../../../support/temp';

/** An error of the worker thread: its cause arrives as text. */
const fromWorker = (cause: string) =>
  LoraError.deserialize(
    new LoraError('disk', 'x', {
      place: { file: '/run/checkpoints/step-1.12.tmp/a' },
      cause: new Error(cause),
    }).serialize(),
  );

it('a disk error says what to repair, and how to go on', async () => {
  const dir = temp();
  const full = await diskErrorForUser(fromWorker('ENOSPC: no space left on device, write'), dir);
  expect(full.fix).toBe('Free some disk space, then start the run again.');
  expect(full.place?.file).toBe('/run/checkpoints/step-1/a');
  writeFileSync(path.join(dir, 'run.json'), '{}');
  const readOnly = await diskErrorForUser(fromWorker('EROFS: read-only file system, open'), dir);
  expect(readOnly.fix).toBe(
    `Make the folder writable, then resume the run: lora train --resume ${dir}`,
  );
});
