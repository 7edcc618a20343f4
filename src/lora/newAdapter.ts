import type { Adapter, AdapterConfig, TargetableModule } from './adapter';
import type { PlainInit } from './drawFactors';
import { isOnExpert } from './experts';
import { initialFactors } from './init';

export interface LoraChoices extends Omit<AdapterConfig, 'base_model_name_or_path' | 'raw'> {
  /** PEFT's target_parameters, of the modules on experts and routers. Not given: none. */
  readonly target_parameters?: readonly string[] | null;
}

/** LoRA without any variant. */
export const PLAIN_LORA: LoraChoices = {
  r: 8,
  lora_alpha: 16,
  lora_dropout: 0,
  target_modules: 'all-linear',
  use_rslora: false,
  use_dora: false,
  bias: 'none',
  modules_to_save: null,
  fan_in_fan_out: false,
  layers_to_transform: null,
  layers_pattern: null,
  rank_pattern: {},
  alpha_pattern: {},
  exclude_modules: null,
};

export interface AdapterStart {
  readonly seed: number;
  /** 'default' unless given. */
  readonly init?: PlainInit;
}

/**
 * An adapter that does not change its base yet (BA = 0). As in PEFT, "all-linear" is stored as the
 * list of the modules' paths. DoRA's magnitudes and starts from the base's weights are left to the
 * caller, who has these.
 */
export function newAdapter(
  modules: readonly TargetableModule[],
  { target_parameters = null, ...choices }: LoraChoices,
  base_name: string,
  { seed, init = 'default' }: AdapterStart,
): Adapter {
  const target_modules =
    choices.target_modules === 'all-linear'
      ? modules.filter((m) => !isOnExpert(m)).map((m) => m.path)
      : choices.target_modules;
  const config: AdapterConfig = {
    ...choices,
    target_modules,
    base_model_name_or_path: base_name,
    raw: target_parameters ? { target_parameters } : {},
  };
  return {
    config,
    modules: modules.map((m) => initialFactors(m, config, init, seed)),
    trained: [],
  };
}
