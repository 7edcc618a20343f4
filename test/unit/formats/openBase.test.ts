import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { FAMILIES } from '../../../src/formats/architecture/families';
import { openBase, targetableModules } from '../../../src/formats/openBase';
import { SafetensorsFile, withSafetensors } from '../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../src/formats/tensorWriter';
import { LoraError } from '../../../src/shared/errors';
import { temp } from '../../support/temp';

const fixtures = path.resolve(import.meta.dirname, '../../fixtures');
const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;

function copyOf(family: string): string {
  const folder = path.join(temp(), 'base');
  cpSync(path.join(fixtures, family, 'base'), folder, { recursive: true });
  return folder;
}

async function refusal(file: string): Promise<LoraError> {
  const error: unknown = await openBase(file).then(
    async (base) => {
      await base.close();
      return null;
    },
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(LoraError);
  return error as LoraError;
}

/** Writes the copy's file anew: fixtures are read-only. */
function put(folder: string, name: string, text: string): void {
  rmSync(path.join(folder, name), { force: true });
  writeFileSync(path.join(folder, name), text);
}

const putConfig = (folder: string, changes: object) =>
  put(
    folder,
    'config.json',
    JSON.stringify({ ...read(path.join(folder, 'config.json')), ...changes }),
  );

async function rewrite(
  folder: string,
  change: (tensors: TensorToWrite[]) => TensorToWrite[],
): Promise<void> {
  const file = path.join(folder, 'model.safetensors');
  const tensors = await withSafetensors(file, async (source) => {
    const all: TensorToWrite[] = [];
    for (const { name, dtype, shape } of source.tensors.values())
      all.push({ name, dtype, shape, data: await source.readBytes(name) });
    return all;
  });
  await writeSafetensors(file, change(tensors));
}

describe('a base model folder', () => {
  it.each([
    'llama',
    'llama3',
    'llama-sharded',
    'mistral',
    'qwen2',
    'qwen3',
    'gemma',
    'gpt2',
    'gpt_neox',
    'phi3',
    'granite',
    'olmo3',
    'ernie4_5',
    'glm4',
    'exaone4',
    'modernbert',
    'deberta-v2',
    'gemma3-vlm',
    'qwen3-vl',
    'lfm2',
    'hunyuan',
    'qwen3_5',
    'gemma4',
    'gpt_oss',
    'gemma4-moe',
    'qwen3_moe',
    't5',
  ])('is opened with both config layouts: %s', async (family) => {
    const base = await openBase(path.join(fixtures, family, 'base'));
    expect(base.missing).toEqual([]);
    await base.close();
    const folder = copyOf(family);
    put(
      folder,
      'config.json',
      readFileSync(path.join(fixtures, family, 'base/config.legacy.json'), 'utf8'),
    );
    const older = await openBase(folder);
    expect(older.spec).toEqual(base.spec);
    await older.close();
  });

  it.each([
    [{ model_type: 'mixtral' }, /mixture of experts \(mixtral\)/],
    [{ num_local_experts: 8 }, /mixture of experts/],
    [{ model_type: 'bart' }, /encoder-decoder/],
    [{ model_type: 'mamba' }, /recurrent/],
  ])('rejects an unsupported kind of model, %j, and says what to do', async (changes, message) => {
    const folder = copyOf('llama');
    putConfig(folder, changes);
    const error: unknown = await openBase(folder).catch((e: unknown) => e);
    expect((error as LoraError).message).toMatch(message);
    expect((error as LoraError).fix).toMatch(/^Use a /);
  });

  it.each([
    ['mamba', /a recurrent model/, 'qwen3_5_text', 'the state-space scan'],
    ['falcon_h1', /attention beside a state-space model/, 'qwen3_5_text', 'the state-space scan'],
    ['phi4mm', /a model for images, speech and text/, 'phi3', 'the encoder of speech'],
    ['deepseek_v3', /a mixture of experts/, 'qwen3_moe', 'multi-head latent attention'],
    ['whisper', /an encoder-decoder/, 't5', 'the encoder of speech'],
    ['bart', /an encoder-decoder/, 't5', 'the layers of this one'],
    ['mixtral', /a mixture of experts/, 'qwen3_moe', 'the router of this one'],
  ])('names what is missing of %s, and the nearest architecture', async (...row) => {
    const [model_type, what, nearest, missing] = row;
    const folder = copyOf('llama');
    putConfig(folder, { model_type });
    const error = (await openBase(folder).catch((e: unknown) => e)) as LoraError;
    expect(error.place).toEqual({ file: path.join(folder, 'config.json'), key: 'model_type' });
    expect(error.message).toMatch(what);
    expect(error.message).toContain(`(${model_type}), which is not supported.`);
    expect(error.fix).toContain(`the nearest known architecture, "${nearest}": ${missing}`);
    expect(error.fix).toMatch(/ is missing here\.$/);
    expect(Object.keys(FAMILIES)).toContain(nearest);
  });

  it.each([
    ['qwen4', 'qwen2'],
    ['olmo_hybrid', 'olmo2'],
  ])('names the nearest known architecture for %s', async (model_type, nearest) => {
    const folder = copyOf('llama');
    putConfig(folder, { model_type });
    const error: unknown = await openBase(folder).catch((e: unknown) => e);
    expect((error as LoraError).fix).toContain(`The nearest known architecture is "${nearest}"`);
  });

  it.each([
    ['qwen3', { model_type: 'olmo3' }, 'model.layers.0.post_feedforward_layernorm.weight'],
    [
      'qwen3',
      { model_type: 'qwen3_5_text', layer_types: null },
      'model.layers.0.linear_attn.in_proj_qkv.weight',
    ],
    ['qwen3_5', { model_type: 'qwen3' }, 'model.layers.0.self_attn.q_proj.weight'],
    ['qwen3_5', { linear_num_value_heads: 2 }, 'model.layers.0.linear_attn.in_proj_qkv.weight'],
    ['qwen3_5', { linear_conv_kernel_dim: 3 }, 'model.layers.0.linear_attn.conv1d.weight'],
  ])('of %s with %j names the first tensor that is missing or does not fit', async (...row) => {
    const [family, changes, tensor] = row;
    const folder = copyOf(family);
    putConfig(folder, changes);
    const error: unknown = await openBase(folder).catch((e: unknown) => e);
    expect((error as LoraError).problems[0]?.place?.tensor).toBe(tensor);
  });

  it('opens Qwen 3.5 with the settings of its published configs', async () => {
    const folder = copyOf('vision-language/qwen3_5');
    const config = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as Readonly<
      Record<string, Readonly<Record<string, unknown>>>
    >;
    const text = { ...config['text_config']!, layer_types: null };
    const of = (changes: Readonly<Record<string, unknown>>) =>
      putConfig(folder, { text_config: { ...text, ...changes } });
    of({
      full_attention_interval: 1,
      attn_output_gate: true,
      mamba_ssm_dtype: 'float32',
      mtp_num_hidden_layers: 1,
      mtp_use_dedicated_embeddings: false,
    });
    const error: unknown = await openBase(folder).catch((e: unknown) => e);
    expect((error as LoraError).problems[0]?.place?.tensor).toMatch(/^model\.layers\.1\.self_attn/);
    of({ layer_types: ['full_attention', 'sliding_attention'] });
    await expect(openBase(folder)).rejects.toThrow(/"layer_types" must list "linear_attention"/);
    of({ layer_types: ['full_attention', 'linear_attention'], hidden_act: 'gelu' });
    await expect(openBase(folder)).rejects.toThrow(/"hidden_act" must be "silu"/);
    of({ layer_types: ['full_attention', 'linear_attention'], linear_num_key_heads: 3 });
    await expect(openBase(folder)).rejects.toThrow(/3 does not divide linear_num_value_heads = 2/);
  });

  it('names its modules as PEFT does, including the tied output layer', async () => {
    const base = await openBase(path.join(fixtures, 'llama/base'));
    const modules = targetableModules(base);
    await base.close();
    expect(modules).toHaveLength(2 * 7 + 2);
    expect(modules[0]).toEqual({
      path: 'model.embed_tokens',
      kind: 'embedding',
      in_features: 384,
      out_features: 48,
      is_output: false,
    });
    expect(modules[2]).toEqual({
      path: 'model.layers.0.self_attn.k_proj',
      kind: 'linear',
      in_features: 48,
      out_features: 16,
      is_output: false,
    });
    expect(modules.at(-1)).toEqual({
      path: 'lm_head',
      kind: 'linear',
      in_features: 48,
      out_features: 384,
      is_output: true,
    });
  });

  it('takes its name from the folder, the Hub cache or the config', async () => {
    const nameOf = async (folder: string) => {
      const base = await openBase(folder);
      await base.close();
      return base.name;
    };
    const folder = copyOf('llama');
    expect(await nameOf(folder)).toBe('base');
    const cached = path.join(
      path.dirname(folder),
      'models--HuggingFaceTB--SmolLM2-135M/snapshots/0123abc',
    );
    mkdirSync(path.dirname(cached), { recursive: true });
    renameSync(folder, cached);
    expect(await nameOf(cached)).toBe('HuggingFaceTB/SmolLM2-135M');
    putConfig(cached, { _name_or_path: 'owner/model' });
    expect(await nameOf(cached)).toBe('HuggingFaceTB/SmolLM2-135M');
  });

  it('reads sharded bf16 as f32', async () => {
    const base = await openBase(path.join(fixtures, 'llama-sharded/base'));
    expect(base.weight_files.map((file) => path.basename(file))).toEqual([
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ]);
    const values = await base.weights.readF32('model.norm.weight');
    await base.close();
    expect(values).toHaveLength(48 + 16);
    expect([...new Uint32Array(values.buffer)].every((bits) => (bits & 0xffff) === 0)).toBe(true);
  });
});

describe('an unsupported base model folder', () => {
  it('is rejected with what it contains instead', async () => {
    const folder = temp();
    expect((await refusal(path.join(folder, 'none'))).describe()).toMatch(
      /does not exist[\s\S]*Name a Hugging Face/,
    );
    expect((await refusal(folder)).message).toMatch(/no config.json/);
    writeFileSync(path.join(folder, 'adapter_config.json'), '{}');
    expect((await refusal(folder)).message).toMatch(/holds an adapter/);
    writeFileSync(path.join(folder, 'x.Q4_1.gguf'), '');
    expect((await refusal(folder)).message).toMatch(/x\.Q4_1\.gguf/);
    writeFileSync(path.join(folder, 'model.safetensors'), '');
    expect((await refusal(path.join(folder, 'model.safetensors'))).fix).toContain(folder);
  });

  it('is rejected without weights or with pickled weights, listing its files', async () => {
    const folder = copyOf('llama');
    renameSync(
      path.join(folder, 'model.safetensors'),
      path.join(folder, 'model-00001-of-00002.safetensors'),
    );
    expect((await refusal(folder)).message).toMatch(
      /holds model-00001-of-00002.safetensors, but neither/,
    );
    renameSync(
      path.join(folder, 'model-00001-of-00002.safetensors'),
      path.join(folder, 'pytorch_model.bin'),
    );
    expect((await refusal(folder)).describe()).toMatch(
      /pytorch_model\.bin, a pickle[\s\S]*convert/,
    );
  });

  it('is rejected for an unknown architecture, quantised weights or invalid sizes', async () => {
    const cases: [object, RegExp][] = [
      [
        { model_type: 'falcon_9000' },
        /"falcon_9000" is not supported. Supported: llama, mistral, qwen2, qwen3, /,
      ],
      [{ model_type: undefined }, /does not say/],
      [{ quantization_config: { quant_method: 'gptq' } }, /quantised by gptq/],
      [{ num_hidden_layers: 1e9 }, /num_hidden_layers/],
      [{ hidden_size: '48' }, /"hidden_size" must be/],
      [{ vocab_size: undefined }, /"vocab_size" is missing/],
      [{ num_key_value_heads: 4 }, /does not divide/],
    ];
    for (const [changes, message] of cases) {
      const folder = copyOf('llama');
      putConfig(folder, changes);
      const { message: said, place } = await refusal(folder);
      expect(said).toMatch(message);
      expect(place).toMatchObject({
        file: path.join(folder, 'config.json'),
        key: expect.any(String) as string,
      });
    }
  });

  it('is rejected for missing or misshapen tensors, naming them', async () => {
    const folder = copyOf('qwen2');
    await rewrite(folder, (tensors) =>
      tensors.filter((t) => t.name !== 'model.layers.1.self_attn.q_proj.bias'),
    );
    expect((await refusal(folder)).problems.map((p) => p.place?.tensor)).toEqual([
      'model.layers.1.self_attn.q_proj.bias',
    ]);
    const other = copyOf('llama');
    putConfig(other, { intermediate_size: 100 });
    const { problems } = await refusal(other);
    expect(problems).toHaveLength(2 * 3);
    expect(problems[0]).toMatchObject({
      message: expect.stringMatching(
        /Its shape is \[\d+, 48\], the config asks for \[100, 48\]/,
      ) as string,
      place: { tensor: 'model.layers.0.mlp.gate_proj.weight' },
    });
  });

  it('has its files closed after a rejection', async () => {
    const folder = copyOf('llama');
    putConfig(folder, { intermediate_size: 100 });
    const close = vi.spyOn(SafetensorsFile.prototype, 'close');
    await refusal(folder);
    expect(close).toHaveBeenCalledOnce();
    close.mockRestore();
  });
});

describe("a base model's tokenizer", () => {
  const tokenizer = async (folder: string) => {
    const base = await openBase(folder);
    return base.readTokenizer().finally(() => base.close());
  };

  it('has the chat template from any of its locations', async () => {
    const folder = copyOf('llama');
    const config = read(path.join(folder, 'tokenizer_config.json'));
    expect((await tokenizer(folder)).chat_template).toBe(config['chat_template'] ?? null);
    put(
      folder,
      'tokenizer_config.json',
      JSON.stringify({
        ...config,
        chat_template: [
          { name: 'tool_use', template: 'T' },
          { name: 'default', template: 'D' },
        ],
      }),
    );
    const template = (chat_template: string, name: string) => ({
      chat_template,
      chat_template_file: path.join(folder, name),
    });
    expect(await tokenizer(folder)).toMatchObject(template('D', 'tokenizer_config.json'));
    put(folder, 'chat_template.json', '{"chat_template": "J"}');
    expect(await tokenizer(folder)).toMatchObject(template('J', 'chat_template.json'));
    put(folder, 'chat_template.jinja', 'X\n');
    expect(await tokenizer(folder)).toMatchObject(template('X\n', 'chat_template.jinja'));
    for (const name of ['chat_template.jinja', 'chat_template.json', 'tokenizer_config.json'])
      rmSync(path.join(folder, name));
    expect((await tokenizer(folder)).chat_template).toBeNull();
  });

  it('is named in the error if it is missing', async () => {
    const folder = copyOf('llama');
    rmSync(path.join(folder, 'tokenizer.json'));
    await expect(tokenizer(folder)).rejects.toThrow(/no tokenizer\.json\./);
    put(folder, 'tokenizer.model', '');
    await expect(tokenizer(folder)).rejects.toThrow(
      /not a usable SentencePiece model: it has no pieces/,
    );
    put(folder, 'tokenizer.json', '{');
    await expect(tokenizer(folder)).rejects.toMatchObject({
      area: 'tokenizer',
      place: { file: path.join(folder, 'tokenizer.json') },
    });
  });
});
