import { expect, it } from 'vitest';
import {
  chats,
  makeRecipe,
  metricsOf,
  recordOf,
  resumedBefore,
  stepsOf,
  train,
  weightsOf,
} from '../support/commandLine';

const training = {
  max_steps: 8,
  warmup_ratio: 0,
  learning_rate: 5e-3,
  label_smoothing_factor: 0.1,
  neftune_noise_alpha: 5,
};

it('resumes with NEFTune, label smoothing and weights to the same bytes, and leaves out weight 0', async () => {
  const weights = [0, 0.5, 4];
  const rows = chats().map((row, i) => ({ ...row, ...(i < 3 && { weight: weights[i] }) }));
  const runDir = await train(makeRecipe({ training }, rows), /weight 0 and is left out/);
  expect(recordOf(runDir).data).toMatchObject({ examples: 8, validation_examples: 1 });
  const steps = stepsOf(runDir);
  expect(steps.every(({ loss }) => Number.isFinite(loss))).toBe(true);
  expect(weightsOf(await resumedBefore(runDir, 8)).equals(weightsOf(runDir))).toBe(true);
});

it('a row of weight 2 counts like two rows, also in the validation loss', async () => {
  const [first, second] = chats() as [object, object];
  const plain = { ...training, label_smoothing_factor: 0, neftune_noise_alpha: null };
  const settings = { ...plain, max_steps: 1, per_device_train_batch_size: 4 };
  const lossesOf = async (rows: readonly object[]) => {
    const change = { training: settings, top: { validation: 'data.jsonl' } };
    const runDir = await train(makeRecipe(change, rows));
    const [step] = stepsOf(runDir);
    const evals = metricsOf(runDir).filter((line) => line.kind === 'eval');
    return [step!.loss, ...evals.map(({ loss }) => loss)];
  };
  const weighted = await lossesOf([{ ...first, weight: 2 }, second]);
  const repeated = await lossesOf([first, first, second]);
  weighted.forEach((loss, i) => expect(loss).toBeCloseTo(repeated[i]!, 4));
});
