import { expect, it } from 'vitest';
import { describeProblem } from '../../../src/engine/report';

it.each([
  ['It is ignored.', 'a.safetensors, tensor b.alpha: It is ignored.'],
  ['b.alpha is ignored.', 'a.safetensors: b.alpha is ignored.'],
])('a problem names its tensor once: %s', (message, text) => {
  const place = { file: '/folder/a.safetensors', tensor: 'b.alpha' };
  expect(describeProblem({ severity: 'warning', message, place })).toBe(text);
});
