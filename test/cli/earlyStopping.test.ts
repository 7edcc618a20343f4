import path from 'node:path';
import { expect, it } from 'vitest';
import { parseMetrics } from '../../src/shared/metrics/parse';
import {
  cli,
  filesIn,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  resumedBefore,
  stepsOf,
  tempFolder,
  weightsOf,
} from '../support/commandLine';

// after the first evaluation, none gains that much
const early = {
  eval_steps: 2,
  save_steps: 4,
  early_stopping_patience: 2,
  early_stopping_threshold: 1000,
};

it('ends a training that no longer improves, says so, and ends at the same step after a resume', async () => {
  const runDir = path.join(tempFolder(), 'run');
  const recipe = makeRecipe({ training: early, top: { samples: { sample_steps: 100 } } });
  const { code, stdout } = await cli('train', recipe, '--run-dir', runDir);
  expect(code).toBe(0);
  expect(stdout).toContain('completed after 6 steps');
  expect(stdout).toContain('ended early: 2 evaluations in a row did not improve the best loss');
  expect(stepsOf(runDir)).toHaveLength(6);
  expect(recordOf(runDir)).toMatchObject({
    state: 'completed',
    total_steps: 12,
    result: { steps: 6, stopped_early: { patience: 2, metric: 'loss' } },
  });
  const lines = metricsOf(runDir);
  expect(lines.filter(({ kind }) => kind === 'sample').at(-1)?.step).toBe(6);
  expect(filesIn(path.join(runDir, 'checkpoints'))).toContain('step-6');
  const resumed = await resumedBefore(runDir, 6);
  expect(stepsOf(resumed)).toHaveLength(6);
  expect(recordOf(resumed).result).toMatchObject(recordOf(runDir).result);
  expect(weightsOf(resumed).equals(weightsOf(runDir))).toBe(true);
});

it('keeps the weights with the best score that the recipe names', async () => {
  const rows = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((text, i) => ({
    text: `${text} ${text}`,
    label: i % 2 === 0 ? 'even' : 'odd',
  }));
  const recipe = makeRecipe(
    {
      top: {
        base: path.join(fixtures, 'llama/base'),
        task: 'seq_cls',
        validation: 'data.jsonl',
      },
      training: {
        eval_steps: 2,
        max_steps: 8,
        learning_rate: 1e-2,
        metric_for_best_model: 'accuracy',
      },
    },
    rows,
  );
  const { code, stdout, stderr } = await cli(
    'train',
    recipe,
    '--run-dir',
    path.join(tempFolder(), 'run'),
    '--json',
  );
  expect(stderr).not.toContain('accuracy');
  expect(code).toBe(0);
  const evals = parseMetrics(stdout)
    .filter((line) => line.kind === 'eval')
    .filter(({ step }) => step > 0);
  const best = evals.reduce((a, b) => (b.scores!.accuracy! > a.scores!.accuracy! ? b : a));
  expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({
    best_step: best.step,
    best_validation_loss: best.loss,
    best_metric: { name: 'accuracy', value: best.scores!.accuracy },
  });
});

it('refuses a score that the rows do not have', async () => {
  const rows = [0.5, 1.5, 2.5, 3.5].map((label) => ({ text: 'a b', label }));
  const recipe = makeRecipe(
    { top: { task: 'seq_cls' }, training: { metric_for_best_model: 'accuracy' } },
    rows,
  );
  const { code, stdout } = await cli('check', recipe, '--json');
  expect(code).toBe(1);
  const { problems } = JSON.parse(stdout) as { problems: { message: string; place: object }[] };
  expect(problems).toMatchObject([
    {
      message: expect.stringContaining(
        'have no "accuracy". They have loss, rmse, pearson',
      ) as string,
      place: { key: 'training.metric_for_best_model', line: 1 },
    },
  ]);
});
