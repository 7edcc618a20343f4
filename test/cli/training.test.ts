import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  chats,
  cli,
  editJson,
  filesIn,
  makeRecipe,
  metricsOf,
  recordOf,
  startCli,
  stepsOf,
  tempFolder,
  train,
  until,
  weightsOf,
} from '../support/commandLine';

const whole = {
  num_train_epochs: 1,
  max_steps: null,
  shuffle: false,
  lr_scheduler_type: 'constant',
  warmup_ratio: 0,
};

describe('gradient accumulation over 4', () => {
  const accumulated = (rows: number) =>
    makeRecipe(
      {
        top: { validation_split: 0 },
        training: { ...whole, per_device_train_batch_size: 1, gradient_accumulation_steps: 4 },
      },
      chats().slice(0, rows),
    );

  it('makes a step of the last 3 of 7 batches: the loss is the mean over their own labels', async () => {
    const steps = stepsOf(await train(accumulated(7)));
    const want = stepsOf(
      await train(
        makeRecipe(
          { top: { validation_split: 0 }, training: { ...whole, per_device_train_batch_size: 4 } },
          chats().slice(0, 7),
        ),
      ),
    );
    expect(steps.map((s) => s.labelled_tokens)).toEqual(want.map((s) => s.labelled_tokens));
    expect(steps).toHaveLength(2);
    for (const [i, { loss, grad_norm }] of want.entries()) {
      expect(Math.abs(steps[i]!.loss - loss)).toBeLessThanOrEqual(1e-5);
      expect(Math.abs(steps[i]!.grad_norm / grad_norm - 1)).toBeLessThanOrEqual(1e-4);
    }
  });

  it('trains on 3 batches', async () => {
    const runDir = await train(accumulated(3));
    expect(stepsOf(runDir)).toMatchObject([{ step: 1, epoch: 1 }]);
    expect(recordOf(runDir).total_steps).toBe(1);
  });
});

describe('a run with one more step', () => {
  const training = {
    ...whole,
    max_steps: 6,
    save_steps: 1,
    save_total_limit: 3,
    per_device_train_batch_size: 10,
  };

  it('is the same uninterrupted or resumed, but not restarted; the last checkpoints are kept', async () => {
    const unbroken = await train(makeRecipe({ top: { validation_split: 0 }, training }));
    expect(
      filesIn(path.join(unbroken, 'checkpoints')).filter((name) => /^step-\d+$/.test(name)),
    ).toEqual(['step-4', 'step-5', 'step-6']);
    const resumed = path.join(tempFolder(), 'run');
    cpSync(unbroken, resumed, { recursive: true });
    for (const name of ['checkpoints/step-6', 'adapter'])
      rmSync(path.join(resumed, name), { recursive: true });
    editJson(path.join(resumed, 'run.json'), { state: 'stopped' });
    expect((await cli('train', '--resume', resumed)).code).toBe(0);
    const cold = await train(
      makeRecipe({
        top: { validation_split: 0 },
        lora: { init_adapter: path.join(unbroken, 'checkpoints/step-5') },
        training: { ...training, max_steps: 1 },
      }),
    );
    expect(weightsOf(resumed).equals(weightsOf(unbroken))).toBe(true);
    expect(weightsOf(cold).equals(weightsOf(unbroken))).toBe(false);
    // the same weights on the same rows: only the moments differ
    expect(stepsOf(cold)[0]!.loss).toBeCloseTo(stepsOf(unbroken)[5]!.loss, 6);
  });
});

it('a stop before the first save writes a checkpoint, and the resumed run ends as if never stopped', async () => {
  const training = { max_steps: 150, save_steps: 1000, eval_steps: 1000 };
  const unbroken = await train(makeRecipe({ training }));
  const runDir = path.join(tempFolder(), 'run');
  const { child, end } = startCli(['train', makeRecipe({ training }), '--run-dir', runDir]);
  await until(
    () => existsSync(path.join(runDir, 'metrics.jsonl')) && stepsOf(runDir).length > 0,
    'the first step',
  );
  child.kill('SIGTERM');
  expect((await end).code).toBe(130);
  const { state, result } = recordOf(runDir);
  expect(state).toBe('stopped');
  expect(result.steps).toBeLessThan(150);
  expect(existsSync(path.join(runDir, `checkpoints/step-${result.steps}/state.json`))).toBe(true);
  expect((await cli('train', '--resume', runDir)).code).toBe(0);
  expect(weightsOf(runDir).equals(weightsOf(unbroken))).toBe(true);
});

it('the adapter with the best validation loss is kept beside the last one, which is worse', async () => {
  const answers = (answer: string) =>
    chats().map((row) => ({
      messages: [
        (row as { messages: object[] }).messages[0],
        { role: 'assistant', content: answer },
      ],
    }));
  const recipe = (max_steps: number) => {
    const file = makeRecipe(
      {
        top: { validation: 'validation.jsonl' },
        training: { ...whole, max_steps, learning_rate: 1e-2, eval_steps: 2, save_steps: 1000 },
      },
      answers('yes'),
    );
    const other = makeRecipe({}, answers('yes, the old mill'));
    cpSync(
      path.join(path.dirname(other), 'data.jsonl'),
      path.join(path.dirname(file), 'validation.jsonl'),
    );
    return file;
  };
  const runDir = await train(recipe(40));
  const losses = metricsOf(runDir).flatMap((line) =>
    line.kind === 'eval' && line.step > 0 ? [line] : [],
  );
  const best = losses.reduce((least, line) => (line.loss < least.loss ? line : least));
  const { result } = recordOf(runDir);
  expect(result).toMatchObject({
    best_step: best.step,
    best_validation_loss: best.loss,
    last_validation_loss: losses.at(-1)!.loss,
  });
  expect(best.step).toBeLessThan(40);
  const kept = readFileSync(path.join(runDir, 'best/adapter_model.safetensors'));
  expect(kept.equals(weightsOf(runDir))).toBe(false);
  expect(kept.equals(weightsOf(await train(recipe(best.step))))).toBe(true);
});
