import { initialFactors } from './init';
import type { Adapter, AdapterConfig, TargetableModule } from './types';

interface LoraChoices {
  readonly r: number;
  readonly lora_alpha: number;
  readonly lora_dropout: number;
  readonly target_modules: string | readonly string[];
  readonly use_rslora: boolean;
}

/** An adapter that does not change its base yet (BA = 0). As PEFT, "all-linear" is kept as the list of the modules' paths. */
export function newAdapter(modules: readonly TargetableModule[], choices: LoraChoices, base_name: string, seed: number): Adapter {
  const { r, lora_alpha, lora_dropout, use_rslora } = choices;
  const target_modules = choices.target_modules === 'all-linear' ? modules.map((m) => m.path) : choices.target_modules;
  const config: AdapterConfig = {
    r, lora_alpha, lora_dropout, target_modules, use_rslora, base_model_name_or_path: base_name, layers_to_transform: null, layers_pattern: null,
    rank_pattern: {}, alpha_pattern: {}, exclude_modules: null, raw: {},
  };
  return { config, modules: modules.map((m) => initialFactors(m, r, lora_alpha, use_rslora, seed)) };
}
