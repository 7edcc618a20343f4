import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { mergedBase, scaledAdapter } from '../support/adapters';
import { cliLogits, inFixtures, newPath } from '../support/cliResults';
import { cli } from '../support/commandLine';
import {
  conversionError,
  convert,
  expectClose,
  expectSameUpdates,
  ggufMetadata,
  readConverted,
  tensorsIn,
  updateOf,
} from '../support/conversions';
import { asGguf } from '../support/ggufFixture';
import { expectVerified } from '../support/merges';
import { readFloats, readJson, type SingleCase } from '../support/models';

const base = inFixtures('llama/base');
/** An adapter of PEFT, and the same adapter as other programs write it. */
const original = inFixtures('llama/formats/adapter');
const copies = {
  mlx: inFixtures('llama/formats/mlx'),
  gguf: inFixtures('llama/formats/gguf/adapter.gguf'),
  kohya: inFixtures('llama/formats/kohya/adapter.safetensors'),
} as const;
const COPIES = Object.entries(copies) as [keyof typeof copies, string][];

const readOriginal = async (adapter: string) => (await readPeftAdapter(adapter)).adapter;
const { inputs } = readJson('llama', 'formats', 'expected.json') as SingleCase;
const expectedTensors = () => readFloats('llama', 'formats', 'expected.safetensors');

describe("PEFT's adapter and its copies in other formats", () => {
  it.each(COPIES)("%s becomes PEFT's, with the same updates and logits", async (_, copy) => {
    const { output } = await convert(copy, 'peft', base);
    expectSameUpdates(await readOriginal(output), await readOriginal(original));
    const logits = await cliLogits(inputs, { base, adapter: output });
    expectClose(logits, (await expectedTensors()).get('adapter.logits')!, 5e-5);
  });

  it.each(COPIES)('it becomes the %s file, equal in every number', async (format, copy) => {
    const { output } = await convert(original, format, base);
    const weightsIn = (place: string) =>
      format === 'mlx' ? path.join(place, 'adapters.safetensors') : place;
    const have = await tensorsIn(weightsIn(output));
    const want = await tensorsIn(weightsIn(copy));
    expect([...have.keys()].sort()).toEqual([...want.keys()].sort());
    for (const [name, tensor] of want) {
      expect(have.get(name)).toEqual(tensor);
    }
  });

  it("mlx-lm's settings and llama.cpp's metadata equal those of the copies", async () => {
    const mlx = await convert(original, 'mlx', base);
    const settingsIn = (folder: string) =>
      JSON.parse(readFileSync(path.join(folder, 'adapter_config.json'), 'utf8')) as object;
    expect(settingsIn(mlx.output)).toEqual({ ...settingsIn(copies.mlx), adapter_path: 'adapter' });
    const gguf = await convert(original, 'gguf', base);
    const have = await ggufMetadata(gguf.output);
    for (const [key, value] of await ggufMetadata(copies.gguf)) {
      expect([key, have.get(key)]).toEqual([key, key === 'general.name' ? 'formats' : value]);
    }
    expect(have.get('general.base_model.0.name')).toBe('fixtures/llama-tiny');
  });

  it("kohya and mlx-lm can be read without the base, llama.cpp's row order cannot", async () => {
    for (const copy of [copies.kohya, copies.mlx]) {
      const { output } = await convert(copy, 'peft', null);
      expectSameUpdates(await readOriginal(output), await readOriginal(original));
    }
    expect(
      await conversionError({ adapter: copies.gguf, to: 'peft', output: newPath('x') }),
    ).toMatch(/attn_\w+\.weight\.lora_b.*depends on the head size.*--base/s);
    expect(
      await conversionError({ adapter: original, to: 'gguf', output: newPath('x.gguf') }),
    ).toMatch(/needs its base.*--base/s);
  });
});

describe.each(COPIES)(
  'a copy in the format of %s is used without conversion',
  (format, adapter) => {
    it('by logits and merge', async () => {
      const want = await expectedTensors();
      const logits = await cliLogits(inputs, { base, adapter });
      expectClose(logits, want.get('adapter.logits')!, 5e-5);
      const output = newPath('merged');
      const args = ['--base', base, '--adapter', adapter, '--output', output, '--no-parity'];
      expect((await cli('merge', ...args)).code).toBe(0);
      const merged = [...want].filter(
        ([name]) => name.startsWith('merged.') && name !== 'merged.logits',
      );
      expect(merged.length).toBeGreaterThan(0);
      await withSafetensors(path.join(output, 'model.safetensors'), async (source) => {
        for (const [name, data] of merged) {
          expectClose(await source.readF32(name.slice('merged.'.length)), data, 1e-6);
        }
      });
      await expectVerified(output);
    });

    it('by inspect, without its base', async () => {
      const { stdout } = await cli('inspect', adapter);
      expect(stdout).toContain(`LoRA adapter (${format}): r = 4, lora_alpha = 8, 14 modules`);
    });
  },
);

const DECODERS = [
  'llama',
  'llama3',
  'mistral',
  'qwen2',
  'qwen3',
  'gemma',
  'gemma2',
  'gemma3_text',
  'phi3',
  'olmo2',
  'smollm3',
  'gpt2',
  'gpt_neox',
  'granite',
  'ernie4_5',
  'glm4',
  'seed_oss',
];

