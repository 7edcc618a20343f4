import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readRun } from '../../../../src/host/runs/readRun';
import { collectRun } from '../../../../src/host/runs/run';
import { NO_NOTES, parseTags, readNotes, writeNotes } from '../../../../src/host/runs/runNotes';
import { putRun, recordOf } from '../../../support/runRecords';
import { temp } from '../../../support/temp';

describe('the notes of a run', () => {
  it('are stored in its folder, and set its name', async () => {
    const dir = await putRun(path.join(temp(), 'r1'), { 'run.json': recordOf() });
    expect(await readNotes(dir)).toEqual(NO_NOTES);
    await writeNotes(dir, { name: 'the good one', tags: ['small'], note: 'with fewer rows' });
    const run = collectRun(await readRun(dir, Date.now()), null);
    expect(run).toMatchObject({ name: 'the good one', notes: { tags: ['small'] } });
    expect(JSON.parse(await readFile(path.join(dir, 'run.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(recordOf())),
    );
  });

  it.each(['', '{"name":', '[]', '{"tags":"x"}', 'x'.repeat(100_000)])(
    'are ignored when they cannot be read',
    async (text) => {
      const dir = await putRun(path.join(temp(), 'r1'), {
        'run.json': recordOf(),
        'notes.json': text,
      });
      expect(collectRun(await readRun(dir, Date.now()), null)).toMatchObject({
        name: 'git',
        state: 'completed',
        notes: NO_NOTES,
      });
    },
  );

  it('are refused when they cannot be written', async () => {
    await expect(writeNotes(path.join(temp(), 'missing'), NO_NOTES)).rejects.toMatchObject({
      area: 'disk',
    });
  });

  it('contain the typed tags without duplicates', () => {
    expect(parseTags(' small, git small,,x ')).toEqual(['small', 'git', 'x']);
  });
});
