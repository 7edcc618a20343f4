import { describe, expect, it } from 'vitest';
import {
  routerGradient,
  routesOf,
  type Routes,
  type RoutingSettings,
} from '../../../src/models/layers/routing';

const settings = (normalises: boolean, top_k = 2): RoutingSettings => ({
  num_experts: 3,
  top_k,
  normalises,
  scales: null,
});

const softmaxOfRows = (scores: readonly number[], width: number): Float32Array => {
  const values = Float32Array.from(scores, Math.exp);
  return values.map((value, i) => {
    const first = i - (i % width);
    return value / values.subarray(first, first + width).reduce((sum, x) => sum + x, 0);
  });
};

describe('the experts of rows', () => {
  it('are the most probable ones, and rows are grouped by expert', () => {
    const probabilities = Float32Array.of(0.2, 0.5, 0.3, 0.6, 0.1, 0.3);
    const routes = routesOf(probabilities, settings(false));
    expect([...routes.rows]).toEqual([1, 0, 0, 1]);
    expect([...routes.experts]).toEqual([0, 1, 2, 2]);
    expect([...routes.weights]).toEqual([0.6, 0.5, 0.3, 0.3].map(Math.fround));
    expect(routes.chosen.map(({ expert, count }) => [expert, count])).toEqual([
      [0, 1],
      [1, 1],
      [2, 2],
    ]);
    expect(routes.pairs.map((of) => [...of])).toEqual([
      [1, 0],
      [2, 3],
    ]);
  });

  it('leave out those without rows, and take the first of equal ones', () => {
    const routes = routesOf(Float32Array.of(0.25, 0.25, 0.5), settings(true));
    expect(routes.chosen).toEqual([
      { expert: 0, start: 0, count: 1 },
      { expert: 2, start: 1, count: 1 },
    ]);
    expect([...routes.weights].map((w) => w.toFixed(4))).toEqual(['0.3333', '0.6667']);
  });
});

describe("the gradient of the router's outputs", () => {
  const scores = [0.3, -0.2, 0.9, 1.1, 0.4, -0.5];
  const dWeights = (routes: Routes) => Float32Array.from(routes.rows, (row, i) => row + i - 1.3);

  it.each([true, false])('is that of central differences, normalised: %s', (normalises) => {
    const own = settings(normalises);
    const routes = routesOf(softmaxOfRows(scores, 3), own);
    const factors = dWeights(routes);
    const gradient = routerGradient(routes, factors, own);
    const sumAt = (moved: readonly number[]) =>
      routesOf(softmaxOfRows(moved, 3), own).weights.reduce((s, w, i) => s + w * factors[i]!, 0);
    scores.forEach((_, i) => {
      const by = (h: number) => scores.map((score, at) => (at === i ? score + h : score));
      const slope = (sumAt(by(1e-2)) - sumAt(by(-1e-2))) / 2e-2;
      expect(gradient[i]).toBeCloseTo(slope, 3);
    });
  });
});