describe.each(DECODERS)('an adapter of %s with rsLoRA and different ranks and alphas', (family) => {
  const ownBase = inFixtures(family, 'base');

  it('keeps its updates from PEFT to mlx-lm, kohya, llama.cpp and back', async () => {
    const { folder, adapter } = await scaledAdapter(ownBase);
    let place = folder;
    for (const format of ['mlx', 'kohya', 'gguf', 'peft'] as const) {
      place = (await convert(place, format, ownBase)).output;
      expectSameUpdates(await readConverted(place, ownBase), adapter);
    }
    const back = await readOriginal(place);
    expect(new Map(back.modules.map((m) => [m.path, m.r]))).toEqual(
      new Map(adapter.modules.map((m) => [m.path, m.r])),
    );
  });
});

/** llama.cpp's names of the architectures. */
const ARCHES: Readonly<Record<string, string>> = {
  llama: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gemma: 'gemma',
  phi3: 'phi3',
  olmo2: 'olmo2',
  smollm3: 'smollm3',
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
  granite: 'granite',
  ernie4_5: 'ernie4_5',
  glm4: 'glm4',
  seed_oss: 'seed_oss',
};

it.each(Object.entries(ARCHES))(
  "llama.cpp adds to the tensors of %s what merging adds to the checkpoint's",
  async (family, arch) => {
    const ownBase = inFixtures(family, 'base');
    const { folder, adapter } = await scaledAdapter(ownBase);
    const { output } = await convert(folder, 'gguf', ownBase);
    const metadata = await ggufMetadata(output);
    expect(metadata.get('general.architecture')).toBe(arch);
    const alpha = metadata.get('adapter.lora.alpha') as number;
    const lora = await tensorsIn(output);
    const plain = await asGguf(ownBase, arch);
    const merged = await asGguf(await mergedBase(ownBase, adapter), arch);
    let adapted = 0;
    for (const { name, shape, data } of plain.tensors) {
      const want = merged.tensors.find((tensor) => tensor.name === name)!.data;
      const [a, b] = [lora.get(`${name}.lora_a`), lora.get(`${name}.lora_b`)];
      if (!a || !b) {
        expect(want).toEqual(data);
        continue;
      }
      adapted++;
      const [out_features, in_features] = shape as [number, number];
      const r = a.shape[0]!;
      const dW = updateOf({
        r,
        in_features,
        out_features,
        scaling: alpha / r,
        A: a.data,
        B: b.data,
      });
      const sum = data.map((w, i) => w + dW[i]!);
      expectClose(sum, want, 2e-6);
    }
    expect(adapted).toBe(adapter.modules.length);
  },
);

describe('a conversion keeps', () => {
  it('an untied embedding and an output layer, in mlx-lm and llama.cpp', async () => {
    const ownBase = inFixtures('llama3/base');
    for (const name of ['embed', 'lm-head']) {
      const adapter = inFixtures('llama3', name, 'adapter');
      const want = await readOriginal(adapter);
      for (const format of ['mlx', 'gguf'] as const) {
        const { output } = await convert(adapter, format, ownBase);
        expectSameUpdates(await readConverted(output, ownBase), want);
      }
    }
  });

  it('DoRA, to mlx-lm and back', async () => {
    const adapter = inFixtures('qwen3/dora/adapter');
    const mlx = await convert(adapter, 'mlx', inFixtures('qwen3/base'));
    const { output } = await convert(mlx.output, 'peft', inFixtures('qwen3/base'));
    const back = await readOriginal(output);
    expect(back.config.use_dora).toBe(true);
    expectSameUpdates(back, await readOriginal(adapter));
  });

  it('a convolution, to kohya and back', async () => {
    const adapter = inFixtures('vit/conv2d/adapter');
    const { output } = await convert(adapter, 'kohya', inFixtures('vit/base'));
    expectSameUpdates(
      await readConverted(output, inFixtures('vit/base')),
      await readOriginal(adapter),
    );
  });
});

it('--merge merges an adapter that the format cannot hold', async () => {
  const output = newPath('adapter.safetensors');
  const { code, stdout, stderr } = await cli(
    'convert',
    `--adapter=${inFixtures('qwen3/dora/adapter')}`,
    `--base=${inFixtures('qwen3/base')}`,
    '--to=kohya',
    `--output=${output}`,
    '--merge',
  );
  const folder = output.replace('.safetensors', '');
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(/cannot hold all .* merged into its base/),
  ]);
  expect(stdout).toContain(folder);
  expect(existsSync(output)).toBe(false);
  expect(JSON.parse(readFileSync(path.join(folder, 'merge.json'), 'utf8'))).toMatchObject({
    parity: { top1_agreement: 1 },
  });
});

it('--modelfile names base and adapter, and overwrites nothing', async () => {
  const modelfile = newPath('Modelfile');
  const { output } = await convert(original, 'gguf', base, { modelfile });
  expect(readFileSync(modelfile, 'utf8')).toBe(`FROM ${base}\nADAPTER ${output}\n`);
  const again = { adapter: original, to: 'gguf', base, modelfile, output: newPath('b.gguf') };
  expect(await conversionError(again)).toMatch(
    /The Modelfile could not be written: it exists already/,
  );
});
