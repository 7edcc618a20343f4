import { describe, expect, it } from 'vitest';
import { minutesIn, tuneArguments } from '../../../../src/host/tune/tuneArguments';

const own = { 'training.learning_rate': 2e-4, 'lora.r': 8 };
const rate = { key: 'training.learning_rate', values: null } as const;
const rank = { key: 'lora.r', values: null } as const;

describe('the arguments of a tune', () => {
  it('leave the values of rate and rank to the engine', () => {
    expect(tuneArguments('/w/lora.json', { minutes: 30, keys: [rate, rank], own })).toEqual([
      ...['tune', '/w/lora.json', '--minutes', '30'],
    ]);
  });

  it('keep what is not varied, and name the values of the rest', () => {
    const epochs = { key: 'training.num_train_epochs', values: '1, 2' } as const;
    const on = { target: 'gpu-box', parallel: 2 };
    expect(tuneArguments('a.json', { minutes: 1.5, keys: [rate, epochs], own, on })).toEqual([
      ...['tune', 'a.json', '--minutes', '1.5', '--vary', 'lora.r=8'],
      ...['--vary', 'training.num_train_epochs=1, 2', '--on', 'gpu-box', '--parallel', '2'],
    ]);
  });
});

describe('a budget', () => {
  it('is a number of minutes', () => {
    expect(['30', ' 1.5', '0,5'].map(minutesIn)).toEqual([30, 1.5, 0.5]);
    expect(['', '0', '-1', 'an hour', '1e9'].map(minutesIn)).toEqual(Array(5).fill(undefined));
  });
});
