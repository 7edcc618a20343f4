import { describe, expect, it } from 'vitest';
import { compareLogits } from '../../../src/engine/merge/parity';

const inputs = [{ length: 2 }];

describe('the parity of a merge', () => {
  it('is the largest gap, and the share of positions with the same most likely token', () => {
    const expected = [Float32Array.of(1, 2, 3, -8)];
    const actual = [Float32Array.of(1, 2, -3, -2)];
    expect(compareLogits(expected, actual, inputs)).toEqual({
      prompts: 1,
      largest_gap: 6,
      largest_logit: 8,
      top1_agreement: 0.5,
    });
  });

  it.each([NaN, Infinity, -Infinity])('is refused for logits with %d', (value) => {
    const fine = [Float32Array.of(1, 2, 3, 4)];
    const broken = [Float32Array.of(1, value, 3, 4)];
    expect(() => compareLogits(broken, fine, inputs)).toThrow(
      'The base with its adapters computes logits that are not finite.',
    );
    expect(() => compareLogits(fine, broken, inputs)).toThrow(
      'The merged model computes logits that are not finite.',
    );
  });
});
