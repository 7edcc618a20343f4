import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { planAdapter } from '../../../../src/engine/training/plans/adapterPlan';
import { mergeModel } from '../../../../src/engine/merge/mergeModel';
import { readAnyAdapter } from '../../../../src/formats/adapterFormat';
import { openBase } from '../../../../src/formats/openBase';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { openBaseUnder, refuseReplacements } from '../../../../src/formats/peft/vocabulary';
import { writePeftAdapter } from '../../../../src/formats/peft/write';
import { withSafetensors } from '../../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import { resizeFactors } from '../../../../src/lora/resize';
import { RecipeSchema } from '../../../../src/shared/recipe';
import { PLAIN_MERGE } from '../../../support/mergeOptions';
import { fixtures } from '../../../support/models';
import { temp } from '../../../support/temp';

const tied = (...parts: string[]) => path.join(fixtures, 'tied', ...parts);
const base = tied('base');
const EMBEDDING = 'base_model.model.model.embed_tokens';
const OUTPUT = 'base_model.model.lm_head';

type Change = (name: string, data: Float32Array) => Float32Array | null;

/** A copy of an adapter with other keys in its config and other tensors; null leaves one out. */
async function changedAdapter(name: string, keys: object, change: Change): Promise<string> {
  const folder = path.join(temp(), 'adapter');
  cpSync(tied(name, 'adapter'), folder, { recursive: true });
  const config = path.join(folder, 'adapter_config.json');
  const known = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeFileSync(config, JSON.stringify({ ...known, ...keys }));
  await changeWeights(path.join(folder, 'adapter_model.safetensors'), change);
  return folder;
}

async function changeWeights(file: string, change: Change): Promise<void> {
  const tensors = await withSafetensors(file, async (source) => {
    const changed = [];
    for (const { name, shape } of source.tensors.values()) {
      const data = change(name, await source.readF32(name));
      if (data) changed.push({ name, dtype: 'F32' as const, shape, data });
    }
    return changed;
  });
  await writeSafetensors(file, tensors);
}

const opened = (folder: string) => openBaseUnder(base, folder);

describe('ensure_weight_tying', () => {
  const increased = (wanted: string) => (name: string, data: Float32Array) =>
    name === wanted ? data.map((x) => x + 1) : data;

  it('is refused where the file contradicts it', async () => {
    for (const [name, tensor] of [
      ['tied-save-embed', `${OUTPUT}.weight`],
      ['tied-target-head', `${OUTPUT}.lora_A.weight`],
      ['tied-target-head', `${EMBEDDING}.lora_embedding_A`],
    ] as const) {
      const folder = await changedAdapter(name, {}, increased(tensor));
      for (const own of [await openBase(base), null]) {
        await expect(readAnyAdapter(folder, own), `${name} ${tensor}`).rejects.toMatchObject({
          area: 'adapter',
          message:
            'The config says that lm_head has the same numbers as model.embed_tokens (ensure_weight_tying), but their tensors differ.',
          place: { tensor: 'lm_head' },
        });
        await own?.close();
      }
    }
  });

  it('gives the embedding what only the output layer has in the file', async () => {
    const folder = await changedAdapter('tied-target-head', {}, (name, data) =>
      name.includes('embedding') ? null : data,
    );
    const model = await openBase(base);
    const { adapter } = await readAnyAdapter(folder, model);
    const whole = await readAnyAdapter(tied('tied-target-head', 'adapter'), model);
    await model.close();
    const byPath = (modules: typeof adapter.modules) => new Map(modules.map((m) => [m.path, m]));
    expect(byPath(adapter.modules)).toEqual(byPath(whole.adapter.modules));
  });

  it('is refused where training would continue with it', async () => {
    const model = await openBase(base);
    for (const name of ['tied-save-embed', 'tied-target-head']) {
      const recipe = v.parse(RecipeSchema, {
        base,
        dataset: 'data.jsonl',
        lora: { init_adapter: tied(name, 'adapter') },
      });
      await expect(
        planAdapter(recipe, model, { info: () => undefined, warn: () => undefined }),
      ).rejects.toMatchObject({ area: 'adapter', place: { key: 'lora.init_adapter' } });
    }
    await model.close();
  });

  it('has no effect on a base that ties nothing', async () => {
    const { adapter } = await readPeftAdapter(tied('tied-target-embed', 'adapter'), {
      modules: [
        { path: 'model.layers.0.self_attn.q_proj', kind: 'linear', in_features: 16 },
        { path: 'model.embed_tokens', kind: 'embedding', in_features: 24 },
      ].map((m) => ({ ...m, out_features: 16, is_output: false })) as never,
      names: [],
      tied: null,
    });
    expect(adapter.modules.map((m) => m.path)).not.toContain('lm_head');
  });

  it('is no longer said of an adapter with other factors', async () => {
    const { adapter } = await readAnyAdapter(tied('tied-target-both', 'adapter'), null);
    const { adapter: resized } = resizeFactors(adapter, { kind: 'rank', rank: 1 });
    const folder = path.join(temp(), 'resized');
    await writePeftAdapter(folder, resized, { task: 'causal_lm', labels: null, card: '' });
    const model = await openBase(base);
    const { adapter: again } = await readAnyAdapter(folder, model);
    await model.close();
    expect(again.config.raw['ensure_weight_tying']).toBe(false);
    expect(again.modules.map((m) => m.path)).toEqual(
      expect.arrayContaining(['lm_head', 'model.embed_tokens']),
    );
  });
});

