import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AttentionForm, Heads } from '../../src/models/ops/fusedOps';
import type { Precision, Tensor } from '../../src/models/ops/ops';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { createRandom } from '../../src/shared/random';
import { PEFT_CASES } from '../support/peftCases';
import { gap, largest, tfBinding } from '../support/models';
import { expectSameResults } from '../support/sameResults';
import { attentionIn64, type AttentionCase } from '../support/attention64';
import { WITHOUT_KERNELS } from '../support/withoutKernels';

let fusing: TensorFlowOps;
let plain: TensorFlowOps;
/** Blocks that divide no row of the fixtures evenly. */
let blocks: TensorFlowOps;
beforeAll(async () => {
  const binding = await tfBinding();
  fusing = new TensorFlowOps(binding);
  plain = new TensorFlowOps(binding, { fuse: false });
  const attentionBlocks = { from: 0, queries: 5, keys: 7 };
  blocks = new TensorFlowOps(binding, { fuse: false, attentionBlocks });
});

describe('by operations in blocks of queries and keys', () => {
  it.each(PEFT_CASES)('%s has the loss and gradients of whole rows', async (name) => {
    await expectSameResults(name, blocks, plain);
  });
});

const GROUPED = { batch: 2, heads: 4, kv_heads: 2, queries: 200, keys: 200, d: 10 };
const SEEN = { causal: true, window: null, softcap: null, segments: null, sinks: null };
/** Three documents, the last of which has padding after it. */
const SEGMENTS = (at: number) => (at < 40 ? 0 : Math.min(2, 1 + Math.floor(at / 150)));
const CASES: readonly (readonly [string, AttentionCase])[] = [
  ['causal', { ...GROUPED, ...SEEN }],
  ['causal with a window', { ...GROUPED, ...SEEN, window: 70 }],
  ['both directions', { ...GROUPED, ...SEEN, causal: false }],
  ['both directions with a window', { ...GROUPED, ...SEEN, causal: false, window: 33 }],
  ['causal with a narrow window', { ...GROUPED, ...SEEN, window: 5 }],
  ['a narrow window in both directions', { ...GROUPED, ...SEEN, causal: false, window: 5 }],
  ['a softcap and a window', { ...GROUPED, ...SEEN, softcap: 2, window: 33 }],
  ['a softcap', { ...GROUPED, ...SEEN, softcap: 2 }],
  ['sinks', { ...GROUPED, ...SEEN, window: 70, sinks: [0.5, -2, 1, 3] }],
  ['packed rows with padding', { ...GROUPED, ...SEEN, segments: SEGMENTS }],
  ['packed rows in both directions', { ...GROUPED, ...SEEN, causal: false, segments: SEGMENTS }],
  ['queries after cached keys', { ...GROUPED, ...SEEN, queries: 90 }],
  ['cached keys and a window', { ...GROUPED, ...SEEN, queries: 90, window: 50 }],
  ['one short row of wide heads', { ...GROUPED, ...SEEN, batch: 1, queries: 3, keys: 3, d: 130 }],
];

/** Random numbers whose products are scores of usual size. */
function numbers(shape: readonly number[], seed: number): Float32Array {
  const random = createRandom(seed, 'long rows');
  const size = shape.reduce((n, d) => n * d, 1);
  return Float32Array.from({ length: size }, () => (random() * 2 - 1) * 1.5);
}

async function rounded(data: Float32Array, shape: readonly number[], dtype: Precision) {
  const wide = fusing.upload(data, shape);
  const x = fusing.cast(wide, dtype);
  fusing.free(wide);
  return { x, data: await fusing.download(x) };
}

const PADDED_TOKENS = 9;

function formOf(own: AttentionCase): AttentionForm {
  const { batch, keys, causal, window, softcap, segments } = own;
  const sinks = own.sinks && fusing.upload(Float32Array.from(own.sinks), [own.heads]);
  if (!segments) return { causal, window, softcap, sinks, ids: null };
  const row = Int32Array.from({ length: keys }, (_, at) => segments(at));
  const visible = row.map((id, at) => (at < keys - PADDED_TOKENS ? id : -1));
  const ids = new Int32Array(2 * batch * keys);
  for (let i = 0; i < batch; i++) {
    ids.set(row, i * keys);
    ids.set(visible, (batch + i) * keys);
  }
  return { causal, window, softcap, sinks, ids: fusing.upload(ids, [2, batch, keys]) };
}

const isHidden = (own: AttentionCase, key: number) =>
  own.segments !== null && key >= own.keys - PADDED_TOKENS;

