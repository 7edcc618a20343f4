import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli, filesIn, makeRecipe, startCli, tempFolder } from '../support/commandLine';
import { runRecord } from '../support/runs';
import { programPath } from '../../scripts/programs.mjs';

const WHAT_STAYS = 'one\ntwo';

/** The folder of an interrupted run, in which a file is a link to one of the user's. */
function linkedRun(name: string): { readonly runDir: string; readonly victim: string } {
  const [runDir, elsewhere] = [tempFolder(), tempFolder()];
  const record = runRecord({ state: 'interrupted' });
  writeFileSync(path.join(runDir, 'run.json'), JSON.stringify(record));
  const victim = path.join(elsewhere, 'victim');
  if (name === 'checkpoints') mkdirSync(path.join(victim, 'step-1'), { recursive: true });
  else writeFileSync(victim, WHAT_STAYS);
  symlinkSync(victim, path.join(runDir, name));
  return { runDir, victim };
}

describe.skipIf(process.platform === 'win32')('the folder of a stranger', () => {
  it.each(['metrics.jsonl', 'engine.log', 'checkpoints'])(
    'is not resumed where %s is a link, and what it leads to stays',
    async (name) => {
      const { runDir, victim } = linkedRun(name);
      const { code, stderr } = await cli('train', '--resume', runDir);
      expect([code, stderr]).toEqual([1, expect.stringContaining(`${name} is a link`) as string]);
      if (name === 'checkpoints') expect(readdirSync(victim)).toEqual(['step-1']);
      else expect(readFileSync(victim, 'utf8')).toBe(WHAT_STAYS);
    },
  );

  it('is not read without end: a named pipe or a device is refused by name', async () => {
    const folder = tempFolder();
    const pipe = path.join(folder, 'pipe.jsonl');
    execFileSync(programPath('mkfifo'), [pipe]);
    symlinkSync('/dev/zero', path.join(folder, 'zero.gguf'));
    mkdirSync(path.join(folder, 'base'));
    execFileSync(programPath('mkfifo'), [path.join(folder, 'base/config.json')]);
    const refused = [
      [['train', pipe], 'it is a named pipe (FIFO)'],
      [['train', makeRecipe({ top: { dataset: pipe } })], 'is a named pipe (FIFO)'],
      [['inspect', path.join(folder, 'zero.gguf')], 'it is a device'],
      [['train', makeRecipe({ top: { base: path.join(folder, 'base') } })], 'config.json'],
    ] as const;
    for (const [args, reason] of refused) {
      const { code, stderr } = await cli(...args);
      expect([code, stderr]).toEqual([1, expect.stringContaining(reason) as string]);
    }
  });
});

describe.skipIf(process.platform === 'win32')('a new run', () => {
  const modesOf = async (isPrivate: '0' | '1') => {
    const runDir = path.join(tempFolder(), 'run');
    const args = ['train', makeRecipe({ training: { max_steps: 1 } }), '--run-dir', runDir];
    expect((await startCli(args, { LORA_RUNS_PRIVATE: isPrivate }).end).code).toBe(0);
    const names = ['.', ...filesIn(runDir)];
    return names.map((name) => statSync(path.join(runDir, name)).mode & 0o077);
  };

  it('is read by its user alone', async () => {
    expect(new Set(await modesOf('1'))).toEqual(new Set([0]));
  });

  it('is read by whom the umask allows where LORA_RUNS_PRIVATE is 0', async () => {
    const usual = path.join(tempFolder(), 'usual');
    mkdirSync(usual);
    expect((await modesOf('0'))[0]).toBe(statSync(usual).mode & 0o077);
  });
});
