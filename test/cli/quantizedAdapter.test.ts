import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { cliResult, inFixtures, newPath } from '../support/cliResults';
import { cli, makeRecipe, recordOf, resumedBefore, train, weightsOf } from '../support/commandLine';
import { expectParity, expectVerified, merge } from '../support/merges';
import { Served, settings } from '../support/served';
import { temp } from '../support/temp';

const BASE = inFixtures('llama-sharded', 'base');
const PROMPT = ['--prompt', settings.prompt, '--max-new-tokens', '8', '--base-dtype', 'float32'];

let served: Served | undefined;
afterEach(() => served?.end());

const textOf = async (...args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await cli('generate', ...args, ...PROMPT, '--json');
  expect([code, stderr]).toEqual([0, '']);
  return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { text: string }).text;
};

/** A dataset of one row. */
function evaluated(): string {
  const dataset = path.join(temp(), 'rows.jsonl');
  writeFileSync(dataset, '{"prompt":"the old","completion":"mill"}\n');
  return dataset;
}

it.each(['nf4', 'int8'])('an adapter trained on %s works everywhere', async (quantize) => {
  const base = BASE;
  const recipe = makeRecipe({
    top: { base, validation_split: 0 },
    lora: { r: 4, target_modules: 'all-linear' },
    training: { max_steps: 4, save_steps: 1, base_dtype: 'float32', learning_rate: 0.05, quantize },
  });
  const dir = await train(recipe);
  expect(recordOf(dir).step_plan).toMatchObject({ quantized: true, quantize });
  const resumed = await resumedBefore(dir, 3);
  expect(weightsOf(resumed).equals(weightsOf(dir))).toBe(true);

  const adapter = path.join(dir, 'adapter');
  const inspected = await cli('inspect', adapter, '--base', base, '--json');
  expect(JSON.parse(inspected.stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({
    format: 'peft',
  });
  const gguf = newPath('adapter.gguf');
  await cliResult('convert', { adapter, to: 'gguf', output: gguf, base });
  const same = await cli('compare', adapter, gguf, '--base', base, '--json');
  expect(JSON.parse(same.stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({ equal: true });

  const on = ['--base', base, '--quantize', quantize];
  const answer = await textOf(...on, '--adapter', adapter);
  expect(answer).not.toBe(await textOf(...on));
  expect(await textOf(...on, '--adapter', gguf)).toBe(answer);
  served = new Served(...on, '--adapter', adapter);
  await served.until(() => served!.events.find((event) => event.kind === 'ready'));
  expect(await served.ask(0)).toBe(answer);

  const rows = ['--dataset', evaluated(), ...on];
  const [plain, adapted] = await Promise.all([
    cli('evaluate', ...rows),
    cli('evaluate', ...rows, '--adapter', adapter),
  ]);
  expect([plain.code, adapted.code]).toEqual([0, 0]);
  expect(adapted.stdout).not.toBe(plain.stdout);

  const options = { output: newPath('merged'), dtype: 'float32', quantize };
  const merged = await merge(base, [adapter], options);
  expectParity(merged);
  await expectVerified(merged.output);
  expect(await textOf('--base', merged.output)).toBe(answer);
});
