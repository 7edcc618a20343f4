import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import { compareAdapters } from '../../src/lora/compare';
import { extractLayer } from '../../src/lora/extract';
import { jacobiSvd } from '../../src/lora/linalg/jacobiSvd';
import { createRandom } from '../../src/shared/random';
import { mergedBase, scaledAdapter } from '../support/adapters';
import { gap, largest } from '../support/models';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import {
  cliArgs,
  cliError,
  cliLogits,
  cliResult,
  inFixtures,
  newPath,
  type CliOptions,
} from '../support/cliResults';
import { cli, editJson } from '../support/commandLine';
import { updateOf } from '../support/conversions';

interface Result {
  readonly output: string;
  readonly error: number;
  readonly modules: readonly {
    readonly path: string;
    readonly r: number;
    readonly error: number;
  }[];
  readonly left_out: readonly { readonly name: string; readonly norm: number | null }[];
}

const extract = (base: string, tuned: string, size: CliOptions): Promise<Result> =>
  cliResult('extract', { base, tuned, output: newPath('adapter'), ...size });

async function refusal(base: string, tuned: string, options: CliOptions = {}): Promise<string> {
  const output = newPath('adapter');
  const message = await cliError('extract', { base, tuned, output, ...options });
  expect(existsSync(output)).toBe(false);
  return message;
}

/** A copy of a fixture's base with some tensors changed. */
async function changed(
  family: string,
  change: (name: string, data: Float32Array) => Float32Array,
): Promise<string> {
  const folder = await mergedBase(inFixtures(family, 'base'), {
    modules: [],
    trained: [],
    config: (await readPeftAdapter(inFixtures('llama/lora-qv/adapter'))).adapter.config,
  });
  const base = await openBase(folder);
  const tensors = await Promise.all(
    [...base.weights.tensors.values()].map(async ({ name, shape }) => ({
      name,
      shape,
      dtype: 'F32' as const,
      data: change(name, await base.weights.readF32(name)),
    })),
  );
  await base.close();
  await writeSafetensors(path.join(folder, 'model.safetensors'), tensors);
  return folder;
}

const plus = (x: number, i: number) => x + (i % 5) * 0.01;
const squared = (values: Float64Array) => values.reduce((sum, x) => sum + x * x, 0);

describe.each(['llama', 'gpt2', 'gpt_neox', 'phi3', 'gemma'])('from a tuned %s', (family) => {
  it('the adapter that was merged into it is recovered with its ranks', async () => {
    const base = inFixtures(family, 'base');
    const { adapter } = await scaledAdapter(base);
    const tuned = await mergedBase(base, adapter);
    const { output, error, left_out } = await extract(base, tuned, { error: 0.0001 });
    const back = (await readPeftAdapter(output)).adapter;
    const { total, only_a, only_b } = compareAdapters(back, adapter);
    expect([only_a, only_b, left_out]).toEqual([[], [], []]);
    expect(error).toBeLessThan(1e-5);
    // the rounding of W + dW in f32
    expect(total.norm_of_difference).toBeLessThanOrEqual(2e-5 * total.norm_b);
    expect(new Map(back.modules.map((m) => [m.path, m.r]))).toEqual(
      new Map(adapter.modules.map((m) => [m.path, m.r])),
    );
  });
});

it('base and extracted adapter have the logits of the tuned model', async () => {
  const base = inFixtures('llama/base');
  const tuned = await mergedBase(base, (await scaledAdapter(base)).adapter);
  const { output } = await extract(base, tuned, { rank: 8 });
  const inputs = { input_ids: [[5, 9, 200, 31, 7, 88]] };
  const want = await cliLogits(inputs, { base: tuned });
  const have = await cliLogits(inputs, { base, adapter: output });
  expect(gap(have, want)).toBeLessThanOrEqual(1e-4 * Math.max(1, largest(want)));
});

