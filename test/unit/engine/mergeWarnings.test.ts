import { describe, expect, it } from 'vitest';
import { mergeWarnings } from '../../../src/engine/merge/certificate';

const facts = (delta_norm: number, unmoved = 0) => ({
  name: 'q_proj.weight',
  dtype: 'BF16' as const,
  delta_norm,
  rounding_error: 0,
  unmoved,
  elements: 1000,
});

describe('the warnings of a merge', () => {
  it('name an update that is zero in all tensors', () => {
    expect(mergeWarnings([facts(0), facts(0)])).toEqual([
      'The update is zero: the adapter changes none of the tensors that it adapts.',
    ]);
    expect(mergeWarnings([facts(0), facts(1e-30)])).toEqual([]);
  });

  it('name the share that rounding leaves unchanged, above 1%', () => {
    expect(mergeWarnings([facts(1, 25), facts(1)])).toEqual([
      expect.stringMatching(/^1\.3% of the elements .* are the same after rounding/),
    ]);
    expect(mergeWarnings([facts(1, 20), facts(1)])).toEqual([]);
  });

  it('do not exist where only whole tensors are replaced', () => {
    expect(mergeWarnings([])).toEqual([]);
  });
});
