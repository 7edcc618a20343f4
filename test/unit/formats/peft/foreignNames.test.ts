import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adapterFiles, readAnyAdapter } from '../../../../src/formats/adapterFormat';
import type { BaseModel } from '../../../../src/formats/baseModel';
import type { ImportedAdapter } from '../../../../src/formats/importedAdapter';
import { openBase } from '../../../../src/formats/openBase';
import type { FitOptions } from '../../../../src/formats/peft/againstBase';
import { readAdapterTask } from '../../../../src/formats/peft/task';
import { withSafetensors } from '../../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../../src/formats/tensorWriter';
import { expectSameUpdates } from '../../../support/conversions';
import { temp } from '../../../support/temp';

const FIXTURE = path.resolve(import.meta.dirname, '../../../fixtures/llama');
const ADAPTER = path.join(FIXTURE, 'all-linear/adapter');
const WEIGHTS = 'adapter_model.safetensors';
const INDEX = `${WEIGHTS}.index.json`;

async function base(): Promise<BaseModel> {
  const opened = await openBase(path.join(FIXTURE, 'base'));
  onTestFinished(() => opened.close());
  return opened;
}

async function weights(): Promise<TensorToWrite[]> {
  return withSafetensors(path.join(ADAPTER, WEIGHTS), async (source) => {
    const tensors: TensorToWrite[] = [];
    for (const { name, shape } of source.tensors.values())
      tensors.push({ name, dtype: 'F32', shape, data: await source.readF32(name) });
    return tensors;
  });
}

/** A copy of the adapter with other names of its tensors and other settings. */
async function copyWith(
  rename: (name: string) => string,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const folder = path.join(temp(), 'adapter');
  cpSync(ADAPTER, folder, { recursive: true });
  const config = path.join(folder, 'adapter_config.json');
  const own = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeFileSync(config, JSON.stringify({ ...own, ...settings }));
  const tensors = (await weights()).map((tensor) => ({ ...tensor, name: rename(tensor.name) }));
  await writeSafetensors(path.join(folder, WEIGHTS), tensors);
  return folder;
}

const read = async (folder: string, fit?: FitOptions): Promise<ImportedAdapter> =>
  readAnyAdapter(folder, await base(), fit);

const messagesOf = (warnings: ImportedAdapter['warnings']) => warnings.map((own) => own.message);

describe('names of a wrapped model', () => {
  const inner = (change: (own: string) => string) => (name: string) =>
    `base_model.model.${change(name.slice('base_model.model.'.length))}`;

  it.each<[string, (name: string) => string]>([
    ['no prefix', (name) => name.slice('base_model.model.'.length)],
    ['a double prefix', (name) => `base_model.model.${name}`],
    ['torch.compile', inner((own) => `_orig_mod.${own}`)],
    ['torch.compile outside', (name) => `_orig_mod.${name}`],
    ['torch.compile of layers', inner((own) => own.replace(/(layers\.\d+)/, '$1._orig_mod'))],
    ['torch.compile of modules', (name) => name.replace('.lora_', '._orig_mod.lora_')],
    ['torch.compile of some', (name) => name.replace('mlp.', 'mlp._orig_mod.')],
    ['DataParallel', inner((own) => `module.${own}`)],
    ['DataParallel outside', (name) => `module.${name}`],
    ['DataParallel of torch.compile', inner((own) => `module._orig_mod.${own}`)],
    ['a language model', inner((own) => `language_model.${own}`)],
    ['a language model inside', inner((own) => own.replace('model.', 'model.language_model.'))],
    ['the body alone', inner((own) => own.replace('model.', ''))],
  ])('are those of the base: %s', async (_, rename) => {
    const want = await read(ADAPTER, { partial: false });
    const have = await read(await copyWith(rename), { partial: false });
    expectSameUpdates(have.adapter, want.adapter);
    expect(have.adapter.modules.map((m) => m.scaling)).toEqual(
      want.adapter.modules.map((m) => m.scaling),
    );
    expect(messagesOf(have.warnings)).toEqual(messagesOf(want.warnings));
  });

  it('keep the ranks and scales that patterns of the old names give', async () => {
    const folder = await copyWith((name) => name.replace('.model.model.', '.model._orig_mod.'), {
      alpha_pattern: { '_orig_mod.layers.0.self_attn.q_proj': 3 },
    });
    const { modules, config } = (await read(folder)).adapter;
    const changed = modules.filter((m) => m.path === 'model.layers.0.self_attn.q_proj');
    expect(changed.map((m) => m.scaling * m.r)).toEqual([3]);
    expect(config.alpha_pattern).toEqual({ 'model\\.layers\\.0\\.self_attn\\.q_proj': 3 });
  });

  it('are refused by name when two are one module', async () => {
    const folder = await copyWith((name) =>
      name.replace('layers.0.self_attn.k_proj', '_orig_mod.layers.0.self_attn.v_proj'),
    );
    await expect(read(folder)).rejects.toThrow(
      /more than one lora_[AB] for model\.layers\.0\.self_attn\.v_proj: .*_orig_mod.* and /,
    );
  });
});

