import type { AdapterConfig, LoraFactors } from './adapter';
import { exactPattern } from './exactPattern';

/** A module with its own rank and lora_alpha. */
export interface WholePath {
  readonly path: string;
  readonly r: number;
  readonly lora_alpha: number;
}

/**
 * A config that names these modules by their whole paths, for when its own names and patterns are
 * those of other paths, or cannot be evaluated.
 */
export function withWholePaths(
  config: AdapterConfig,
  targets: readonly WholePath[],
): AdapterConfig {
  const patternOf = (key: 'r' | 'lora_alpha') =>
    exactPattern(
      targets.map((own) => [own.path, own[key]]),
      config[key],
    );
  return {
    ...config,
    target_modules: targets.map(({ path }) => path),
    exclude_modules: null,
    layers_to_transform: null,
    layers_pattern: null,
    rank_pattern: patternOf('r'),
    alpha_pattern: patternOf('lora_alpha'),
  };
}

/** A module with the lora_alpha that gives it its scaling, under the config's use_rslora. */
export function targetOf({ path, r, scaling }: LoraFactors, use_rslora: boolean): WholePath {
  const alpha = scaling * (use_rslora ? Math.sqrt(r) : r);
  const rounded = Math.round(alpha);
  return {
    path,
    r,
    lora_alpha: Math.abs(alpha - rounded) <= 1e-12 * Math.abs(alpha) ? rounded : alpha,
  };
}
