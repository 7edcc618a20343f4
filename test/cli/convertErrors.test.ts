import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../src/formats/tensorWriter';
import { inFixtures, newPath, type CliOptions } from '../support/cliResults';
import { editJson, tempFolder } from '../support/commandLine';
import {
  conversionError,
  convert,
  FORMATS,
  readConverted,
  type Format,
} from '../support/conversions';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';

const UNSUPPORTED: readonly {
  readonly what: string;
  readonly adapter: string;
  readonly to: Format;
  readonly reason: RegExp;
}[] = [
  {
    what: 'DoRA in llama.cpp',
    adapter: 'qwen3/dora',
    to: 'gguf',
    reason: /DoRA.*Merge it into its base/s,
  },
  { what: 'DoRA in kohya', adapter: 'qwen3/dora', to: 'kohya', reason: /DoRA/ },
  {
    what: 'modules_to_save',
    adapter: 'mistral/modules-to-save-lm-head',
    to: 'mlx',
    reason: /modules_to_save.*lm_head\.weight/,
  },
  {
    what: 'biases',
    adapter: 'gpt_neox/bias-lora-only',
    to: 'kohya',
    reason: /modules_to_save.*bias/,
  },
  {
    what: 'an embedding tied to the output layer in llama.cpp',
    adapter: 'llama/embed-tied',
    to: 'gguf',
    reason: /embedding and output layer.*embed_tokens/,
  },
  {
    what: 'an embedding tied to the output layer in mlx-lm',
    adapter: 'llama/embed-tied',
    to: 'mlx',
    reason: /embedding and output layer/,
  },
  {
    what: 'an embedding in kohya',
    adapter: 'llama3/embed',
    to: 'kohya',
    reason: /embeddings: /,
  },
  {
    what: 'a convolution in mlx-lm',
    adapter: 'vit/conv2d',
    to: 'mlx',
    reason: /convolutions.*"vit"/s,
  },
  { what: 'an image model in llama.cpp', adapter: 'vit/lora-qv', to: 'gguf', reason: /"vit"/ },
];

describe('what a format cannot hold', () => {
  it.each(UNSUPPORTED)('$what is refused, and nothing is written', async (unsupported) => {
    const { adapter, to, reason } = unsupported;
    const output = newPath(FORMATS[to]);
    const base = inFixtures(adapter.split('/')[0]!, 'base');
    const options = { adapter: inFixtures(adapter, 'adapter'), base, to, output };
    expect(await conversionError(options)).toMatch(reason);
    expect(existsSync(output)).toBe(false);
  });

  it('cannot be decided for an embedding without its base', async () => {
    const adapter = inFixtures('llama/embed-tied/adapter');
    const output = newPath('adapter');
    expect(await conversionError({ adapter, to: 'mlx', output })).toMatch(/depends on the base/);
    expect(existsSync(output)).toBe(false);
  });
});

const tensor = (name: string, shape: readonly number[], value = 1): TensorToWrite => ({
  name,
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value),
});

/** A kohya adapter of these tensors. */
async function kohyaFile(tensors: readonly TensorToWrite[]): Promise<string> {
  const file = newPath('a.safetensors');
  await writeSafetensors(file, tensors);
  return file;
}

/** A folder of mlx-lm that contains fully fine-tuned weights. */
async function fullyTunedMlx(): Promise<string> {
  const folder = tempFolder();
  await writeSafetensors(path.join(folder, 'adapters.safetensors'), []);
  writeFileSync(
    path.join(folder, 'adapter_config.json'),
    JSON.stringify({ fine_tune_type: 'full', lora_parameters: { rank: 1, scale: 1 } }),
  );
  return folder;
}

async function ggufModel(): Promise<string> {
  const file = newPath('model.gguf');
  const { metadata, tensors } = await asGguf(inFixtures('llama/base'), 'llama');
  writeFileSync(file, ggufBytes(metadata, tensors));
  return file;
}

const mlx = inFixtures('llama/formats/mlx');

