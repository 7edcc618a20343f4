import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { thisMachine } from '../../../../src/common/processIdentity';
import { newRecord } from '../../../../src/engine/run/runFolder';
import { readFoundRun, type FoundRun } from '../../../../src/engine/sweep/foundRuns';
import { endLeftRuns } from '../../../../src/engine/tune/leftRuns';
import { checkRecipe } from '../../../../src/shared/recipeFile';

/** A run whose engine, this process, does not end; and a command that cannot stop it. */
async function leftRun(): Promise<{ readonly run: FoundRun; readonly cli: string }> {
  const dir = mkdtempSync(path.join(tmpdir(), 'lora-left-'));
  const { recipe } = checkRecipe(
    '{"base": "b", "dataset": "d.jsonl"}',
    path.join(dir, 'lora.json'),
  );
  const record = newRecord(dir, {
    ...{ recipe: recipe!, recipe_path: null, extension: '0', git_commit: null },
  });
  const now = new Date().toISOString();
  const engine = {
    pid: process.pid,
    machine: thisMachine(),
    pipe: '',
    started: now,
    heartbeat: now,
  };
  const cli = path.join(dir, 'cli.cjs');
  writeFileSync(path.join(dir, 'run.json'), JSON.stringify({ ...record, state: 'running' }));
  writeFileSync(path.join(dir, 'engine.json'), JSON.stringify(engine));
  writeFileSync(cli, 'process.exit(1);');
  return { run: (await readFoundRun(dir))!, cli };
}

describe('a run that a tune has left', () => {
  it('which does not end is named after a time', async () => {
    const { run, cli } = await leftRun();
    const { signal } = new AbortController();
    await expect(endLeftRuns([run], { cli, signal, ends_ms: 1 })).rejects.toMatchObject({
      area: 'run',
      place: { file: run.dir },
    });
  });

  it('is not waited for by a tune that is stopped', async () => {
    const { run, cli } = await leftRun();
    await endLeftRuns([run], { cli, signal: AbortSignal.timeout(1) });
  });

  it('is not asked when it has ended', async () => {
    const { run } = await leftRun();
    const { signal } = new AbortController();
    await endLeftRuns([{ ...run, state: 'completed' }], { cli: 'none', signal });
  });
});
