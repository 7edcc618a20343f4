import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  chats,
  cli,
  makeRecipe,
  recordOf,
  startCli,
  stepsOf,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';

const dataOf = (recipe: string) => path.join(path.dirname(recipe), 'data.jsonl');

describe('rows with errors', () => {
  it('are left out with skip_faulty_rows: counted, listed, and without effect on the weights', async () => {
    const rows = chats();
    const recipe = makeRecipe({ top: { skip_faulty_rows: true } }, rows);
    const lines = readFileSync(dataOf(recipe), 'utf8').split('\n');
    lines.splice(2, 0, '{"text": "torn', '{"text": "a", "text": "b"}');
    writeFileSync(dataOf(recipe), lines.join('\n'));
    const skipping = await train(recipe, /2 rows with errors are left out \(skip_faulty_rows\)/);
    const plain = await train(makeRecipe({}, rows));
    expect(weightsOf(skipping).equals(weightsOf(plain))).toBe(true);
    expect(recordOf(skipping).data).toMatchObject({ skipped_rows: 2 });
    const listed = readFileSync(path.join(skipping, 'skipped_rows.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(listed.map((line) => (JSON.parse(line) as { line: number }).line)).toEqual([3, 4]);
    expect(existsSync(path.join(plain, 'skipped_rows.jsonl'))).toBe(false);
    const check = await cli('check', recipe);
    expect([check.code, check.stdout]).toEqual([
      0,
      expect.stringContaining('2 rows with errors left out'),
    ]);
  });

  it('are printed up to the twentieth, and counted by kind', async () => {
    const recipe = makeRecipe();
    writeFileSync(dataOf(recipe), '{"text": "good"}\n{"text": 3}\n{"txt": "a"}\n'.repeat(300));
    const { code, stdout } = await cli('check', recipe);
    expect(code).toBe(1);
    expect(stdout.match(/error: /g)).toHaveLength(20);
    expect(stdout).toMatch(/290 x "text" must be text, not a number\./);
    expect(stdout).toMatch(/290 x "txt" is not a known key; did you mean "text"\?/);
    expect(stdout.split('\n').length).toBeLessThan(60);
  });
});

it('a file of another kind is named once by check, inspect and train', async () => {
  const recipe = makeRecipe();
  writeFileSync(dataOf(recipe), `prompt,completion\n${'a,b\n'.repeat(20_000)}`);
  const runDir = path.join(tempFolder(), 'run');
  for (const args of [
    ['check', recipe],
    ['inspect', dataOf(recipe)],
    ['train', recipe, '--run-dir', runDir],
  ]) {
    const { code, stdout, stderr } = await cli(...args);
    expect([code, (stdout + stderr).match(/is a CSV file, not JSON Lines/g)?.length]).toEqual([
      1, 1,
    ]);
    expect((stdout + stderr).split('\n').length).toBeLessThan(8);
  }
});

describe('a very long row', () => {
  const recipe = makeRecipe({ top: { validation_split: 0 } });
  const text = 'Старая мельница стояла у реки. 那座老磨坊。 '.repeat(220_000);
  writeFileSync(dataOf(recipe), `${JSON.stringify({ text })}\n`);
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const secondsOfStop = async (...args: readonly string[]) => {
    const { child, end } = startCli(args);
    await wait(2_500);
    const started = performance.now();
    child.kill('SIGINT');
    const { stdout } = await end;
    return { seconds: (performance.now() - started) / 1000, stdout };
  };

  it('does not keep check from being ended at once', async () => {
    const { seconds, stdout } = await secondsOfStop('check', recipe);
    expect(seconds).toBeLessThan(2);
    expect(stdout).toBe('');
  });

  it('does not keep a training from being stopped', async () => {
    const runDir = path.join(tempFolder(), 'run');
    const { seconds } = await secondsOfStop('train', recipe, '--run-dir', runDir);
    expect(seconds).toBeLessThan(4);
    expect(recordOf(runDir)).toMatchObject({
      state: 'stopped',
      result: { steps: 0, adapter: null },
    });
  });
});

it('a dataset that changes while its run trains is noticed, and the run goes on', async () => {
  const recipe = makeRecipe({ training: { max_steps: 40, save_steps: 5 } });
  const plain = await train(recipe);
  const runDir = path.join(tempFolder(), 'run');
  const { child, end } = startCli(['train', recipe, '--run-dir', runDir, '--json']);
  child.stdout!.on('data', (text: string) => {
    if (text.includes('"kind":"step"')) writeFileSync(dataOf(recipe), '{"text": "another"}\n');
  });
  const { code, stderr } = await end;
  expect(code).toBe(0);
  expect(stderr.match(/data\.jsonl has changed since the run read it/g)).toHaveLength(1);
  const lossesOf = (run: string) => stepsOf(run).map(({ loss }) => loss);
  expect(lossesOf(runDir)).toEqual(lossesOf(plain));
});
