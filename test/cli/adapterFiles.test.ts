import { copyFileSync, cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli, filesIn, fixtures, tempFolder } from '../support/commandLine';
import { expectSameUpdates, readConverted, tensorsIn } from '../support/conversions';
import { updatesOf } from '../support/pipelines';

const FORMATS = path.join(fixtures, 'llama/formats');
const BASE = path.join(fixtures, 'llama/base');
const FILES = path.join(fixtures, 'lora-files');
const PEFT = path.join(FORMATS, 'adapter');

/** A folder with only one file, as downloads are. */
function folderOf(file: string, name = path.basename(file)): string {
  const folder = tempFolder();
  copyFileSync(file, path.join(folder, name));
  return folder;
}

/** Runs a command that must succeed; its result. */
async function run(...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const { code, stdout, stderr } = await cli(...args, '--json');
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
}

const GGUF = path.join(FORMATS, 'gguf/adapter.gguf');
const KOHYA = path.join(FORMATS, 'kohya/adapter.safetensors');

describe.each([
  ['of PEFT', 'peft', () => PEFT],
  ['of mlx-lm', 'mlx', () => path.join(FORMATS, 'mlx')],
  ['of llama.cpp, a file', 'gguf', () => GGUF],
  ['of llama.cpp, in a folder', 'gguf', () => folderOf(GGUF)],
  ["of kohya's scripts, a file", 'kohya', () => KOHYA],
  ["of kohya's scripts, in a folder", 'kohya', () => folderOf(KOHYA)],
] as const)('an adapter %s', (_, format, place) => {
  it('has the same updates after compare, combine, resize, inspect and convert', async () => {
    const adapter = place();
    const out = (name: string) => path.join(tempFolder(), name);
    const [combined, resized] = [out('combined'), out('resized')];
    const [own, base] = [
      ['--adapter', adapter, '--base', BASE],
      ['--base', BASE],
    ] as const;
    expect(await run('compare', adapter, PEFT, ...base)).toMatchObject({ equal: true });
    expect(await run('inspect', adapter)).toMatchObject({ format });
    await run(
      'combine',
      ...own,
      '--adapter',
      PEFT,
      '--weights',
      '0.5,0.5',
      '--type',
      'cat',
      '--output',
      combined,
    );
    await run('resize', ...own, '--rank', '64', '--output', resized);
    const want = await readConverted(PEFT, BASE);
    for (const copy of [combined, resized])
      expectSameUpdates(await readConverted(copy, BASE), want);
    for (const [to, name] of [
      ['peft', 'adapter'],
      ['mlx', 'adapter'],
      ['gguf', 'adapter.gguf'],
      ['kohya', 'adapter.safetensors'],
    ] as const) {
      if (to === format) continue;
      const copy = out(name);
      await run('convert', ...own, '--to', to, '--output', copy);
      expectSameUpdates(await readConverted(copy, BASE), want);
    }
  });
});

it("a Diffusers folder is inspected, and converted to kohya's names and to PEFT", async () => {
  const folder = folderOf(path.join(FILES, 'pytorch_lora_weights.safetensors'));
  expect(await run('inspect', folder)).toMatchObject({ format: 'diffusers' });
  const [kohya, peft] = [path.join(tempFolder(), 'a.safetensors'), path.join(tempFolder(), 'a')];
  await run('convert', '--adapter', folder, '--to', 'kohya', '--output', kohya);
  await run('convert', '--adapter', folder, '--to', 'peft', '--output', peft);
  expect(await run('compare', kohya, peft)).toMatchObject({ equal: true });
});

it("both text encoders of SDXL get the names of kohya's scripts through PEFT and back", async () => {
  const [peft, back] = [path.join(tempFolder(), 'a'), path.join(tempFolder(), 'a.safetensors')];
  const file = path.join(FILES, 'sdxl-kohya.safetensors');
  await run('convert', '--adapter', file, '--to', 'peft', '--output', peft);
  await run('convert', '--adapter', peft, '--to', 'kohya', '--output', back);
  expect(await updatesOf(back)).toEqual(await updatesOf(file));
  // the file has those of transformers 5 and of Diffusers
  const starts = [...(await tensorsIn(back)).keys()].map(
    (name) => /^lora_(?:te\d_text_model_encoder|unet_[a-z]+)_/.exec(name)?.[0] ?? name,
  );
  expect([...new Set(starts)].sort()).toEqual([
    'lora_te1_text_model_encoder_',
    'lora_te2_text_model_encoder_',
    'lora_unet_input_',
    'lora_unet_middle_',
    'lora_unet_output_',
  ]);
});

describe('an adapter of which target_modules leaves out a part', () => {
  function partial(): string {
    const folder = path.join(tempFolder(), 'adapter');
    cpSync(PEFT, folder, { recursive: true });
    const file = path.join(folder, 'adapter_config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    const part = { target_modules: ['q_proj'], rank_pattern: {}, alpha_pattern: {} };
    writeFileSync(file, JSON.stringify({ ...config, ...part }));
    return folder;
  }
  const MISSING = /are not in target_modules: only \d+ of \d+ modules would be used/;

  it('is merged only with --partial, which says what is left out', async () => {
    const folder = partial();
    const output = path.join(tempFolder(), 'merged');
    const merge = ['merge', '--base', BASE, '--adapter', folder, '--output', output, '--no-parity'];
    const refused = await cli(...merge);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(MISSING)]);
    expect(filesIn(path.dirname(output))).toEqual([]);
    const { code, stderr } = await cli(...merge, '--partial');
    expect([code, stderr]).toEqual([0, expect.stringContaining('are not in target_modules')]);
    expect(existsSync(output)).toBe(true);
  });

  it('is neither compared, combined, resized nor converted', async () => {
    const folder = partial();
    const parent = tempFolder();
    const output = ['--output', path.join(parent, 'out')];
    const results = await Promise.all([
      cli('compare', folder, PEFT),
      cli('combine', '--adapter', folder, '--adapter', PEFT, '--type', 'cat', ...output),
      cli('resize', '--adapter', folder, '--rank', '1', ...output),
      cli('convert', '--adapter', folder, '--to', 'mlx', ...output),
    ]);
    for (const { code, stderr } of results)
      expect([code, stderr]).toEqual([1, expect.stringMatching(MISSING)]);
    expect(filesIn(parent)).toEqual([]);
  });
});

it('of two merges into one output at once, one is kept and the other is refused', async () => {
  const output = path.join(tempFolder(), 'merged');
  const merge = (adapter: string) =>
    cli('merge', '--base', BASE, '--adapter', adapter, '--output', output, '--no-parity');
  const results = await Promise.all([PEFT, KOHYA].map(merge));
  expect(results.map(({ code }) => code).toSorted((a, b) => a! - b!)).toEqual([
    0,
    expect.any(Number),
  ]);
  const kept = [PEFT, KOHYA][results.findIndex(({ code }) => code === 0)]!;
  const { adapters } = JSON.parse(readFileSync(path.join(output, 'merge.json'), 'utf8')) as {
    readonly adapters: readonly string[];
  };
  expect(results.filter(({ code }) => code === 0)).toHaveLength(1);
  expect(adapters[0]).toContain(path.basename(kept));
  expect(filesIn(path.dirname(output)).filter((name) => !name.startsWith('merged'))).toEqual([]);
});
