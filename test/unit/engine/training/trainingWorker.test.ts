import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it, vi } from 'vitest';
import type { TrainJob } from '../../../../src/engine/training/messages';
import { TrainingWorker } from '../../../../src/engine/training/trainingWorker';

it('ends a worker once, however many of its events cannot be recorded', async () => {
  const script = path.join(mkdtempSync(path.join(tmpdir(), 'worker-')), 'worker.cjs');
  writeFileSync(
    script,
    `const { parentPort } = require('node:worker_threads');
     for (let i = 0; i < 20; i++) parentPort.postMessage({ kind: 'stopping' });
     setInterval(() => undefined, 1000);`,
  );
  const terminate = vi.spyOn(Worker.prototype, 'terminate');
  const ended = new TrainingWorker().run(script, {} as TrainJob, {
    onEvent: () => Promise.reject(new Error('The disk is full.')),
    onCrash: () => Promise.resolve(),
  });
  await expect(ended).rejects.toThrow('The disk is full.');
  expect(terminate).toHaveBeenCalledTimes(1);
  terminate.mockRestore();
});