it('the tuned model may be a .gguf file', async () => {
  const { adapter } = await scaledAdapter(inFixtures('llama/base'));
  const { metadata, tensors } = await asGguf(
    await mergedBase(inFixtures('llama/base'), adapter),
    'llama',
  );
  const file = newPath('tuned.gguf');
  writeFileSync(file, ggufBytes(metadata, tensors));
  const { output } = await extract(inFixtures('llama/base'), file, { rank: 8 });
  expect(
    compareAdapters((await readPeftAdapter(output)).adapter, adapter).total.cosine,
  ).toBeGreaterThan(1 - 1e-9);
});

it('the error is that of the truncated SVD, for a rank, an energy and an error', () => {
  const random = createRandom(5, 'extract');
  const [rows, columns] = [40, 24];
  const data = Float32Array.from({ length: rows * columns }, () => random() - 0.5);
  const S = jacobiSvd(
    Array.from({ length: columns }, (_, c) =>
      Float64Array.from({ length: rows }, (_, r) => data[r * columns + c]!),
    ),
  ).S;
  const squares = S.map((s) => s * s);
  const whole = squares.reduce((a, b) => a + b, 0);
  const rest = (r: number) => Math.sqrt(squares.subarray(r).reduce((a, b) => a + b, 0));
  const layer = { path: 'x', in_features: columns, out_features: rows, transposed: false, data };
  for (const r of [1, 5, 23, 24, 90]) {
    const found = extractLayer(layer, { kind: 'rank', rank: r })!;
    expect(found.factors.r).toBe(Math.min(24, r));
    expect(Math.abs(found.lost - rest(r))).toBeLessThanOrEqual(1e-6 * Math.sqrt(whole));
  }
  for (const energy of [0.3, 0.9, 0.999, 1]) {
    const {
      factors: { r },
      lost,
    } = extractLayer(layer, { kind: 'energy', energy })!;
    expect(lost ** 2).toBeLessThanOrEqual((1 - energy) * whole + 1e-9);
    if (energy < 1) expect(rest(r - 1) ** 2).toBeGreaterThan((1 - energy) * whole);
  }
  const transposed = Float32Array.from(
    { length: data.length },
    (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!,
  );
  const [one, other] = [
    extractLayer(layer, { kind: 'error', error: 0.4 })!,
    extractLayer({ ...layer, transposed: true, data: transposed }, { kind: 'error', error: 0.4 })!,
  ];
  expect(other.factors.r).toBe(one.factors.r);
  expect(
    extractLayer({ ...layer, data: new Float32Array(data.length) }, { kind: 'rank', rank: 2 }),
  ).toBeNull();
});

it('other differences are reported, and unchanged layers are left out', async () => {
  const tuned = await changed('llama', (name, data) =>
    /norm\.weight$/.test(name) || name === 'model.layers.1.mlp.up_proj.weight'
      ? data.map((x, i) => x + (i % 7 === 0 ? 0.01 : 0))
      : data,
  );
  const { modules, left_out } = await extract(inFixtures('llama/base'), tuned, { rank: 2 });
  expect(modules.map((m) => m.path)).toEqual(['model.layers.1.mlp.up_proj']);
  expect(left_out.map(({ name }) => name).sort()).toEqual(
    expect.arrayContaining(['model.norm.weight', 'model.layers.0.input_layernorm.weight']),
  );
  const args = { base: inFixtures('llama/base'), tuned, rank: 2, output: newPath('adapter') };
  const { stdout } = await cli('extract', ...cliArgs(args));
  expect(stdout).toMatch(/1 module of rank 2.*\nNot extracted.*norm\.weight \(by /);
});

it('settings that differ are said, because no adapter holds them', async () => {
  const [base, tuned] = [inFixtures('llama/base'), await changed('llama', (_, x) => x.map(plus))];
  editJson(path.join(tuned, 'config.json'), {
    rope_parameters: { rope_theta: 500_000, rope_type: 'default' },
  });
  const args = { base, tuned, rank: 2, output: newPath('adapter') };
  const { code, stdout } = await cli('extract', ...cliArgs(args));
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/do not compute what.*: attention\.rope\.theta \(10000, now 500000\)$/m),
  ]);
});

