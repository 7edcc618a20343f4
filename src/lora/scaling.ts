/**
 * s in W' = W + s·BA: lora_alpha / r (Hu et al. 2021), or lora_alpha / √r (rsLoRA, Kalajdzievski
 * 2023).
 */
export function scalingOf(r: number, lora_alpha: number, use_rslora: boolean): number {
  return lora_alpha / (use_rslora ? Math.sqrt(r) : r);
}
