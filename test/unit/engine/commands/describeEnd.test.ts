import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeEnd } from '../../../../src/engine/commands/trainingView';
import type { RunRecord, RunResult } from '../../../../src/shared/run';
import { recordOf } from '../../../support/runRecords';

const dir = path.resolve('/w/run');

function endOf(state: RunRecord['state'], change: Partial<RunResult>, runDir = dir): string[] {
  const { result } = recordOf();
  const none = { last_validation_loss: null, best_validation_loss: null, best_step: null };
  const record = recordOf({ state, result: { ...result, ...none, ...change } });
  return describeEnd(record, runDir).split('\n');
}

const validated = {
  last_validation_loss: 1.5,
  last_validation_step: 30,
  best_validation_loss: 1.25,
  best_step: 20,
};

describe('the last words of a run', () => {
  it('name the adapter, without a validation', () => {
    expect(endOf('completed', {})).toEqual([
      'completed after 30 steps, loss 1.5000',
      `adapter: ${path.join(dir, 'adapter')}`,
    ]);
  });

  it('name best/ where it is not the last', () => {
    expect(endOf('completed', validated)).toEqual([
      'completed after 30 steps, loss 1.5000, validation loss 1.5000',
      `adapter: ${path.join(dir, 'adapter')}`,
      `best: ${path.join(dir, 'best')} (validation loss 1.2500 at step 20)`,
    ]);
    expect(endOf('completed', { ...validated, best_step: 30 }).join()).not.toContain('best');
  });

  it('name the metric that best/ was chosen by, and say that the training ended early', () => {
    const best_metric = { name: 'accuracy', value: 0.75 };
    const stopped_early = { patience: 3, metric: 'accuracy' };
    const found = endOf('completed', {
      ...validated,
      first_validation_loss: 1,
      best_metric,
      stopped_early,
    });
    expect(found).toEqual([
      'completed after 30 steps, loss 1.5000, validation loss 1.5000',
      'ended early: 3 evaluations in a row did not improve the best accuracy',
      `adapter: ${path.join(dir, 'adapter')}`,
      `best: ${path.join(dir, 'best')} (accuracy 0.7500 at step 20)`,
    ]);
  });

  it('say that the result is worse than the base', () => {
    expect(endOf('completed', { ...validated, first_validation_loss: 1 }).at(-1)).toBe(
      'The validation loss was lower before the training (1.0000 at step 0): on the validation rows, the result is worse than the base.',
    );
    expect(endOf('completed', { ...validated, first_validation_loss: 2 }).join()).not.toContain(
      'worse',
    );
  });

  it('name the step of a validation loss that is not of the last step', () => {
    const [first] = endOf('stopped', { ...validated, steps: 33, last_validation_step: 30 });
    expect(first).toBe('stopped after 33 steps, loss 1.5000, validation loss 1.5000 at step 30');
  });

  it('tell how to resume a stopped run, in a form that can be copied', () => {
    expect(endOf('stopped', {}).at(-1)).toBe(`Resume with: lora train --resume ${dir}`);
    expect(endOf('stopped', {}, '/w/my run').at(-1)).toMatch(/--resume ['"]\/w\/my run['"]$/);
  });

  it('name no adapter where no step was taken, or none was written', () => {
    expect(endOf('stopped', { steps: 0, adapter: null, last_loss: null })).toEqual([
      'stopped before the first step: nothing was trained',
      `Start again with: lora train --resume ${dir}`,
    ]);
    expect(endOf('completed', { adapter: null }).join()).not.toContain('adapter');
  });

  it('of a failed run name its folder', () => {
    expect(endOf('failed', {})).toEqual([`The run failed: ${dir}`]);
  });
});
