import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openGgufTarget } from '../../../../src/engine/merge/ggufTarget';
import {
  adaptedBase,
  readGgufAdapter,
  writeGgufAdapter,
} from '../../../../src/formats/gguf/adapter';
import { GgufFile } from '../../../../src/formats/gguf/read';
import { expertCount } from '../../../../src/formats/architecture/modules';
import type { BaseModel } from '../../../../src/formats/baseModel';
import { conversionLosses } from '../../../../src/formats/conversionLosses';
import { openBase } from '../../../../src/formats/openBase';
import { adapterBaseOf } from '../../../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import type { Adapter } from '../../../../src/lora/adapter';
import { isOnExpert, storedModules } from '../../../../src/lora/experts';
import { mergeInto } from '../../../../src/lora/merge';
import { ggufFamilyFor } from '../../../../src/formats/gguf/families';
import { encoderGguf } from '../../../support/ggufEncoders';
import { asGguf } from '../../../support/ggufFixture';
import { ggufBytes } from '../../../support/ggufWriter';
import { adapterGap, fixtures, gap, largest } from '../../../support/models';

const folder = mkdtempSync(path.join(tmpdir(), 'lora-gguf-merge-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Fixtures of encoders besides BERT. */
const ENCODERS: readonly string[] = ['roberta', 'xlm-roberta', 'distilbert', 'modernbert'];

async function ggufBase(fixture: string, arch: string): Promise<BaseModel> {
  const folderOf = path.join(fixtures, fixture, 'base');
  const labels = arch.endsWith(' labels');
  const isEncoder = labels || ENCODERS.includes(fixture);
  const { metadata, tensors } = isEncoder
    ? await encoderGguf(folderOf, labels)
    : await asGguf(folderOf, arch);
  const file = path.join(folder, `${fixture}.gguf`);
  writeFileSync(file, ggufBytes(metadata, tensors));
  return openBase(file);
}

const peftAdapter = async (base: BaseModel, name: string): Promise<Adapter> =>
  (await readPeftAdapter(path.join(fixtures, name, 'adapter'), adapterBaseOf(base))).adapter;

/** An adapter of the encoder alone, from one of a classifier. */
async function encoderAdapter(name: string): Promise<Adapter> {
  const base = await openBase(path.join(fixtures, name.split('/')[0]!, 'base'));
  const adapter = await peftAdapter(base, name);
  await base.close();
  const modules = adapter.modules
    .map((m) => ({ ...m, path: m.path.replace(/^(?:bert|roberta|distilbert|model)\./, '') }))
    .filter(({ path: own }) => !/^(?:head|classifier|pre_classifier)\b/.test(own));
  return { ...adapter, modules, trained: [] };
}

async function mergedFile(base: BaseModel, adapter: Adapter): Promise<string> {
  const output = path.join(mkdtempSync(path.join(folder, 'merged-')), 'merged.gguf');
  const target = await openGgufTarget(base, [adapter], {
    output,
    dtype: 'keep',
    max_shard_size: null,
    labels: null,
    top: null,
    retie: null,
  });
  await target.write(path.dirname(output), {
    signal: new AbortController().signal,
    file: base.path,
    onTensor: () => undefined,
    onBytes: () => undefined,
  });
  await target.close();
  return output;
}

const adapterOf = (base: BaseModel, name: string): Promise<Adapter> =>
  base.spec.task === 'embedding' ? encoderAdapter(name) : peftAdapter(base, name);

/** With the scales in B: the format has one alpha for all modules. */
const scaled = (adapter: Adapter): Adapter => ({
  ...adapter,
  modules: adapter.modules.map((m) => ({ ...m, scaling: 1, B: m.B.map((x) => x * m.scaling) })),
});

const CASES: readonly (readonly [name: string, arch: string])[] = [
  ['qwen3_moe/experts', 'qwen3moe'],
  ['qwen3_moe/per-expert', 'qwen3moe'],
  ['qwen3_moe/all-linear', 'qwen3moe'],
  ['gpt_oss/experts', 'gpt-oss'],
  ['gpt_oss/attn', 'gpt-oss'],
  ['qwen3_5/mixed', 'qwen35'],
  ['dora-qwen3_5/lora', 'qwen35'],
  ['gemma4/all-linear', 'gemma4'],
  ['gemma4-moe/experts', 'gemma4'],
  ['t5/qv', 't5'],
  ['t5-tied/lora', 't5'],
  ['bert/seq-cls', 'bert'],
  ['roberta/lora', 'bert'],
  ['xlm-roberta/seq-cls', 'bert'],
  ['distilbert/lora', 'bert'],
  ['modernbert/all-linear', 'modern-bert'],
  ['xlm-roberta/seq-cls', 'bert labels'],
  ['modernbert/seq-cls', 'modern-bert labels'],
];

describe('a merge into a .gguf file', () => {
  it.each(CASES)('of %s has W + s·BA in the tensors of %s', async (name, arch) => {
    const base = await ggufBase(name.split('/')[0]!, arch);
    const adapter = await adapterOf(base, name);
    const merged = await openBase(await mergedFile(base, adapter));
    const { weights } = base;
    const stored = adapter.modules.flatMap((m) =>
      weights.tensors.has(`${m.path}.weight`) ? [m] : storedModules([m]),
    );
    const changed = new Map(stored.map((m) => [`${m.path}.weight`, m]));
    const trained = new Map(adapter.trained.map((tensor) => [tensor.name, tensor.data]));
    for (const tensor of weights.tensors.keys()) {
      const want = (trained.get(tensor) ?? (await weights.readF32(tensor))).slice();
      const m = changed.get(tensor);
      if (m) mergeInto(want, m, false);
      const have = await merged.weights.readF32(tensor);
      expect(gap(have, want), tensor).toBeLessThanOrEqual(2e-6 * Math.max(1, largest(want)));
    }
    const all = [...changed.keys(), ...trained.keys()];
    expect(all.every((tensor) => weights.tensors.has(tensor))).toBe(true);
    await Promise.all([base.close(), merged.close()]);
  });
});

describe('an adapter for llama.cpp', () => {
  it.each(CASES.filter(([name]) => !/dora|gemma4|t5-tied/.test(name)))(
    'of %s is read back as it was',
    async (name, arch) => {
      const base = await ggufBase(name.split('/')[0]!, arch);
      const whole = await adapterOf(base, name);
      const { trained } = whole;
      const adapter = { ...whole, trained: [] }; // which the format lacks
      expect(conversionLosses(whole, base, 'gguf')).toHaveLength(trained.length > 0 ? 1 : 0);
      expect(conversionLosses(adapter, base, 'gguf')).toEqual([]);
      const file = path.join(folder, 'adapter.gguf');
      rmSync(file, { force: true });
      await writeGgufAdapter(file, adapter, {
        family: ggufFamilyFor(base.spec)!,
        base: adaptedBase(base.spec),
        experts: expertCount(base.spec),
        name: 'test',
      });
      const back = (await readGgufAdapter(file, adaptedBase(base.spec))).adapter;
      expect(adapterGap(scaled(back), scaled(adapter))).toBeLessThanOrEqual(2e-6);
      const given = adapter.config.raw['target_parameters'] ?? [];
      const parameters = back.config.raw['target_parameters'] ?? [];
      expect((parameters as string[]).length > 0).toBe((given as string[]).length > 0);
      const source = await GgufFile.open(file);
      const ofExperts = [...source.header.tensors.values()].filter(({ name: own }) =>
        own.includes('_exps.'),
      );
      expect(ofExperts.length > 0).toBe(adapter.modules.some(isOnExpert));
      for (const { shape } of ofExperts) expect(shape[0]).toBe(expertCount(base.spec));
      await Promise.all([source.close(), base.close()]);
    },
  );

  it.each([
    ['gemma4/all-linear', /does not apply factors of model\.per_layer_model_projection/],
    ['gemma4-moe/experts', /does not apply factors of model\.layers\.0\.experts\.0\.down_proj/],
  ])('is refused where llama.cpp would compute something else: %s', async (name, reason) => {
    const base = await ggufBase(name.split('/')[0]!, 'gemma4');
    const adapter = await peftAdapter(base, name);
    expect(conversionLosses(adapter, base, 'gguf').join()).toMatch(reason);
    await base.close();
  });
});
