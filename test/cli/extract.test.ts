import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import { compareAdapters } from '../../src/lora/compare';
import { extractLayer } from '../../src/lora/extract';
import { jacobiSvd } from '../../src/lora/linalg/jacobiSvd';
import { createRandom } from '../../src/shared/random';
import { mergedBase, scaledAdapter } from '../support/adapters';
import { gap, largest } from '../support/models';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import { cli, fixtures, tempFolder } from '../support/commandLine';

const at = (...parts: readonly string[]) => path.join(fixtures, ...parts);
const newFolder = () => path.join(tempFolder(), 'adapter');

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

async function extracted(
  base: string,
  tuned: string,
  ...options: readonly string[]
): Promise<Result> {
  const { code, stdout, stderr } = await cli(
    'extract',
    '--base',
    base,
    '--tuned',
    tuned,
    '--output',
    newFolder(),
    '--json',
    ...options,
  );
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Result;
}

async function refusal(...args: readonly string[]): Promise<string> {
  const output = newFolder();
  const { code, stderr } = await cli('extract', ...args, '--output', output);
  expect(code).not.toBe(0);
  expect(existsSync(output)).toBe(false);
  return stderr;
}

/** A base of the fixtures, some of its tensors changed. */
async function changed(
  family: string,
  change: (name: string, data: Float32Array) => Float32Array,
): Promise<string> {
  const folder = await mergedBase(at(family, 'base'), {
    modules: [],
    trained: [],
    config: (await readPeftAdapter(at('llama/lora-qv/adapter'))).adapter.config,
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

describe.each(['llama', 'gpt2', 'gpt_neox', 'phi3', 'gemma'])('from a tuned %s', (family) => {
  it('the adapter that was merged into it comes back, at its ranks', async () => {
    const base = at(family, 'base');
    const { adapter } = await scaledAdapter(base);
    const tuned = await mergedBase(base, adapter);
    const { output, error, left_out } = await extracted(base, tuned, '--error', '0.0001');
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

it('base and extracted adapter answer as the tuned model', async () => {
  const base = at('llama/base');
  const tuned = await mergedBase(base, (await scaledAdapter(base)).adapter);
  const { output } = await extracted(base, tuned, '--rank', '8');
  const input = path.join(tempFolder(), 'in.json');
  writeFileSync(input, JSON.stringify({ input_ids: [[5, 9, 200, 31, 7, 88]] }));
  const logits = async (...args: readonly string[]) => {
    const file = path.join(tempFolder(), 'out.safetensors');
    expect((await cli('logits', ...args, '--input', input, '--output', file)).code).toBe(0);
    return withSafetensors(file, (source) => source.readF32('logits'));
  };
  const [want, have] = [
    await logits('--base', tuned),
    await logits('--base', base, '--adapter', output),
  ];
  expect(gap(have, want)).toBeLessThanOrEqual(1e-4 * Math.max(1, largest(want)));
});

it('a .gguf model and a folder of it are the same base', async () => {
  const { adapter } = await scaledAdapter(at('llama/base'));
  const { metadata, tensors } = await asGguf(await mergedBase(at('llama/base'), adapter), 'llama');
  const file = path.join(tempFolder(), 'tuned.gguf');
  writeFileSync(file, ggufBytes(metadata, tensors));
  const { output } = await extracted(at('llama/base'), file, '--rank', '8');
  expect(
    compareAdapters((await readPeftAdapter(output)).adapter, adapter).total.cosine,
  ).toBeGreaterThan(1 - 1e-9);
});

it('the error is that of the truncated SVD, by rank, energy and error', () => {
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
  const turned = Float32Array.from(
    { length: data.length },
    (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!,
  );
  const [one, other] = [
    extractLayer(layer, { kind: 'error', error: 0.4 })!,
    extractLayer({ ...layer, transposed: true, data: turned }, { kind: 'error', error: 0.4 })!,
  ];
  expect(other.factors.r).toBe(one.factors.r);
  expect(
    extractLayer({ ...layer, data: new Float32Array(data.length) }, { kind: 'rank', rank: 2 }),
  ).toBeNull();
});

it('what else differs is told, and unchanged layers are left out', async () => {
  const tuned = await changed('llama', (name, data) =>
    /norm\.weight$/.test(name) || name === 'model.layers.1.mlp.up_proj.weight'
      ? data.map((x, i) => x + (i % 7 === 0 ? 0.01 : 0))
      : data,
  );
  const { modules, left_out } = await extracted(at('llama/base'), tuned, '--rank', '2');
  expect(modules.map((m) => m.path)).toEqual(['model.layers.1.mlp.up_proj']);
  expect(left_out.map(({ name }) => name).sort()).toEqual(
    expect.arrayContaining(['model.norm.weight', 'model.layers.0.input_layernorm.weight']),
  );
  const { stdout } = await cli(
    'extract',
    '--base',
    at('llama/base'),
    '--tuned',
    tuned,
    '--rank',
    '2',
    '--output',
    newFolder(),
  );
  expect(stdout).toMatch(/1 modules of rank 2.*\nNot extracted.*norm\.weight \(by /);
});

describe('refused are', () => {
  it('the same model, and one in which only norms differ', async () => {
    expect(
      await refusal('--base', at('llama/base'), '--tuned', at('llama/base'), '--rank', '4'),
    ).toMatch(/the same: there is nothing to extract/);
    const norms = await changed('llama', (name, data) =>
      name === 'model.norm.weight' ? data.map((x) => 2 * x) : data,
    );
    expect(await refusal('--base', at('llama/base'), '--tuned', norms, '--rank', '4')).toMatch(
      /None of the targeted layers.*model\.norm\.weight/,
    );
  });

  it('another family, another shape, unknown targets, no rank', async () => {
    expect(
      await refusal('--base', at('llama/base'), '--tuned', at('gpt2/base'), '--rank', '4'),
    ).toMatch(/different families, llama and gpt2/);
    expect(
      await refusal('--base', at('llama/base'), '--tuned', at('llama3/base'), '--rank', '4'),
    ).toMatch(/another shape.*--base|nothing to extract|differs/s);
    expect(
      await refusal(
        '--base',
        at('llama/base'),
        '--tuned',
        at('llama/base'),
        '--rank',
        '4',
        '--target-modules',
        'q_prj',
      ),
    ).toMatch(/No module is called q_prj; did you mean q_proj/);
    expect(await refusal('--base', at('llama/base'), '--tuned', at('llama/base'))).toMatch(
      /exactly one of --rank, --energy and --error/,
    );
    expect(
      await refusal('--base', at('llama/base'), '--tuned', at('llama/base'), '--rank', '0'),
    ).toMatch(/at least 1/);
  });
});