describe('whole tensors that an adapter does not train', () => {
  const NORM = 'base_model.model.model.norm.weight';

  /** An adapter whose file has the base's final norm, times a factor. */
  async function withNorm(factor: number): Promise<string> {
    const folder = await changedAdapter('target-head', {}, (_, data) => data);
    const file = path.join(folder, 'adapter_model.safetensors');
    const model = await openBase(base);
    const norm = (await model.weights.readF32('model.norm.weight')).map((x) => x * factor);
    await model.close();
    const tensors = await withSafetensors(file, (source) =>
      Promise.all(
        [...source.tensors.values()].map(async ({ name, shape }) => ({
          name,
          shape,
          data: await source.readF32(name),
        })),
      ),
    );
    const all = [...tensors, { name: NORM, shape: [norm.length], data: norm }];
    await writeSafetensors(
      file,
      all.map((own) => ({ ...own, dtype: 'F32' as const })),
    );
    return folder;
  }

  it("replace the base's where they differ from it, as PEFT loads them", async () => {
    const model = await opened(await withNorm(3));
    const plain = await openBase(base);
    const norm = await plain.weights.readF32('model.norm.weight');
    expect([...model.replaced]).toEqual(['model.norm.weight']);
    expect(await model.weights.readF32('model.norm.weight')).toEqual(norm.map((x) => x * 3));
    await model.close();
    await plain.close();
  });

  it('do not where they are the same', async () => {
    const model = await opened(await withNorm(1));
    expect([...model.replaced]).toEqual([]);
    await model.close();
  });

  it('are refused below another adapter', async () => {
    const model = await openBase(base);
    await expect(refuseReplacements(await withNorm(2), model)).rejects.toMatchObject({
      area: 'adapter',
      message:
        'The adapter replaces model.norm.weight of the base, so it cannot be used below another one.',
    });
    await expect(refuseReplacements(await withNorm(1), model)).resolves.toBeUndefined();
    await model.close();
  });
});

describe('a merge into a base that ties its output layer', () => {
  it('writes the same where the base stores the tied output layer a second time', async () => {
    const stale = path.join(temp(), 'base');
    cpSync(base, stale, { recursive: true });
    const file = path.join(stale, 'model.safetensors');
    const model = await openBase(base);
    const embedding = await model.weights.readF32('model.embed_tokens.weight');
    const tensors = await Promise.all(
      [...model.weights.tensors.values()].map(async ({ name, shape }) => ({
        name,
        shape,
        data: await model.weights.readF32(name),
      })),
    );
    await model.close();
    const lmHead = { name: 'lm_head.weight', shape: [24, 16], data: embedding };
    await writeSafetensors(
      file,
      [...tensors, lmHead].map((own) => ({ ...own, dtype: 'F32' as const })),
    );
    const results = [];
    for (const from of [base, stale]) {
      const output = path.join(temp(), 'merged');
      await mergeModel({
        base: from,
        adapters: [tied('target-head', 'adapter')],
        output,
        ...PLAIN_MERGE,
      });
      const merged = await openBase(output);
      results.push({
        head: merged.spec.head,
        weight: await merged.weights.readF32('lm_head.weight'),
      });
      await merged.close();
    }
    expect(results[0]!.head).toMatchObject({ tied: false });
    expect(results[1]).toEqual(results[0]);
  });
});
