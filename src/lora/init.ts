import { createRandom } from '../shared/random';
import { drawFactors, type PlainInit } from './drawFactors';
import { scalingOf, type AdapterConfig, type LoraFactors, type TargetableModule } from './adapter';
import { patternPath } from './experts';
import { patternValue } from './patterns';

type RankSettings = Pick<
  AdapterConfig,
  'r' | 'lora_alpha' | 'use_rslora' | 'rank_pattern' | 'alpha_pattern'
>;

/**
 * New factors with BA = 0, initialized as in PEFT.
 *
 * - `default`: A uniform in ±1/√in (Kaiming with a = √5), B = 0.
 * - `gaussian`: A normal with standard deviation 1/r, B = 0.
 * - `orthogonal`: A and B from the odd and even rows of one orthogonal matrix.
 * - Of an embedding, with any of them: A = 0, B standard normal.
 *
 * The numbers depend on the seed and the module's path alone.
 */
export function initialFactors(
  module: TargetableModule,
  settings: RankSettings,
  init: PlainInit,
  seed: number,
): LoraFactors {
  const { path, kind, in_features, out_features, kernel } = module;
  const own = patternPath(module);
  const r = patternValue(settings.rank_pattern, own, settings.r, 'rank_pattern');
  const lora_alpha = patternValue(
    settings.alpha_pattern,
    own,
    settings.lora_alpha,
    'alpha_pattern',
  );
  const shape = {
    path,
    kind,
    r,
    in_features,
    out_features,
    scaling: scalingOf(r, lora_alpha, settings.use_rslora),
    magnitude: null,
    ...(kernel && { kernel }),
  };
  return { ...shape, ...drawFactors(shape, init, createRandom(seed, 'init', path)) };
}
