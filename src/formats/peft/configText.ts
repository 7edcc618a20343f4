import type { AdapterConfig } from '../../lora/adapter';

/** The default LoraConfig as PEFT 0.21.2 saves it. */
const PEFT_DEFAULTS: Readonly<Record<string, unknown>> = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: null,
  base_model_name_or_path: null,
  bias: 'none',
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 8,
  lora_bias: false,
  lora_dropout: 0,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: 'megatron.core',
  modules_to_save: null,
  monteclora_config: null,
  peft_type: 'LORA',
  peft_version: '0.21.2',
  qalora_group_size: 16,
  r: 8,
  rank_pattern: {},
  revision: null,
  target_modules: null,
  target_parameters: null,
  task_type: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
};

/**
 * The text of adapter_config.json as PEFT writes it: all of its keys, sorted, indented by two
 * spaces, floats with a decimal point, ASCII only. Unknown keys of an adapter that was read are
 * kept.
 */
export function adapterConfigText(config: AdapterConfig, task_type: string | null): string {
  const { raw, ...own } = config;
  const values: Record<string, unknown> = {
    ...PEFT_DEFAULTS,
    ...raw,
    ...own,
    task_type: task_type ?? raw['task_type'] ?? null,
    peft_type: 'LORA',
    inference_mode: true,
  };
  const sorted = Object.fromEntries(
    Object.keys(values)
      .sort()
      .map((key) => [key, values[key]]),
  );
  const text = JSON.stringify(sorted, null, 2).replace(
    /^( {2}"lora_dropout": )(\d+)(,?)$/m,
    '$1$2.0$3',
  );
  return text.replace(
    /[^\0-\x7f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