describe('wrong options', () => {
  it.each<[string, CliOptions, RegExp]>([
    ['an adapter that does not exist', { adapter: '/nowhere', to: 'mlx' }, /does not exist/],
    [
      'a model instead of an adapter',
      { adapter: inFixtures('llama/base'), to: 'mlx' },
      /no LoRA tensors/,
    ],
    ['the same format', { adapter: mlx, to: 'mlx' }, /has this format already/],
    ['the wrong extension', { adapter: mlx, to: 'gguf' }, /ends with \.gguf/],
    ['an unknown format', { adapter: mlx, to: 'onnx' }, /--to must be one of/],
    ['no format', { adapter: mlx }, /--to is missing/],
    [
      'a Modelfile for another format',
      { adapter: mlx, to: 'peft', modelfile: 'Modelfile' },
      /--modelfile needs --to gguf/,
    ],
    [
      'another base',
      {
        adapter: inFixtures('llama/formats/kohya/adapter.safetensors'),
        base: inFixtures('gpt2/base'),
        to: 'peft',
      },
      /model\.layers\.0\.mlp\.down_proj, which the base does not have/,
    ],
  ])('%s is refused', async (_, options, reason) => {
    const output = newPath('x');
    expect(await conversionError({ ...options, output })).toMatch(reason);
    expect(existsSync(output)).toBe(false);
  });

  it('an output that exists is refused', async () => {
    const output = path.join(tempFolder(), 'a.safetensors');
    writeFileSync(output, '');
    expect(await conversionError({ adapter: mlx, to: 'kohya', output })).toMatch(
      /The output exists already/,
    );
  });
});

describe('unusual files', () => {
  it('kohya without alpha has the scale 1, with a warning', async () => {
    const file = await kohyaFile([
      tensor('lora_te_model_layers_0_self_attn_q_proj.lora_down.weight', [64, 48], 0.5),
      tensor('lora_te_model_layers_0_self_attn_q_proj.lora_up.weight', [48, 64], 0.5),
      tensor('lora_te_model_layers_1_mlp_down_proj.lora_down.weight', [16, 112], 0.5),
      tensor('lora_te_model_layers_1_mlp_down_proj.lora_up.weight', [48, 16], 0.5),
    ]);
    const { output, warnings } = await convert(file, 'peft', inFixtures('llama/base'));
    expect(warnings).toMatch(/2 of 2 modules have no alpha\..*makes their scale 1/);
    const { adapter } = await readPeftAdapter(output);
    expect(adapter.modules.map((m) => [m.r, m.scaling])).toEqual([
      [64, 1],
      [16, 1],
    ]);
  });

  it('mlx-lm of 2024 has alpha as well as the scale', async () => {
    const { output } = await convert(inFixtures('llama/formats/adapter'), 'mlx', null);
    editJson(path.join(output, 'adapter_config.json'), {
      lora_parameters: { rank: 4, alpha: 16, scale: 10, dropout: 0 },
    });
    expect((await readConverted(output, null)).modules[0]!.scaling).toBe(40);
  });

  it.each<[string, () => Promise<string>, RegExp]>([
    ['a .gguf model', ggufModel, /LoRA adapter.*not of a model/s],
    ['fully fine-tuned weights', fullyTunedMlx, /fine_tune_type "full"/],
    ['LoKr', () => kohyaFile([tensor('lora_unet_x.lokr_w1', [1])]), /\[1\], which no factor has/],
    [
      "DoRA of columns in kohya's format",
      () =>
        kohyaFile([
          tensor('lora_unet_x.lora_down.weight', [1, 1]),
          tensor('lora_unet_x.lora_up.weight', [1, 1]),
          tensor('lora_unet_x.dora_scale', [1, 2]),
        ]),
      /DoRA whose dora_scale has the shape \[1, 2\], which is not supported/,
    ],
    [
      'lora_up without lora_down',
      () => kohyaFile([tensor('lora_unet_x.lora_up.weight', [1, 1])]),
      /lora_down and lora_up/,
    ],
    [
      'NaN',
      () =>
        kohyaFile([
          tensor('lora_unet_x.lora_down.weight', [1, 1], NaN),
          tensor('lora_unet_x.lora_up.weight', [1, 1], NaN),
        ]),
      /Element 0 is NaN/,
    ],
  ])('%s instead of an adapter: the message says so', async (_, make, reason) => {
    const output = newPath('x');
    expect(await conversionError({ adapter: await make(), to: 'peft', output })).toMatch(reason);
    expect(existsSync(output)).toBe(false);
  });
});
