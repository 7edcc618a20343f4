import { expect, it } from 'vitest';
import { addCounts, countExperts, expertScores } from '../../../src/models/layers/expertCounts';
import { routesOf } from '../../../src/models/layers/routing';

const routes = routesOf(Float32Array.of(0.7, 0.2, 0.1, 0.1, 0.6, 0.3, 0.5, 0.1, 0.4), {
  num_experts: 3,
  top_k: 1,
  normalises: false,
  scales: null,
});

it('counts the choices of tokens, not those of padding', () => {
  const counts: Float64Array[] = [];
  countExperts({ isToken: null, counts }, routes, 3);
  countExperts({ isToken: [1, 1, 0], counts }, routes, 3);
  expect(counts.map((own) => [...own])).toEqual([
    [2, 1, 0],
    [1, 1, 0],
  ]);
});

it('adds the counts of batches, mixture by mixture', () => {
  const counts = [Float64Array.of(2, 1), Float64Array.of(0, 3)];
  expect(addCounts([], counts)).toEqual(counts);
  expect(addCounts(counts, [])).toEqual(counts);
  expect(addCounts(counts, counts).map((own) => [...own])).toEqual([
    [4, 2],
    [0, 6],
  ]);
});

it('is the load of the busiest expert relative to an even split, as the mean of the mixtures', () => {
  expect(expertScores([Float64Array.of(5, 5, 5, 5)])).toEqual({ expert_load: 1 });
  expect(expertScores([Float64Array.of(8, 0, 8, 0)])).toEqual({ expert_load: 2 });
  expect(expertScores([Float64Array.of(5, 5), Float64Array.of(10, 0)])).toEqual({
    expert_load: 1.5,
  });
});

it('is no number without a mixture or a token', () => {
  expect(expertScores([])).toEqual({});
  expect(expertScores([Float64Array.of(0, 0)])).toEqual({});
});
