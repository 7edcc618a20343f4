import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { programPath } from '../../scripts/programs.mjs';
import {
  cli,
  editJson,
  makeRecipe,
  recordOf,
  stepsOf,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';

const DATASET = `it's "$(touch injected)" \`x\`.jsonl`;

describe('an exported job', () => {
  it.skipIf(process.platform === 'win32')(
    'trains with what is in its folder, as its recipe does here, and continues',
    async () => {
      const recipe = makeRecipe();
      const place = path.dirname(recipe);
      renameSync(path.join(place, 'data.jsonl'), path.join(place, DATASET));
      editJson(recipe, { dataset: DATASET });
      const output = path.join(tempFolder(), `a "b" $(touch injected) it's`);
      const { code, stdout, stderr } = await cli(
        ...['targets', 'export', recipe, '--as', 'kuberay', '--output', output, '--json'],
      );
      expect(code, stderr).toBe(0);
      const { job } = JSON.parse(stdout.trim().split('\n').at(-1)!) as { job: string };
      const here = await train(recipe);
      // nothing but the folder is there
      const elsewhere = path.join(tempFolder(), path.basename(output));
      renameSync(output, elsewhere);
      const cwd = tempFolder();
      const run = () =>
        execFileSync(programPath('sh'), [path.join(elsewhere, 'run.sh')], { cwd, stdio: 'pipe' });
      run();
      const there = path.join(elsewhere, 'jobs', job, 'run');
      expect(weightsOf(there)).toEqual(weightsOf(here));
      expect(recordOf(there).state).toBe('completed');

      // as it is when the machine was lost after the last checkpoint
      editJson(path.join(there, 'run.json'), { state: 'running', ended: null });
      run();
      expect(readFileSync(path.join(there, 'metrics.jsonl'), 'utf8')).toContain('"kind":"resume"');
      expect(stepsOf(there).at(-1)!.step).toBe(12);
      expect(weightsOf(there)).toEqual(weightsOf(here));
      for (const folder of [cwd, elsewhere, place, path.join(elsewhere, 'jobs', job)])
        expect(existsSync(path.join(folder, 'injected'))).toBe(false);
    },
  );

  it('is refused as its training would be, and needs --as', async () => {
    const output = path.join(tempFolder(), 'out');
    const faulty = makeRecipe({}, [{ nothing: 1 }]);
    const refused = await cli(
      ...['targets', 'export', faulty, '--as', 'skypilot', '--output', output],
    );
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/data\.jsonl:1/);
    expect(existsSync(output)).toBe(false);
    const without = await cli('targets', 'export', faulty, '--output', output);
    expect(without.code).toBe(2);
    expect(without.stderr).toMatch(/--output needs --as\./);
  });
});
