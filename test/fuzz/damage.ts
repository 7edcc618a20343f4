import type { Random } from '../../src/shared/random';
import { mutateBytes, mutateJson, ODD_NUMBERS, pick } from './mutate';

/** Changes any bytes. */
export function anyBytes(original: Buffer, random: Random): Uint8Array {
  return mutateBytes(original, [original, Buffer.from('GGUF')], random);
}

/** Changes values and keys of a JSON file. */
export function json(original: Buffer, random: Random): string {
  return mutateJson(original.toString(), random);
}

/** Changes the settings that Diffusers stores in a safetensors header. */
export function settings(original: Buffer, random: Random): Uint8Array {
  const length = Number(original.readBigUInt64LE());
  const text = JSON.parse(original.toString('utf8', 8, 8 + length)) as {
    __metadata__: { lora_adapter_metadata: string };
  };
  const { __metadata__: metadata } = text;
  metadata.lora_adapter_metadata = mutateJson(metadata.lora_adapter_metadata, random);
  return withHeader(Buffer.from(JSON.stringify(text)), original.subarray(8 + length));
}

export function withHeader(text: Buffer, data: Uint8Array): Uint8Array {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, data]);
}

/** Changes the JSON of a safetensors header and corrects its length. */
export function header(original: Buffer, random: Random): Uint8Array {
  const length = Number(original.readBigUInt64LE());
  const text = Buffer.from(mutateJson(original.toString('utf8', 8, 8 + length), random));
  return withHeader(text, original.subarray(8 + length));
}

/** Ends and beginnings of tensors' names, of all formats and versions. */
const ENDS = [
  '.lora_A.weight',
  '.lora_B.weight',
  '.lora_A.default.weight',
  '.lora_B.bias',
  '.lora_magnitude_vector',
  '.lora_magnitude_vector.weight',
  '.lora_magnitude_vector.default',
  '.lora_embedding_A',
  '.lora_embedding_B.default',
  '.modules_to_save.weight',
  '.modules_to_save.default.weight',
  '.original_module.weight',
  '.base_layer.weight',
  '.weight',
  '.bias',
  '.lora_down.weight',
  '.lora_up.weight',
  '.alpha',
  '.dora_scale',
  '.hada_w1_a',
  '.lora_a',
  '.lora_b',
  '.m',
  '.lora.down.weight',
  '.lora_linear_layer.up.weight',
  '_lora.up.weight',
  '.weight.lora_a',
  '',
];
const STARTS = [
  'base_model.model.',
  'base_model.model.base_model.model.',
  'model.',
  'model.layers.0.',
  'unet.',
  'text_encoder.',
  'text_encoder_2.',
  'transformer.',
  'diffusion_model.',
  'lora_unet_',
  'lora_te_',
  'lora_te1_',
  'blk.0.',
  '_orig_mod.',
  '',
];
const END = /(?:[._]lora[._]\w+|\.alpha|\.m|\.modules_to_save|)(?:\.default)?(?:\.weight|\.bias)?$/;
const START = /^(?:base_model\.model\.|lora_\w+?_|unet\.|text_encoder\w*\.|model\.)?/;

/** Gives up to three tensors of a safetensors file the names of other formats and versions. */
export function names(original: Buffer, random: Random): Uint8Array {
  const { entries, data } = headerOf(original);
  for (let n = 1 + Math.floor(random() * 3); n > 0; n--) {
    const own = pick(entries, random);
    if (random() < 0.7) own[0] = own[0].replace(END, pick(ENDS, random));
    if (random() < 0.4) own[0] = own[0].replace(START, pick(STARTS, random));
    if (random() < 0.1) own[0] = pick(entries, random)[0];
  }
  const text = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  return withHeader(Buffer.from(`{${text.join(',')}}`), data);
}

