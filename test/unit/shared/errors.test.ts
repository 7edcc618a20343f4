import { describe, expect, it } from 'vitest';
import { LoraError } from '../../../src/shared/errors';

describe('an error of libtensorflow', () => {
  it('is told in words', () => {
    const raw = new Error(
      'Invalid TF_Status: 3\nMessage: indices[20] = 384 is not in [0, 384)\nat',
    );
    expect(LoraError.from(raw, 'engine')).toMatchObject({
      message: 'libtensorflow cannot compute this: indices[20] = 384 is not in [0, 384)',
      cause: raw,
    });
    expect(LoraError.from(new Error('other'), 'engine').message).toBe('other');
  });
});
