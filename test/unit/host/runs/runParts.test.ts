import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { NO_NOTES } from '../../../../src/host/runs/runNotes';
import { partsOf } from '../../../../src/host/runs/runParts';
import { fullRecord, putRun, recordOf, summaryOf } from '../../../support/runRecords';
import { temp } from '../../../support/temp';

describe('the rows below a run', () => {
  it('are adapters, checkpoints from the newest on, samples, recipe and log', async () => {
    const dir = await putRun(path.join(temp(), 'r1'), {
      'run.json': recordOf(),
      'metrics.jsonl': '',
      'engine.log': '',
    });
    for (const name of [
      'adapter',
      'best',
      'checkpoints/step-9',
      'checkpoints/step-100',
      'checkpoints/.tmp',
    ])
      await mkdir(path.join(dir, name), { recursive: true });
    const parts = await partsOf(summaryOf({}, NO_NOTES, dir));
    expect(parts.map(({ label }) => label)).toEqual([
      'Adapter',
      'Best adapter',
      'Checkpoint at step 100',
      'Checkpoint at step 9',
      'Samples',
      'Recorded recipe',
      'Log',
    ]);
    expect(parts[2]?.adapter).toBe(path.join(dir, 'checkpoints/step-100'));
    expect(await partsOf(summaryOf({}, NO_NOTES, path.join(temp(), 'empty')))).toEqual([]);
  });

  it('are models, checkpoints and recipe for full fine-tuning', async () => {
    const dir = await putRun(path.join(temp(), 'r2'), { 'run.json': fullRecord() });
    for (const name of ['model', 'best', 'checkpoints/step-9'])
      await mkdir(path.join(dir, name), { recursive: true });
    const run = summaryOf(fullRecord(), NO_NOTES, dir);
    expect((await partsOf(run)).map(({ kind, label, adapter }) => [kind, label, adapter])).toEqual([
      ['model', 'Model', null],
      ['model', 'Best model', null],
      ['checkpoint', 'Checkpoint at step 9', null],
      ['recipe', 'Recorded recipe', null],
    ]);
  });
});