/** Puts odd numbers among those of a safetensors file of F32. */
export function values(original: Buffer, random: Random): Uint8Array {
  const bytes = Buffer.from(original);
  const start = 8 + Number(original.readBigUInt64LE());
  const count = Math.floor((bytes.length - start) / 4);
  const odd = pick(ODD_NUMBERS, random);
  const from = Math.floor(random() * count);
  const to = random() < 0.5 ? from + 1 : Math.min(count, from + Math.floor(random() * 500));
  for (let i = from; i < to; i++)
    bytes.writeFloatLE(random() < 0.9 ? odd : pick(ODD_NUMBERS, random), start + 4 * i);
  return bytes;
}

/** The entries of a safetensors header, and the bytes after it. */
export function headerOf(original: Buffer): { entries: [string, unknown][]; data: Uint8Array } {
  const end = 8 + Number(original.readBigUInt64LE());
  const entries = Object.entries(JSON.parse(original.toString('utf8', 8, end)) as object);
  return { entries: entries as [string, unknown][], data: original.subarray(end) };
}

const MANY = Array.from({ length: 1000 }, (_, i) => `layers.${i}.q_proj`);
/** Values that versions of PEFT, variants of LoRA and attacks put into adapter_config.json. */
const CONFIG_VALUES: readonly (readonly [string, readonly unknown[]])[] = [
  ['alora_invocation_tokens', [[1, 2], [], 'a', [-1], null]],
  ['use_dora', [true, false, null, 1, 'true']],
  ['use_rslora', [true, null, 0]],
  ['modules_to_save', [['lm_head'], ['score', 'lm_head'], 'all', [], [''], [1], MANY]],
  ['peft_version', ['0.3.0', '0.21.2', '1.0.0.dev0', '', 7]],
  ['peft_type', ['LORA', 'lora', 'IA3', 'XLORA', 'ADALORA', null]],
  ['target_modules', ['all-linear', ['q_proj'], '.*_proj', '(a+)+$', '(', [''], MANY, {}]],
  ['exclude_modules', ['.*', ['q_proj'], '(?<!a)q_proj', null]],
  [
    'rank_pattern',
    [{}, { q_proj: 2 }, { '^(a|aa)+$': 1 }, Object.fromEntries(MANY.map((m) => [m, 3]))],
  ],
  ['alpha_pattern', [{ q_proj: 2 }, { '.*': 1e300 }, Object.fromEntries(MANY.map((m) => [m, 3]))]],
  ['layers_to_transform', [0, [0], [1e9], -1, ['0'], MANY]],
  ['layers_pattern', ['layers', ['layers', 'h'], '(', null]],
  ['layer_replication', [[[0, 1]], [], null]],
  ['trainable_token_indices', [[1, 2], { embed_tokens: [1] }, [], 'a']],
  ['target_parameters', [['mlp.experts'], ['mlp.experts.down_proj'], []]],
  [
    'init_lora_weights',
    [true, false, 'pissa', 'pissa_niter_4', 'olora', 'loftq', 'gaussian', null],
  ],
  ['bias', ['none', 'all', 'lora_only', 'x']],
  ['lora_bias', [true, false]],
  ['fan_in_fan_out', [true, false, null]],
  ['task_type', ['CAUSAL_LM', 'SEQ_CLS', 'FEATURE_EXTRACTION', 'x', null, 1]],
  ['lora_alpha', [0, -1, 1e308, null, '8']],
  ['r', [0, 1, 2 ** 31, 2 ** 53, '8', null]],
  [
    'base_model_name_or_path',
    ['', '../..', '//host/share', '\\\\host\\share', 'a'.repeat(9999), null],
  ],
  ['ensure_weight_tying', [true]],
  ['fine_tune_type', ['dora', 'full', 'x']],
  ['lora_parameters', [null, {}, { rank: 1e9, scale: 1 }, { rank: 4, scale: 1e308, keys: MANY }]],
];

/** Sets up to three keys as other versions and variants have them, or changes the JSON. */
export function configValues(original: Buffer, random: Random): string {
  if (random() < 0.2) return json(original, random);
  const config = JSON.parse(original.toString()) as Record<string, unknown>;
  for (let n = 1 + Math.floor(random() * 3); n > 0; n--) {
    const [key, choices] = pick(CONFIG_VALUES, random);
    config[key] = pick(choices, random);
  }
  return JSON.stringify(config);
}