describe.skipIf(WITHOUT_KERNELS).each(['f32', 'bf16'] as const)('the kernel in %s', (dtype) => {
  /** Of the largest number: sums in f32, or probabilities and o rounded to bf16. */
  const tolerance = dtype === 'f32' ? 3e-6 : 2 ** -6;

  it.each(CASES)('%s: output and gradients follow the formulas', async (_name, own) => {
    const { batch, heads, kv_heads, queries, keys, d } = own;
    const shapes = [
      [batch, heads, queries, d],
      [batch * kv_heads, keys, d],
      [batch * kv_heads, keys, d],
      [batch * queries, heads * d],
    ] as const;
    const before = fusing.live();
    const inputs = await Promise.all(
      shapes.map((shape, i) => {
        const scale = i === 0 ? Math.sqrt(GROUPED.d / d) : 1;
        const data = numbers(shape, i).map((x) => scale * x);
        return rounded(data, shape, dtype);
      }),
    );
    const [q, k, v, dO] = inputs.map(({ x }) => x) as [Tensor, Tensor, Tensor, Tensor];
    const form = formOf(own);
    const attended = fusing.fused!.attend({ q, k, v }, form);
    const gradients: Heads = fusing.fused!.attendGrad({ q, k, v }, form, attended, dO);
    const want = attentionIn64(own, {
      q: inputs[0]!.data,
      k: inputs[1]!.data,
      v: inputs[2]!.data,
      dO: inputs[3]!.data,
      isHidden: (key) => isHidden(own, key),
    });
    const results = { o: attended.o, dq: gradients.q, dk: gradients.k, dv: gradients.v };
    for (const [name, x] of Object.entries(results)) {
      const exact = Float32Array.from(want[name as keyof typeof results]);
      expect(gap(await fusing.download(x), exact), name).toBeLessThanOrEqual(
        tolerance * largest(exact),
      );
    }
    fusing.free(...inputs.map(({ x }) => x), ...Object.values(results), attended.stats);
    fusing.free(...[form.ids, form.sinks].filter((x) => x !== null));
    expect(fusing.live()).toBe(before);
  });
});

it.skipIf(WITHOUT_KERNELS)('sums of several threads are the same each time', async () => {
  const shape = { batch: 1, heads: 2, kv_heads: 1, queries: 900, keys: 900, d: 64 };
  const q = fusing.upload(numbers([1, 2, 900, 64], 1), [1, 2, 900, 64]);
  const k = fusing.upload(numbers([1, 900, 64], 2), [1, 900, 64]);
  const dO = fusing.upload(numbers([900, 128], 3), [900, 128]);
  const form = formOf({ ...shape, ...SEEN });
  const runs: Float32Array[][] = [];
  for (let run = 0; run < 3; run++) {
    const attended = fusing.fused!.attend({ q, k, v: k }, form);
    const d = fusing.fused!.attendGrad({ q, k, v: k }, form, attended, dO);
    const tensors = [attended.o, d.q, d.k, d.v];
    runs.push(await Promise.all(tensors.map((x) => fusing.download(x))));
    fusing.free(...tensors, attended.stats);
  }
  for (const run of runs.slice(1)) expect(run).toEqual(runs[0]);
  fusing.free(q, k, dO);
});

it.skipIf(WITHOUT_KERNELS)('refuses heads whose shapes do not fit', () => {
  const q = fusing.upload(new Float32Array(48), [1, 3, 2, 8]);
  const k = fusing.upload(new Float32Array(32), [2, 2, 8]);
  const form = { causal: true, window: null, softcap: null, sinks: null, ids: null };
  expect(() => fusing.fused!.attend({ q, k, v: k }, form)).toThrow(/shapes do not fit/);
  fusing.free(q, k);
});

const LEVEL = 'LORA_KERNELS_LEVEL';
describe.skipIf(WITHOUT_KERNELS || process.env[LEVEL] !== undefined)('on a processor with', () => {
  it.each([
    ['AVX2', '1'],
    ['neither', '0'],
  ])(
    '%s, the kernel follows the formulas',
    (_, level) => {
      const vitest = path.resolve(import.meta.dirname, '../../node_modules/vitest/vitest.mjs');
      const file = 'test/parity/longRows.test.ts';
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [vitest, 'run', '--project', 'parity', file, '-t', 'the kernel in'],
        { encoding: 'utf8', env: { ...process.env, [LEVEL]: level } },
      );
      expect(status, stdout + stderr).toBe(0);
    },
    120_000,
  );
});
