import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readEventLog } from '../../../src/formats/logs/eventLog';
import { readMlxLog } from '../../../src/formats/logs/mlxLog';
import { readTrainerState } from '../../../src/formats/logs/trainerState';
import { readEvents } from '../../../src/formats/tensorboard/events';
import type { MetricLine } from '../../../src/shared/metrics/lines';

const fixture = (name: string) =>
  readFileSync(path.resolve(import.meta.dirname, '../../fixtures/trackers', name));
const numbers = (lines: readonly MetricLine[], kind: 'step' | 'eval') =>
  lines.flatMap((line) => (line.kind === kind ? [[line.step, line.loss]] : []));

describe("transformers' trainer_state.json", () => {
  it('gives losses, rates and evaluations', () => {
    const log = readTrainerState(JSON.parse(fixture('trainer_state.json').toString()))!;
    expect(log.program).toBe('transformers');
    expect(numbers(log.lines, 'step').map(([step]) => step)).toEqual([1, 2, 3, 4]);
    expect(numbers(log.lines, 'eval').map(([step]) => step)).toEqual([2, 4]);
    const [first] = log.lines;
    expect(first).toMatchObject({ kind: 'step', step: 1, epoch: 0.5, tokens: NaN });
    expect(first?.kind === 'step' && first.learning_rate).toBeGreaterThan(0);
    expect(log.total_steps).toBe(4);
    expect(log.training).toMatchObject({ num_train_epochs: 2, per_device_train_batch_size: 2 });
  });

  it('of a stranger is taken for what it is', () => {
    expect(readTrainerState({ log_history: [] })).toBeNull();
    expect(readTrainerState([1])).toBeNull();
    const log_history = Array<object>(1_000_001).fill({ step: 1, loss: 1 });
    expect(() => readTrainerState({ log_history })).toThrow('more than 1000000 lines');
    const odd = [{ step: -1, loss: 1 }, { step: 1.5, loss: 1 }, { step: 2 }, null, 3, { loss: 1 }];
    expect(readTrainerState({ log_history: odd })).toBeNull();
    const log = readTrainerState({
      log_history: [{ step: 2, loss: 1, grad_norm: 'high' }],
      max_steps: 'all',
    })!;
    expect(log).toMatchObject({ total_steps: null, training: {} });
  });
});

const MLX = `Loading pretrained model
Starting training..., iters: 20
Iter 1: Val loss 2.912, Val took 3.244s
Iter 10: Train loss 2.500, Learning Rate 1.000e-05, It/sec 2.000, Tokens/sec 400.000, Trained Tokens 2000, Peak mem 3.500 GB
Iter 20: Val loss 2.100, Val took 3.1s
Iter 20: Train loss 2.000, Learning Rate 5.000e-06, It/sec 4.000, Tokens/sec 800.000, Trained Tokens 4500, Peak mem 3.500 GB
Saved final weights to adapters/adapters.safetensors.
`;

describe('the output of mlx_lm.lora', () => {
  it('gives losses, speeds and the evaluation of the base', () => {
    const log = readMlxLog(MLX)!;
    expect(numbers(log.lines, 'step')).toEqual([
      [10, 2.5],
      [20, 2],
    ]);
    expect(numbers(log.lines, 'eval')).toEqual([
      [0, 2.912],
      [20, 2.1],
    ]);
    expect(log.lines.findLast((line) => line.kind === 'step')).toMatchObject({
      ...{ learning_rate: 5e-6, tokens_per_second: 800, tokens: 2500, elapsed: 7.5, memory: 3.5e9 },
    });
    expect(log.total_steps).toBe(20);
  });

  it('is not any text', () => {
    expect(readMlxLog('')).toBeNull();
    expect(() => readMlxLog('\n'.repeat(1_000_000))).toThrow('more than 1000000 lines');
    expect(readMlxLog('Iter 99999999999999: Train loss 1')).toBeNull();
    expect(readMlxLog('Iter 3: Train loss nan, It/sec inf')?.lines).toHaveLength(1);
  });
});

describe('event files', () => {
  it('give the losses that their tags name', () => {
    const { scalars } = readEvents(fixture('events.out.tfevents.1.host'));
    const log = readEventLog(scalars)!;
    expect(numbers(log.lines, 'step')).toEqual([
      [1, 3],
      [2, 1.5],
      [3, 1],
      [4, 0.5],
    ]);
    expect(numbers(log.lines, 'eval')).toEqual([[2, 2]]);
    expect(log.started).toBe(1_001_000);
    expect(log.lines[1]).toMatchObject({ elapsed: 1 });
  });

  it('are read with the tags of other programs', () => {
    const at = (tag: string) => ({ tag, step: 1, value: 2, wall_time: 5 });
    const kinds = (tag: string) => readEventLog([at(tag)])?.lines.map(({ kind }) => kind) ?? [];
    for (const tag of ['train_loss', 'loss', 'train/loss', 'Loss/train', 'training_loss'])
      expect([tag, kinds(tag)]).toEqual([tag, ['step']]);
    for (const tag of ['val_loss', 'eval/loss', 'Loss/val', 'validation/loss'])
      expect([tag, kinds(tag)]).toEqual([tag, ['eval']]);
    for (const tag of ['train/accuracy', 'eval/accuracy', 'lossless', '__proto__'])
      expect([tag, kinds(tag)]).toEqual([tag, []]);
  });

  it('have one loss of training and one of validation, whatever else is a loss', () => {
    const at = (step: number, values: Readonly<Record<string, number>>) =>
      Object.entries(values).map(([tag, value]) => ({ tag, step, value, wall_time: step }));
    const log = readEventLog([
      ...at(1, { 'train/loss': 3, 'eval/loss': 2.5, 'eval/aux_loss': 0.1, 'test/loss': 9 }),
      // the mean of all steps, which transformers writes at the end
      ...at(2, { 'train/train_loss': 2.8 }),
    ])!;
    expect(numbers(log.lines, 'step')).toEqual([[1, 3]]);
    expect(numbers(log.lines, 'eval')).toEqual([[1, 2.5]]);
    const plain = readEventLog(at(1, { train_loss: 4, 'val/nll_loss': 5 }))!;
    expect(numbers(plain.lines, 'step')).toEqual([[1, 4]]);
    expect(numbers(plain.lines, 'eval')).toEqual([[1, 5]]);
  });
});