it.each([1, 4, 1000])('rank %i has the least error, and states it', async (rank) => {
  const base = inFixtures('llama/base');
  const random = createRandom(rank, 'extract');
  const tuned = await changed('llama', (name, data) =>
    name.includes('proj') ? data.map((x) => x + 0.02 * (random() - 0.5)) : data,
  );
  const { output, error, modules, left_out } = await extract(base, tuned, { rank });
  expect(left_out).toEqual([]);
  const { adapter } = await readPeftAdapter(output);
  const [before, after] = [await openBase(base), await openBase(tuned)];
  let [lost, whole] = [0, 0];
  for (const m of adapter.modules) {
    const [x, y] = [
      await before.weights.readF32(`${m.path}.weight`),
      await after.weights.readF32(`${m.path}.weight`),
    ];
    const dW = y.map((value, i) => value - x[i]!);
    const { in_features: n, out_features } = m;
    const S = jacobiSvd(
      Array.from({ length: out_features }, (_, row) =>
        Float64Array.from(dW.subarray(row * n, (row + 1) * n)),
      ),
    ).S;
    const least = Math.sqrt(squared(S.subarray(m.r)));
    const update = updateOf(m);
    const real = Math.sqrt(squared(update.map((value, i) => value - dW[i]!)));
    const norm = Math.sqrt(squared(S));
    expect(Math.abs(real - least)).toBeLessThanOrEqual(1e-6 * norm);
    const stated = modules.find(({ path: own }) => own === m.path)!.error;
    expect(Math.abs(stated - real / norm)).toBeLessThanOrEqual(1e-6);
    [lost, whole] = [lost + real ** 2, whole + norm ** 2];
  }
  await Promise.all([before.close(), after.close()]);
  expect(modules.every(({ r }) => r <= rank)).toBe(true);
  expect(Math.abs(error - Math.sqrt(lost / whole))).toBeLessThanOrEqual(1e-6);
});

describe('refused', () => {
  const llama = inFixtures('llama/base');

  it('are two equal models, and models of which only norms differ', async () => {
    expect(await refusal(llama, llama, { rank: 4 })).toMatch(
      /the same: there is nothing to extract/,
    );
    const norms = await changed('llama', (name, data) =>
      name === 'model.norm.weight' ? data.map((x) => 2 * x) : data,
    );
    expect(await refusal(llama, norms, { rank: 4 })).toMatch(
      /None of the targeted layers.*model\.norm\.weight/,
    );
  });

  it('are numbers that are not finite, in either model, and differences beyond float32', async () => {
    const of = (value: number) =>
      changed('llama', (name, data) =>
        name === 'model.norm.weight' ? data.with(1, value) : data.map(plus),
      );
    const [nan, low, high] = [await of(NaN), await of(-3e38), await of(3e38)];
    for (const [base, tuned] of [
      [llama, nan],
      [nan, llama],
    ] as const) {
      const message = await refusal(base, tuned, { rank: 4 });
      expect(message).toContain(`${nan}, tensor model.norm.weight: Element 1 is NaN.`);
    }
    expect(await refusal(low, high, { rank: 4 })).toMatch(/Element 1 differs by more than float32/);
  });

  it('are another family, another shape, unknown targets and a missing rank', async () => {
    expect(await refusal(llama, inFixtures('gpt2/base'), { rank: 4 })).toMatch(
      /different families, llama and gpt2/,
    );
    expect(await refusal(llama, inFixtures('llama3/base'), { rank: 4 })).toMatch(
      /another shape.*--base|nothing to extract|differs/s,
    );
    expect(await refusal(llama, llama, { rank: 4, 'target-modules': 'q_prj' })).toMatch(
      /There is no module q_prj; did you mean q_proj/,
    );
    expect(await refusal(llama, llama)).toMatch(/exactly one of --rank, --energy and --error/);
    expect(await refusal(llama, llama, { rank: 4, error: 0.1 })).toMatch(/exactly one of --rank/);
    expect(await refusal(llama, llama, { rank: 0 })).toMatch(/at least 1/);
  });
});
