import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../src/formats/tensorWriter';
import {
  baseWith,
  chats,
  cli,
  editJson,
  filesIn,
  fixtures,
  makeRecipe,
  tempFolder,
} from '../support/commandLine';

const base = path.join(fixtures, 'llama/base');
const adapter = path.join(fixtures, 'llama/lora-qv/adapter');
const NORM = 'model.layers.1.input_layernorm.weight';

/** Changes the numbers of a .safetensors file, by tensor. */
async function editTensors(
  file: string,
  change: (name: string, data: Float32Array) => void,
): Promise<void> {
  const tensors = await withSafetensors(file, async (source) => {
    const all: TensorToWrite[] = [];
    for (const { name, shape } of source.tensors.values()) {
      const data = await source.readF32(name);
      change(name, data);
      all.push({ name, dtype: 'F32', shape, data });
    }
    return all;
  });
  await writeSafetensors(file, tensors);
}

async function brokenBase(value: number): Promise<string> {
  const folder = baseWith(() => undefined);
  await editTensors(path.join(folder, 'model.safetensors'), (name, data) => {
    if (name === NORM) data[3] = value;
  });
  return folder;
}

async function adapterWith(
  config: object,
  change: (name: string, data: Float32Array) => void = () => undefined,
): Promise<string> {
  const folder = path.join(tempFolder(), 'adapter');
  cpSync(adapter, folder, { recursive: true });
  await editTensors(path.join(folder, 'adapter_model.safetensors'), change);
  editJson(path.join(folder, 'adapter_config.json'), config);
  return folder;
}

/** Runs a command that must be refused with the message, and leave nothing at `output`. */
async function refused(
  message: RegExp,
  output: string | null,
  ...args: readonly string[]
): Promise<void> {
  const all = output === null ? args : [...args, '--output', output];
  const { code, stdout, stderr } = await cli(...all);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  if (args[0] !== 'train') expect(stdout).toBe('');
  expect(code).toBe(1);
  if (output !== null) {
    expect(existsSync(output)).toBe(false);
    expect(filesIn(path.dirname(output))).toEqual([]);
  }
}

const newOutput = () => path.join(tempFolder(), 'result');

describe('numbers of a base that are not finite', () => {
  it.each([NaN, Infinity])(
    'are refused by tensor in every command that loads it: %d',
    async (x) => {
      const broken = await brokenBase(x);
      const message = new RegExp(`base, tensor ${NORM}: .*(?:not finite|holds ${x})`);
      const rows = path.join(tempFolder(), 'rows.jsonl');
      writeFileSync(
        rows,
        chats()
          .map((row) => `${JSON.stringify(row)}\n`)
          .join(''),
      );
      const recipe = makeRecipe({ top: { base: broken } });
      const run = path.join(tempFolder(), 'run');
      await refused(message, null, 'train', recipe, '--run-dir', run);
      expect(filesIn(run).filter((file) => /adapter|checkpoints|best/.test(file))).toEqual([]);
      await refused(message, null, 'evaluate', '--base', broken, '--dataset', rows);
      await refused(message, null, 'generate', '--base', broken, '--prompt', 'one');
      await refused(message, newOutput(), 'merge', '--base', broken, '--adapter', adapter);
    },
  );
});

describe('results that are not finite', () => {
  it('of resize are refused by tensor, in f16 and f32', async () => {
    const large = await adapterWith({}, (name, data) => {
      if (name.includes('lora_B')) data[0] = 1e6;
    });
    await refused(
      /lora_B\.weight has numbers that are too large for F16/,
      newOutput(),
      'resize',
      ...['--adapter', large, '--rank', '1', '--dtype', 'float16'],
    );
    const larger = await adapterWith({ lora_alpha: 1e35 }, (_, data) => data.fill(1e3));
    await refused(
      /lora_B\.weight would have numbers that float32 cannot hold/,
      newOutput(),
      'resize',
      ...['--adapter', larger, '--rank', '1'],
    );
  });

  it('of extract are refused by tensor', async () => {
    const tuned = baseWith(() => undefined);
    await editTensors(path.join(tuned, 'model.safetensors'), (name, data) => {
      if (name.includes('q_proj')) data.fill(3e38);
    });
    await refused(
      /q_proj\.lora_B\.weight would have numbers that float32 cannot hold/,
      newOutput(),
      'extract',
      ...['--base', base, '--tuned', tuned, '--rank', '1'],
    );
  });

  it('of a lora_alpha that float32 cannot hold are refused by every command', async () => {
    const scaled = await adapterWith({ lora_alpha: 1e300 });
    const message = /The scale of .*q_proj is .*e\+299, which float32 cannot hold/;
    await refused(message, newOutput(), 'merge', '--base', base, '--adapter', scaled);
    await refused(message, newOutput(), 'resize', '--adapter', scaled, '--rank', '1');
    await refused(message, null, 'inspect', scaled);
    await refused(message, null, 'compare', scaled, adapter);
  });

  it('of an alpha that a file cannot store are refused by convert', async () => {
    const { r } = JSON.parse(readFileSync(path.join(adapter, 'adapter_config.json'), 'utf8')) as {
      r: number;
    };
    const scaled = await adapterWith({ lora_alpha: 3.4e38 * (r - 1) });
    const message = /The alpha of .*q_proj would be \S+, which float32 cannot hold/;
    for (const [to, ending] of [
      ['gguf', '.gguf'],
      ['kohya', '.safetensors'],
    ] as const) {
      const output = `${newOutput()}${ending}`;
      await refused(message, output, 'convert', '--adapter', scaled, '--to', to, '--base', base);
    }
  });
});
