import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvalLine } from '../../src/shared/metrics/lines';
import {
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  resumedBefore,
  stepsOf,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { adapterGap } from '../support/models';
import {
  preferenceFolder,
  readTrajectory,
  settingsOf,
  type FixtureRow,
} from '../support/preferences';

/** A row of the fixtures as a line of a dataset. */
const rowOf = (row: FixtureRow): object =>
  Object.fromEntries(Object.entries(row).filter(([key]) => key !== 'KL_completion_ids'));

/** A recipe that repeats a trajectory of TRL from its starting adapter. */
function trajectoryRecipe(name: string, change: object = {}): string {
  const { method, settings, batches } = readTrajectory(name);
  return makeRecipe(
    {
      top: {
        validation_split: 0,
        objective: settingsOf(method, settings),
        ...(method === 'reward' && { task: 'reward' }),
      },
      lora: { init_adapter: preferenceFolder(name, 'start') },
      training: {
        learning_rate: 2e-3,
        lr_scheduler_type: 'constant',
        warmup_ratio: 0,
        weight_decay: 0.01,
        max_grad_norm: 1,
        max_steps: 10,
        per_device_train_batch_size: batches[0]!.length,
        shuffle: false,
        save_steps: 5,
        ...change,
      },
    },
    batches.flat().map(rowOf),
  );
}

describe.each(['dpo-sigmoid', 'dpo-ipo', 'orpo', 'kto', 'simpo', 'reward'])('%s', (name) => {
  it("trains from a recipe as TRL does, and resumes to the same bytes, also without the run's references", async () => {
    const runDir = await train(trajectoryRecipe(name), /adapter was made for/);
    const { records } = readTrajectory(name);
    for (const [i, step] of stepsOf(runDir).entries()) {
      const want = records[i]!;
      expect(Math.abs(step.loss - want.loss)).toBeLessThanOrEqual(1e-4 * Math.max(1, want.loss));
      expect(Math.abs(step.grad_norm - want.grad_norm)).toBeLessThanOrEqual(1e-3 * want.grad_norm);
      const margin = want['rewards/margins'] ?? want['margin']!;
      expect(Math.abs(step.reward_margin! - margin)).toBeLessThanOrEqual(
        1e-4 * Math.max(1, Math.abs(margin)),
      );
      if (name === 'kto') expect(Math.abs(step.kl! - want['kl']!)).toBeLessThanOrEqual(1e-4);
    }
    const { adapter } = await readPeftAdapter(path.join(runDir, 'adapter'));
    const final = await readPeftAdapter(preferenceFolder(name, 'final'));
    expect(adapterGap(adapter, final.adapter)).toBeLessThanOrEqual(1e-4);
    const resumed = await resumedBefore(runDir, 10);
    expect(weightsOf(resumed).equals(weightsOf(runDir))).toBe(true);
    const kept = path.join(resumed, 'references.safetensors');
    rmSync(kept, { force: true });
    const again = await resumedBefore(resumed, 10);
    expect(weightsOf(again).equals(weightsOf(runDir))).toBe(true);
  });
});

const pairs = (count = 12): object[] =>
  Array.from({ length: count }, (_, i) => ({
    prompt: [{ role: 'user', content: `say ${i}` }],
    chosen: [{ role: 'assistant', content: `yes ${i}` }],
    rejected: [{ role: 'assistant', content: `never mind ${i}` }],
  }));

const DPO = { top: { objective: { method: 'dpo' } } };

it.each([
  ['DoRA', { lora: { use_dora: true } }],
  ['rsLoRA and dropout', { lora: { use_rslora: true, lora_dropout: 0.2 } }],
  ['an adapted output layer', { lora: { target_modules: ['q_proj', 'embed_tokens'] } }],
  ['gradient checkpointing', { training: { gradient_checkpointing: true } }],
  ['gradient accumulation', { training: { gradient_accumulation_steps: 2 } }],
  ['full fine-tuning', { training: { method: 'full', learning_rate: 1e-3 } }],
  ['bf16', { training: { base_dtype: 'bfloat16' } }],
])('dpo with %s learns to prefer, and resumes to the same bytes', async (name, change) => {
  const { lora = {}, training = {} } = change as { lora?: object; training?: object };
  const recipe = makeRecipe(
    {
      ...DPO,
      lora: { r: 4, ...lora },
      training: { learning_rate: 1e-2, max_steps: 12, save_steps: 6, eval_steps: 6, ...training },
    },
    pairs(),
  );
  const runDir = await train(recipe);
  const evals = metricsOf(runDir).filter((line): line is EvalLine => line.kind === 'eval');
  expect(evals[0]!.loss).toBeCloseTo(Math.LN2, name === 'bf16' ? 2 : 5);
  expect(evals.at(-1)!.loss).toBeLessThan(evals[0]!.loss);
  expect(evals.at(-1)!.scores!.reward_margin).toBeGreaterThan(0);
  expect(stepsOf(runDir).at(-1)!.reward_accuracy).toBe(1);
  const product = name === 'full fine-tuning' ? 'model' : 'adapter';
  const file =
    product === 'model' ? 'model/model.safetensors' : 'adapter/adapter_model.safetensors';
  const bytes = (dir: string) => readFileSync(path.join(dir, file));
  const resumed = await resumedBefore(runDir, 12, product);
  expect(bytes(resumed).equals(bytes(runDir))).toBe(true);
});

it('refuses what cannot be compared, by row, before the start', async () => {
  const recipe = makeRecipe(DPO, [
    ...pairs(4),
    { prompt: 'a', chosen: 'same', rejected: 'same' },
    { prompt: 'a', chosen: 'b', rejected: ' ' },
    { prompt: 'long '.repeat(60), chosen: 'b', rejected: 'c' },
  ]);
  const { code, stdout } = await cli('check', recipe);
  expect(code).toBe(1);
  expect(stdout).toMatch(/:5.*"chosen" and "rejected" are the same/);
  expect(stdout).toMatch(/:6.*"rejected" is empty/);
  expect(stdout).toMatch(/:7.*No label is left/);
});

it('refuses kto with labels of one kind, and a reference of another model', async () => {
  const rows = Array.from({ length: 6 }, (_, i) => ({
    prompt: `say ${i}`,
    completion: `yes ${i}`,
    label: true,
  }));
  const kto = makeRecipe({ top: { objective: { method: 'kto' } } }, rows);
  const refused = await cli('check', kto);
  expect(refused.code).toBe(1);
  expect(refused.stdout).toMatch(/All rows have the label true/);
  const { batches } = readTrajectory('dpo-sigmoid');
  const stated = batches.flat().map((row, i) => ({
    ...rowOf(row),
    ...(i === 3 && { ref_chosen_logps: -1, ref_rejected_logps: -1 }),
  }));
  const other = makeRecipe({ top: { objective: { method: 'dpo' }, validation_split: 0 } }, stated);
  const run = await cli('train', other, '--run-dir', path.join(tempFolder(), 'run'));
  expect(run.code).toBe(1);
  expect(run.stderr).toMatch(/:4.*ref_chosen_logps/s);
});

it('refuses keys that a method does not use', async () => {
  const recipe = makeRecipe({ top: { objective: { method: 'orpo', simpo_gamma: 1 } } }, pairs());
  const { code, stdout, stderr } = await cli('check', recipe);
  expect(code).not.toBe(0);
  expect(stdout + stderr).toMatch(/"objective.simpo_gamma" has no meaning for the method orpo/);
});

it('inspects and evaluates rows of preferences', async () => {
  const recipe = makeRecipe({ ...DPO, training: { learning_rate: 1e-2, max_steps: 8 } }, pairs());
  const inspected = await cli('inspect', recipe);
  expect(inspected.stdout).toMatch(/12 training|11 training|10 training/);
  expect(inspected.stdout).toMatch(/«yes \d/);
  const runDir = await train(recipe);
  const rows = path.join(tempFolder(), 'rows.jsonl');
  writeFileSync(
    rows,
    pairs()
      .map((row) => JSON.stringify(row))
      .join('\n'),
  );
  const measured = await cli(
    'evaluate',
    '--base',
    path.join(fixtures, 'llama/base'),
    '--adapter',
    path.join(runDir, 'adapter'),
    '--dataset',
    rows,
    '--json',
  );
  expect(measured.code).toBe(0);
  const facts = JSON.parse(measured.stdout) as Record<string, number>;
  expect(facts['reward_accuracy']).toBe(1);
  expect(facts['reward_margin']).toBeGreaterThan(0);
});
