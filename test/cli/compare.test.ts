import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase, readWeight } from '../../src/formats/openBase';
import { findIntruders, INTRUDER_THRESHOLD } from '../../src/engine/compare/intruders';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { writePeftAdapter } from '../../src/formats/peft/write';
import type { LoraFactors } from '../../src/lora/adapter';
import { createRandom } from '../../src/shared/random';
import { readJson, tfBinding } from '../support/models';
import { smollm2Path } from '../support/realModels';
import { cli, fixtures, tempFolder } from '../support/commandLine';

const at = (...parts: readonly string[]) => path.join(fixtures, ...parts);
const formats = at('llama/formats');

interface Compared {
  readonly equal: boolean;
  readonly config: readonly { readonly key: string }[];
  readonly layers:
    | readonly {
        readonly path: string;
        readonly norm_base: number;
        readonly intruders: {
          readonly a: { readonly count: number; readonly best_cosines: readonly number[] } | null;
        } | null;
      }[]
    | null;
  readonly texts: { readonly a: string; readonly b: string };
}

/** The fixtures' base has another name than its folder. */
const OTHER_NAME = /The adapter was made for fixtures2?\/\w+-tiny, but this base is base;/;

async function compared(...args: readonly string[]): Promise<Compared> {
  const { code, stdout, stderr } = await cli('compare', ...args, '--json');
  const warnings = stderr.split('\n').filter((line) => line !== '' && !OTHER_NAME.test(line));
  expect([code, warnings]).toEqual([0, []]);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Compared;
}

/** The lines of the modules, without the settings. */
const modulesIn = (text: string) => text.slice(text.indexOf('\n\n'));

describe('an adapter is equivalent', () => {
  it.each(['adapter', 'mlx', 'gguf/adapter.gguf', 'kohya/adapter.safetensors'])(
    'to its copy in %s, with the same text',
    async (copy) => {
      const { equal, texts } = await compared(
        path.join(formats, 'adapter'),
        path.join(formats, copy),
        '--base',
        at('llama/base'),
      );
      expect(equal).toBe(true);
      expect(modulesIn(texts.b)).toBe(modulesIn(texts.a));
    },
  );

  it('to one with other factors of the same update, with the same text', async () => {
    const { adapter } = await readPeftAdapter(path.join(formats, 'adapter'));
    const twin = path.join(tempFolder(), 'twin');
    await writePeftAdapter(
      twin,
      {
        ...adapter,
        modules: adapter.modules.map((m) => ({
          ...m,
          A: m.A.map((x) => x * 3),
          B: m.B.map((x) => x / 3),
        })),
      },
      { task: 'causal_lm', labels: null, card: '' },
    );
    const { equal, texts } = await compared(path.join(formats, 'adapter'), twin);
    expect(equal).toBe(true);
    expect(texts.b).toBe(texts.a);
  });
});

it('the columns of both texts are aligned', async () => {
  const { texts, equal } = await compared(at('llama/pair/adapter_a'), at('llama/pair/adapter_b'));
  expect(equal).toBe(false);
  const columns = [texts.a, texts.b]
    .flatMap((text) => modulesIn(text).trim().split('\n'))
    .map((line) =>
      [line.indexOf('  r '), line.indexOf('‖dW‖'), line.indexOf('effective rank')].join(),
    );
  expect(columns.length).toBeGreaterThan(4);
  expect(new Set(columns).size).toBe(1);
});

interface IntruderCase {
  readonly norm_base: number;
  readonly at: readonly {
    readonly scale: number;
    readonly gap: readonly number[];
    readonly best_cosine: readonly number[];
  }[];
}

