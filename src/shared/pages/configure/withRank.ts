import type { RankSettings } from './protocol';

/** Another rank with the same scale s, for which lora_alpha changes too. */
export function withRank(
  { r: before, lora_alpha, use_rslora, use_dora }: RankSettings,
  r: number,
): RankSettings {
  const factor = use_rslora ? Math.sqrt(r / before) : r / before;
  return { r, lora_alpha: Number((lora_alpha * factor).toPrecision(6)), use_rslora, use_dora };
}
