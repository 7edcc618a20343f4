import { expect, it } from 'vitest';
import {
  freeChunks,
  fromChunks,
  toChunks,
  uploadChunks,
} from '../../../src/models/attention/chunks';
import {
  deltaRule,
  deltaRuleBackward,
  type DeltaInputs,
} from '../../../src/models/attention/deltaRule';
import type { Ops, Tensor } from '../../../src/models/ops/ops';
import { createRandom } from '../../../src/shared/random';
import { ruleByToken, type RuleNumbers, type RuleSize } from '../../support/deltaRule';
import { cpuOps, gap, largest } from '../../support/models';

const NAMES = ['q', 'k', 'v', 'rate', 'decay'] as const;

/** Keys with length 1 that are much alike, as those of real texts. */
function numbersOf({ batch, length, heads, key, value }: RuleSize): RuleNumbers {
  const random = createRandom(7, 'rule');
  const n = batch * length * heads;
  const normal = (size: number) => Float64Array.from({ length: size }, () => 2 * random() - 1);
  const k = normal(n * key).map((x) => 0.4 * x + 1);
  for (let i = 0; i < n; i++) {
    const row = k.subarray(i * key, (i + 1) * key);
    const norm = Math.hypot(...row);
    row.forEach((x, j) => (row[j] = x / norm));
  }
  return {
    q: normal(n * key),
    k,
    v: normal(n * value),
    rate: Float64Array.from({ length: n }, () => 0.05 + 0.9 * random()),
    decay: Float64Array.from({ length: n }, () => -3 * random() ** 4),
  };
}

interface Case {
  readonly size: RuleSize;
  readonly segment_ids?: Int32Array;
}

const CASES: Record<string, Case> = {
  'one token': { size: { batch: 1, length: 1, heads: 2, key: 3, value: 2 } },
  'a part of a chunk': { size: { batch: 2, length: 5, heads: 2, key: 3, value: 4 } },
  'one whole chunk': { size: { batch: 1, length: 64, heads: 1, key: 4, value: 3 } },
  'more than two chunks': { size: { batch: 2, length: 131, heads: 2, key: 4, value: 5 } },
  'several sequences in a row': {
    size: { batch: 2, length: 140, heads: 2, key: 4, value: 3 },
    segment_ids: Int32Array.from({ length: 280 }, (_, i) =>
      [3, 70, 128, 200, 250].findIndex((end) => i < end),
    ),
  },
};

const startsOf =
  ({ size: { length }, segment_ids }: Case) =>
  (row: number, token: number): boolean =>
    token > 0 &&
    segment_ids !== undefined &&
    segment_ids[row * length + token] !== segment_ids[row * length + token - 1];

function uploaded(
  ops: Ops,
  { size }: Case,
  numbers: RuleNumbers,
  chunks: { size: number; count: number },
) {
  const { batch, length, heads } = size;
  const cut = (name: keyof RuleNumbers) => {
    const data = numbers[name];
    const x = ops.upload(Float32Array.from(data), [batch * length, data.length / (batch * length)]);
    const inChunks = toChunks(ops, x, heads, { batch, length, ...chunks });
    ops.free(x);
    return inChunks;
  };
  return Object.fromEntries(NAMES.map((name) => [name, cut(name)])) as unknown as DeltaInputs;
}

const tensorsIn = (inputs: DeltaInputs): Tensor[] => NAMES.map((name) => inputs[name]);

async function rows(
  ops: Ops,
  x: Tensor,
  { size: { batch, length, heads } }: Case,
  chunks: { size: number; count: number },
) {
  const flat = fromChunks(ops, x, heads, { batch, length, ...chunks });
  const data = await ops.download(flat);
  ops.free(flat, x);
  return data;
}

it.each(Object.entries(CASES))('computes %s as token by token', async (_, own) => {
  const { ops, alive } = await cpuOps();
  const before = alive();
  const chunks = uploadChunks(ops, { ...own.size, ...own });
  const numbers = numbersOf(own.size);
  const want = ruleByToken(own.size, numbers, startsOf(own));
  const inputs = uploaded(ops, own, numbers, chunks);
  const { o, state } = deltaRule(ops, chunks, inputs, null);
  const have = await rows(ops, o, own, chunks);
  expect(gap(have, Float32Array.from(want))).toBeLessThanOrEqual(
    2e-5 * Math.max(1, largest(Float32Array.from(want))),
  );
  ops.free(state, ...tensorsIn(inputs));
  freeChunks(ops, chunks);
  expect(alive()).toBe(before);
});

it.each(Object.entries(CASES))('has the gradients of %s', async (_, own) => {
  const { ops, alive } = await cpuOps();
  const before = alive();
  const chunks = uploadChunks(ops, { ...own.size, ...own });
  const numbers = numbersOf(own.size);
  const random = createRandom(3, 'weights');
  const { batch, length, heads, value } = own.size;
  const weights = Float32Array.from(
    { length: batch * length * heads * value },
    () => random() - 0.5,
  );
  const lossOf = (changed: RuleNumbers) =>
    ruleByToken(own.size, changed, startsOf(own)).reduce((sum, x, i) => sum + x * weights[i]!, 0);
  const inputs = uploaded(ops, own, numbers, chunks);
  const dRows = ops.upload(weights, [batch * length, heads * value]);
  const dO = toChunks(ops, dRows, heads, { batch, length, ...chunks });
  const gradients = deltaRuleBackward(ops, chunks, inputs, dO);
  for (const name of NAMES) {
    const have = await rows(ops, gradients[name], own, chunks);
    const size = Math.max(1e-2, largest(have));
    for (let tried = 0; tried < 12; tried++) {
      const at = Math.floor(random() * have.length);
      const shifted = (by: number) => {
        const data = numbers[name].slice();
        data[at]! += by;
        return lossOf({ ...numbers, [name]: data });
      };
      const want = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
      expect(Math.abs(have[at]! - want), `${name} ${at}`).toBeLessThanOrEqual(1e-4 * size);
    }
  }
  ops.free(dRows, dO, ...tensorsIn(inputs));
  freeChunks(ops, chunks);
  expect(alive()).toBe(before);
});

it('goes on from the state after earlier tokens', async () => {
  const { ops } = await cpuOps();
  const own: Case = { size: { batch: 1, length: 90, heads: 2, key: 4, value: 3 } };
  const numbers = numbersOf(own.size);
  const want = ruleByToken(own.size, numbers, startsOf(own));
  const part = (from: number, to: number) => {
    const size = { ...own.size, length: to - from };
    const cut = (name: keyof RuleNumbers) => {
      const width = numbers[name].length / 90;
      return numbers[name].slice(from * width, to * width);
    };
    const all = Object.fromEntries(NAMES.map((name) => [name, cut(name)]));
    return { size, numbers: all as unknown as RuleNumbers };
  };
  let state: Tensor | null = null;
  const have: number[] = [];
  for (const [from, to] of [
    [0, 70],
    [70, 71],
    [71, 90],
  ] as const) {
    const { size, numbers: own } = part(from, to);
    const chunks = uploadChunks(ops, size);
    const inputs = uploaded(ops, { size }, own, chunks);
    const output: { o: Tensor; state: Tensor } = deltaRule(ops, chunks, inputs, state);
    have.push(...(await rows(ops, output.o, { size }, chunks)));
    ops.free(...(state ? [state] : []), ...tensorsIn(inputs));
    freeChunks(ops, chunks);
    state = output.state;
  }
  ops.free(state!);
  expect(gap(Float32Array.from(have), Float32Array.from(want))).toBeLessThanOrEqual(2e-5);
});
