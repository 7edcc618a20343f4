import type { TargetableModule } from './adapter';

/** r·(in + out): what LoRA trains in a layer of in·out weights. */
export const trainableOf = (module: TargetableModule, r: number): number =>
  r * (module.in_features + module.out_features);

/** One rank for all modules, or a rank for each. */
export type ModuleRanks = number | ((module: TargetableModule) => number);

export const rankIn = (ranks: ModuleRanks, module: TargetableModule): number =>
  typeof ranks === 'number' ? ranks : ranks(module);

export interface Counts {
  readonly modules: number;
  /** Σ r·(in + out); 2·d·r for a square layer. */
  readonly trainable: number;
  /** Σ in·out of the same layers: what full fine-tuning of them would train. */
  readonly full: number;
}

/** The parameters that LoRA trains in these modules, and the modules' own parameters. */
export function countTrainable(modules: readonly TargetableModule[], ranks: ModuleRanks): Counts {
  return {
    modules: modules.length,
    trainable: modules.reduce((sum, m) => sum + trainableOf(m, rankIn(ranks, m)), 0),
    full: modules.reduce((sum, m) => sum + m.in_features * m.out_features, 0),
  };
}

/** Modules with a side smaller than the rank: an update of that rank is no longer of low rank. */
export function tooHighRank(
  modules: readonly TargetableModule[],
  r: number,
): readonly TargetableModule[] {
  return modules.filter((m) => r > Math.min(m.in_features, m.out_features));
}

/** DoRA's magnitudes, one for each output of a module. */
const magnitudesOf = (modules: readonly TargetableModule[]): number =>
  modules.reduce((sum, m) => sum + m.out_features, 0);

/** An adapter on modules, and what of the base trains with it. */
export interface AdaptedModules {
  readonly modules: readonly TargetableModule[];
  readonly ranks: ModuleRanks;
  /** Whether each module has magnitudes. Default: no. */
  readonly use_dora?: boolean;
  /** What of the base is trained beside them. Default: nothing. */
  readonly besides?: BesideCounts;
}

/** Numbers of the base that train with an adapter. */
export interface BesideCounts {
  /** Those of modules_to_save and biases. */
  readonly whole: number;
  /** Those of rows of tokens. */
  readonly rows: number;
  /** Those of the largest whole tensor. */
  readonly largest: number;
  /** Whether the output layer over the vocabulary trains as a whole. */
  readonly output: boolean;
}

export const NO_BESIDES: BesideCounts = { whole: 0, rows: 0, largest: 0, output: false };

/** All numbers that train: factors, magnitudes, and those of the base. */
export const trainedNumbers = ({
  modules,
  ranks,
  use_dora = false,
  besides = NO_BESIDES,
}: AdaptedModules): number =>
  countTrainable(modules, ranks).trainable +
  (use_dora ? magnitudesOf(modules) : 0) +
  besides.whole +
  besides.rows;
