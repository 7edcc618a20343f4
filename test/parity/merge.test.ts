import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { linearsOf } from '../../src/formats/architecture/layerLinears';
import { canonicalNames } from '../../src/formats/architecture/names';
import { fromBF16, toBF16 } from '../../src/formats/floats';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import type { BaseModel } from '../../src/formats/baseModel';
import { storedModules } from '../../src/lora/experts';
import { mergeInto } from '../../src/lora/merge';
import type { Adapter } from '../../src/lora/adapter';
import { fixtures, gap, largest, readFloats, withBase, type Floats } from '../support/models';

/** The fixtures that contain weights merged by PEFT; rows of tokens have tests of their own. */
const CASES = readdirSync(fixtures, { recursive: true })
  .map((file) => String(file).replaceAll(path.sep, '/'))
  .flatMap(
    (file) =>
      /^(?!malformed|real|tokens)([^/]+\/[^/]+)\/expected\.safetensors$/.exec(file)?.[1] ?? [],
  );

async function mergedOf(base: BaseModel, adapter: Adapter, stored: string): Promise<Float32Array> {
  const [name] = [...canonicalNames([stored], base.spec).keys()];
  const trained = adapter.trained.find((tensor) => tensor.name === name);
  if (trained) return trained.data;
  const weight = (await base.weights.readF32(name!)).slice();
  const module = storedModules(adapter.modules).find((m) => `${m.path}.weight` === name)!;
  const { transposed = false } =
    base.spec.layers.flatMap(linearsOf).find((linear) => linear.path === module.path) ?? {};
  mergeInto(weight, module, transposed);
  return weight;
}

const namesOf = (floats: Floats, kind: string) =>
  [...floats.keys()]
    .filter((key) => key.startsWith(`${kind}.`) && key !== 'merged.logits')
    .map((key) => key.slice(kind.length + 1))
    .filter((name) => !STACKED.test(name));

/** The weights of all experts in one tensor: their merges are tested whole (test/cli/merge). */
const STACKED = /\.experts\.(?:gate_up_proj|down_proj)$/;

describe('W + s·BA', () => {
  it('equals the weights that PEFT merges, for every kind of adapter', async () => {
    const kinds = new Set<string>();
    for (const name of CASES) {
      const want = await readFloats(name, 'expected.safetensors');
      const names = namesOf(want, 'merged');
      if (names.length === 0) continue;
      await withBase(path.join(fixtures, name.split('/')[0]!, 'base'), async (base) => {
        const { adapter } = await readPeftAdapter(
          path.join(fixtures, name, 'adapter'),
          adapterBaseOf(base),
        );
        for (const stored of names) {
          const expected = want.get(`merged.${stored}`)!;
          expect(
            gap(await mergedOf(base, adapter, stored), expected),
            `${name} ${stored}`,
          ).toBeLessThanOrEqual(1e-6 * Math.max(1, largest(expected)));
        }
        kinds.add(name);
      });
    }
    expect([...kinds]).toEqual(
      expect.arrayContaining([
        'qwen3/dora',
        'gpt2/fan-in-fan-out',
        'vit/conv2d',
        'llama3/embed',
        'phi3/fused-linear',
        'gpt_neox/bias-lora-only',
        'mistral/modules-to-save-lm-head',
      ]),
    );
  });

  it('equals PEFT bit for bit if added in f32 and rounded once to bf16', async () => {
    const want = await readFloats('llama-sharded/bf16-merge', 'expected.safetensors');
    const names = namesOf(want, 'merged_bf16');
    expect(names.length).toBeGreaterThan(1);
    await withBase(path.join(fixtures, 'llama-sharded/base'), async (base) => {
      const { adapter } = await readPeftAdapter(
        path.join(fixtures, 'llama-sharded/bf16-merge/adapter'),
        adapterBaseOf(base),
      );
      for (const stored of names)
        expect(fromBF16(toBF16(await mergedOf(base, adapter, stored)))).toEqual(
          want.get(`merged_bf16.${stored}`),
        );
    });
  });
});
