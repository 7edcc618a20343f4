import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { conversionLosses } from '../../../../src/formats/conversionLosses';
import { adapterBaseOf } from '../../../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { writePeftAdapter } from '../../../../src/formats/peft/write';
import { fixtures, readFloats, withBase } from '../../../support/models';

const family = path.join(fixtures, 'qwen3_moe');
const temporary = () => mkdtempSync(path.join(tmpdir(), 'lora-experts-'));

interface Written {
  readonly target_parameters: unknown;
  readonly target_modules: unknown;
  readonly rank_pattern: unknown;
}
const configOf = (folder: string): Written => {
  const text = readFileSync(path.join(folder, 'adapter_config.json'), 'utf8');
  const { target_parameters, target_modules, rank_pattern } = JSON.parse(text) as Written;
  return { target_parameters, target_modules, rank_pattern };
};

it.each(['attn', 'experts', 'all-linear', 'per-expert'])(
  'is written with the tensors and settings that were read: %s',
  async (name) => {
    const folder = path.join(family, name, 'adapter');
    const copy = path.join(temporary(), 'adapter');
    await withBase(path.join(family, 'base'), async (base) => {
      const { adapter, warnings } = await readPeftAdapter(folder, adapterBaseOf(base));
      const other = warnings.filter(({ place }) => place?.key !== 'base_model_name_or_path');
      expect(other).toEqual([]);
      await writePeftAdapter(copy, adapter, { task: 'causal_lm', labels: null, card: '' });
    });
    const file = 'adapter_model.safetensors';
    expect(new Map(await readFloats(path.relative(fixtures, copy), file))).toEqual(
      new Map(await readFloats(path.relative(fixtures, folder), file)),
    );
    expect(configOf(copy)).toEqual(configOf(folder));
  },
);

it('is not converted', async () => {
  const { adapter } = await readPeftAdapter(path.join(family, 'experts/adapter'));
  expect(conversionLosses(adapter, null, 'kohya')).toEqual([
    "adapters of experts cannot be stored for kohya's scripts: model.layers.0.mlp.experts.0.gate_up_proj",
  ]);
});

it.each([
  [{ r: 4 }, /has 2 experts in model\.layers\.0\.mlp\.experts, the base 4/],
  [{ r: 3 }, /not those of experts of rank 3/],
  [{ target_parameters: ['conv.weight'] }, /target_parameters of other parts than experts/],
])('is refused where it does not fit, %j', async (changes, message) => {
  const folder = path.join(temporary(), 'adapter');
  cpSync(path.join(family, 'experts/adapter'), folder, { recursive: true });
  const file = path.join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(
    file,
    JSON.stringify({ ...config, ...changes, rank_pattern: { q_proj: 2, v_proj: 2 } }),
  );
  await withBase(path.join(family, 'base'), async (base) => {
    await expect(readPeftAdapter(folder, adapterBaseOf(base))).rejects.toThrow(message);
  });
});

it.each([
  ['alpha_pattern', { 'gate.weight': 16 }, 'mlp.gate', 8],
  ['alpha_pattern', { gate: 16 }, 'mlp.gate', 2],
  ['alpha_pattern', { experts: 16 }, 'experts.0.down_proj', 2],
  ['alpha_pattern', { 'experts.down_proj': 16 }, 'experts.0.down_proj', 8],
] as const)('%s %j scales %s by %d, as in PEFT', async (key, pattern, end, scaling) => {
  const folder = path.join(temporary(), 'adapter');
  cpSync(path.join(family, 'all-linear/adapter'), folder, { recursive: true });
  const file = path.join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, object>;
  writeFileSync(file, JSON.stringify({ ...config, [key]: { ...config[key], ...pattern } }));
  const { adapter } = await withBase(path.join(family, 'base'), (base) =>
    readPeftAdapter(folder, adapterBaseOf(base)),
  );
  expect(adapter.modules.find((m) => m.path.endsWith(end))!.scaling).toBe(scaling);
});
