import type { RankSettings } from '../../shared/configure';
import type { LoraSettings, Recipe } from '../../shared/recipe';

export const settingsOf = ({ lora: { r, lora_alpha, use_rslora, use_dora } }: Recipe): RankSettings => ({ r, lora_alpha, use_rslora, use_dora });

/** Another rank keeps the scale s: lora_alpha goes with it. */
export function withRank({ r: before, lora_alpha, use_rslora, use_dora }: Pick<LoraSettings, keyof RankSettings>, r: number): RankSettings {
  const factor = use_rslora ? Math.sqrt(r / before) : r / before;
  return { r, lora_alpha: Number((lora_alpha * factor).toPrecision(6)), use_rslora, use_dora };
}