describe('an adapter that fits its base in part', () => {
  const NAMES = '(?:q|k|v|o|gate|up|down)_proj';
  const foreign = () =>
    copyWith((name) => name.replace(/layers\.0\.mlp/, 'layers.9.mlp'), {
      target_modules: `.*\\.${NAMES}`,
    });

  it('is refused, with the numbers of modules', async () => {
    await expect(read(await foreign(), { partial: false })).rejects.toMatchObject({
      message:
        'The adapter changes model.layers.9.mlp.down_proj, which the base does not have. Only 11 of 14 modules fit the base.',
      fix: expect.stringContaining('--partial') as string,
    });
  });

  it('loses the other modules with --partial, which a warning names', async () => {
    const { adapter, warnings } = await read(await foreign(), { partial: true });
    expect(adapter.modules).toHaveLength(11);
    expect(adapter.config.target_modules).toHaveLength(11);
    expect(warnings.map(({ message }) => message)).toContain(
      '3 of 14 modules and tensors do not fit the base and are left out: model.layers.9.mlp.down_proj, model.layers.9.mlp.gate_proj, model.layers.9.mlp.up_proj.',
    );
  });

  it('is refused with --partial when nothing fits', async () => {
    const folder = await copyWith((name) => name.replace('layers.', 'blocks.'), {
      target_modules: `.*\\.${NAMES}`,
    });
    await expect(read(folder, { partial: true })).rejects.toThrow(/which the base does not have/);
  });

  it('is refused when target_modules leaves out some of its modules', async () => {
    const folder = await copyWith((name) => name, { target_modules: ['q_proj', 'k_proj'] });
    await expect(read(folder, { partial: false })).rejects.toThrow(
      /are not in target_modules: only 4 of 14 modules would be used/,
    );
    expect((await read(folder, { partial: true })).adapter.modules).toHaveLength(4);
  });
});

describe('target_modules with look-ahead', () => {
  it.each([
    { target_modules: '^(?!.*lm_head).*_proj$' },
    { target_modules: '.*(?<!lm)_proj' },
    { target_modules: 'all-linear', exclude_modules: '(?=.*lm_head).*' },
    { target_modules: '(?P<a>q)_(?!\\1)proj' },
  ])('means the modules of the weights file: %j', async (settings) => {
    const want = await read(ADAPTER);
    const { adapter, warnings } = await read(await copyWith((name) => name, settings), {
      partial: false,
    });
    expectSameUpdates(adapter, want.adapter);
    expect(adapter.config).toMatchObject({
      target_modules: want.adapter.modules.map((m) => m.path),
      exclude_modules: null,
    });
    expect(messagesOf(warnings)).toEqual(messagesOf(want.warnings));
  });
});

describe('weights in several files', () => {
  /** A copy whose weights are in two files, and the index, which `change` may change. */
  async function sharded(change: (map: Record<string, string>) => void = () => undefined) {
    const folder = path.join(temp(), 'adapter');
    cpSync(ADAPTER, folder, { recursive: true });
    rmSync(path.join(folder, WEIGHTS));
    const tensors = await weights();
    const map: Record<string, string> = {};
    for (const n of [1, 2]) {
      const file = `adapter_model-0000${n}-of-00002.safetensors`;
      const own = tensors.filter((_, i) => i < 11 === (n === 1));
      await writeSafetensors(path.join(folder, file), own);
      for (const { name } of own) map[name] = file;
    }
    change(map);
    writeFileSync(
      path.join(folder, INDEX),
      JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }),
    );
    return folder;
  }

  it('are read as one, given the folder or any of the files', async () => {
    const folder = await sharded();
    const want = await read(ADAPTER);
    for (const place of [folder, ...readdirSync(folder).map((name) => path.join(folder, name))]) {
      if (place.endsWith('README.md')) continue;
      const { adapter, warnings } = await read(place, { partial: false });
      expectSameUpdates(adapter, want.adapter);
      expect(messagesOf(warnings)).toEqual(messagesOf(want.warnings));
      expect((await readAdapterTask(place)).task).toBe('causal_lm');
    }
    expect(
      (await adapterFiles({ format: 'peft', path: folder })).map((file) => path.basename(file)),
    ).toEqual([
      'adapter_config.json',
      INDEX,
      'adapter_model-00001-of-00002.safetensors',
      'adapter_model-00002-of-00002.safetensors',
    ]);
  });

  it.each<[string, (map: Record<string, string>) => void, RegExp]>([
    [
      'misses a file',
      (map) => (map['x'] = 'adapter_model-00003-of-00003.safetensors'),
      /part of the adapter is missing/,
    ],
    [
      'names a tensor that is not there',
      (map) => (map['x'] = 'adapter_model-00001-of-00002.safetensors'),
      /but it is not there/,
    ],
    [
      'misses a tensor',
      (map) => Reflect.deleteProperty(map, Object.keys(map)[0]!),
      /in this file, but not by/,
    ],
    [
      'leaves the folder',
      (map) => (map['x'] = '../x.safetensors'),
      /not a safetensors file in the adapter's folder/,
    ],
  ])('are refused when the index %s', async (_, change, reason) => {
    const folder = await sharded(change);
    await expect(read(folder)).rejects.toMatchObject({
      area: 'adapter',
      message: expect.stringMatching(reason) as string,
    });
  });

  it('are refused without their index, and beside a single file', async () => {
    const folder = await sharded();
    cpSync(path.join(ADAPTER, WEIGHTS), path.join(folder, WEIGHTS));
    await expect(read(folder)).rejects.toThrow(/holds both adapter_model\.safetensors and/);
    rmSync(path.join(folder, WEIGHTS));
    rmSync(path.join(folder, INDEX));
    await expect(read(folder)).rejects.toThrow(/has no adapter_model\.safetensors\.index\.json/);
  });
});

describe('a folder with weights of two formats', () => {
  it('is refused', async () => {
    const folder = path.join(temp(), 'adapter');
    cpSync(ADAPTER, folder, { recursive: true });
    cpSync(
      path.join(FIXTURE, 'formats/mlx/adapters.safetensors'),
      path.join(folder, 'adapters.safetensors'),
    );
    await expect(read(folder)).rejects.toThrow(/weights of PEFT and of mlx-lm/);
  });
});
