import { describe, expect, it } from 'vitest';
import { checkDisk, checkMemory } from '../../../../src/engine/training/memoryCheck';
import { LoraError } from '../../../../src/shared/errors';
import { temp } from '../../../support/temp';

describe('the check of memory and disk space', () => {
  it('refuses a run that clearly needs more memory, and lists the parts', () => {
    const estimate = {
      weights: 6e9,
      adapter: 5e7,
      gradients: 2e7,
      optimizer: 3e7,
      activations: 3e9,
      working: 1e9,
      total: 10.1e9,
    };
    checkMemory(estimate, 10e9);
    expect(() => checkMemory(estimate, 4e9)).toThrow(
      /needs about 10\.1 GB of memory, but only 4\.0 GB is free: 6\.0 GB for the frozen weights/,
    );
  });

  it('suggests reducing the largest part', () => {
    const fixOf = (change: object): string => {
      const parts = {
        weights: 1e9,
        adapter: 1e9,
        gradients: 0,
        optimizer: 0,
        activations: 1e9,
        working: 1e9,
        ...change,
      };
      try {
        checkMemory({ ...parts, total: 1e12 }, 1e9);
      } catch (error) {
        return LoraError.from(error, 'engine').describe();
      }
      return '';
    };
    expect(fixOf({ weights: 9e9 })).toMatch(/Use a smaller base model/);
    expect(fixOf({ adapter: 9e9 })).toMatch(/Use a smaller r or fewer target_modules/);
    expect(fixOf({ activations: 9e9 })).toMatch(
      /Use a smaller max_length or per_device_train_batch_size/,
    );
  });

  it('refuses a run whose checkpoints do not fit on the disk', async () => {
    const dir = temp();
    await checkDisk(dir, 1000);
    await expect(checkDisk(dir, 1e18)).rejects.toMatchObject({
      area: 'disk',
      place: { file: dir },
      fix: expect.stringContaining('save_total_limit') as unknown,
    });
  });
});