describe('intruder dimensions', () => {
  it('of a real model equal those of full SVDs in f64', async () => {
    const binding = await tfBinding();
    const { intruders } = readJson('real/smollm2/pair.json') as {
      intruders: Record<string, IntruderCase>;
    };
    const { modules } = (await readPeftAdapter(at('real/smollm2/adapter'))).adapter;
    const base = await openBase(await smollm2Path());
    const before = binding.getNumOfTensors();
    for (const [name, { at: scales }] of Object.entries(intruders)) {
      const m = modules.find((own) => own.path === name)!;
      const found = findIntruders(
        binding,
        { data: await readWeight(base, `${name}.weight`), isByInput: false },
        scales.map(({ scale }) => ({ ...m, scaling: m.scaling * scale })),
      );
      for (const [n, { gap, best_cosine }] of scales.entries()) {
        best_cosine.forEach((cosine, i) => {
          if (gap[i]! > 0.01)
            expect(
              Math.abs(found[n]!.best_cosines[i]! - cosine),
              `${name} ${i}`,
            ).toBeLessThanOrEqual(1e-5);
        });
        expect(found[n]!.count).toBe(
          best_cosine.filter((cosine) => cosine < INTRUDER_THRESHOLD).length,
        );
      }
    }
    expect(binding.getNumOfTensors()).toBe(before);
    expect(Object.keys(intruders).length).toBeGreaterThan(4);
    await base.close();
  });

  it('are the directions that an update adds, for both layouts of the weight', async () => {
    const binding = await tfBinding();
    // diag(4, 3, 2, 1)
    const W = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 4 - i / 5 : 0));
    const update: LoraFactors = {
      path: 'x',
      kind: 'linear',
      r: 1,
      in_features: 4,
      out_features: 4,
      scaling: 1e6,
      A: Float32Array.of(0, 0, 1, 0),
      B: Float32Array.of(0, 0, 1, 1),
      magnitude: null,
    };
    const [found] = findIntruders(binding, { data: W, isByInput: false }, [update]);
    expect(found!.best_cosines[0]).toBeCloseTo(Math.SQRT1_2, 3); // between the third and the fourth
    const random = createRandom(3, 'intruders');
    const numbers = (n: number) => Float32Array.from({ length: n }, () => random() - 0.5);
    const wide: LoraFactors = {
      ...update,
      in_features: 24,
      out_features: 12,
      r: 3,
      scaling: 5,
      A: numbers(72),
      B: numbers(36),
    };
    const weight = numbers(24 * 12);
    const transposed = Float32Array.from(
      { length: weight.length },
      (_, i) => weight[(i % 12) * 24 + Math.floor(i / 12)]!,
    );
    const [one, other] = [
      findIntruders(binding, { data: weight, isByInput: false }, [wide])[0]!,
      findIntruders(binding, { data: transposed, isByInput: true }, [wide])[0]!,
    ];
    one.best_cosines.forEach((cosine, i) => expect(other.best_cosines[i]).toBeCloseTo(cosine, 5));
    expect(one.best_cosines).toHaveLength(10);
    expect(
      findIntruders(binding, { data: weight, isByInput: false }, [
        { ...wide, B: new Float32Array(36) },
      ])[0],
    ).toMatchObject({ count: 0 });
  });

  it('are found on experts, whose gate and up the base has apart', async () => {
    const { layers } = await compared(
      at('qwen3_moe/experts/adapter'),
      at('qwen3_moe/all-linear/adapter'),
      '--base',
      at('qwen3_moe/base'),
    );
    const own = layers!.find(({ path: name }) => name.endsWith('experts.3.gate_up_proj'))!;
    const base = await openBase(at('qwen3_moe/base'));
    const halves = await Promise.all(
      ['gate_proj', 'up_proj'].map((half) =>
        base.weights.readF32(`${own.path.replace('gate_up_proj', half)}.weight`),
      ),
    );
    await base.close();
    const norms = halves.map((half) => Math.hypot(...half));
    expect(own.norm_base).toBeCloseTo(Math.hypot(...norms), 4);
  });

  it('are reported for each layer and adapter', async () => {
    const { layers } = await compared(
      at('llama/pair/adapter_a'),
      at('llama/pair/adapter_b'),
      '--base',
      at('llama/base'),
      '--intruders',
    );
    expect(layers!.length).toBeGreaterThan(2);
    for (const layer of layers!)
      if (layer.intruders?.a)
        expect(layer.intruders.a.count).toBe(
          layer.intruders.a.best_cosines.filter((cosine) => cosine < INTRUDER_THRESHOLD).length,
        );
    const { stdout } = await cli(
      'compare',
      at('llama/pair/adapter_a'),
      at('llama/pair/adapter_b'),
      '--base',
      at('llama/base'),
      '--intruders',
    );
    expect(stdout).toMatch(/amplification +intruders/);
    expect(
      (await cli('compare', at('llama/pair/adapter_a'), at('llama/pair/adapter_b'), '--intruders'))
        .stderr,
    ).toMatch(/--intruders needs --base/);
  });
});
