import type { RankSettings } from './protocol';

/** Another rank at the same scale s: lora_alpha goes with it. */
export function withRank(
  { r: before, lora_alpha, use_rslora, use_dora }: RankSettings,
  r: number,
): RankSettings {
  const factor = use_rslora ? Math.sqrt(r / before) : r / before;
  return { r, lora_alpha: Number((lora_alpha * factor).toPrecision(6)), use_rslora, use_dora };
}
