import type { RecipeInput } from '../../shared/recipe';
import type { MemoryFit, TypeMemory } from '../../shared/stepMemory';

/** How a recipe wants the base to be kept in memory; auto: not specified. */
export type KeptType = 'auto' | 'quantized' | 'int8' | 'nf4';

/** In the order in which they are offered: the most exact first. */
const ALTERNATIVES = ['quantized', 'int8', 'nf4'] as const;
/** What auto chooses among. */
const AUTOMATIC: readonly TypeMemory['base_dtype'][] = ['float32', 'bfloat16', 'quantized'];

const RANK: Readonly<Record<MemoryFit, number>> = { fits: 0, recomputed: 1, exceeds: 2 };

/** How well the best type fits that a recipe without such settings gets. */
const automaticFit = (types: readonly TypeMemory[]): number =>
  Math.min(
    RANK.exceeds,
    ...types.filter(({ base_dtype }) => AUTOMATIC.includes(base_dtype)).map(({ fit }) => RANK[fit]),
  );

/** A way to keep the base that a recipe can ask for. */
export interface KeptChoice {
  readonly kept: Exclude<KeptType, 'auto'>;
  readonly memory: TypeMemory;
}

/**
 * The quantized types that fit better than what `base_dtype: "auto"` may choose: none where it fits
 * without recomputation.
 */
export function keptChoices(types: readonly TypeMemory[]): KeptChoice[] {
  const automatic = automaticFit(types);
  return ALTERNATIVES.flatMap((kept) => {
    const memory = types.find(({ base_dtype }) => base_dtype === kept);
    return memory && RANK[memory.fit] < automatic ? [{ kept, memory }] : [];
  });
}

/** The type that a base must be kept in which fits in no other way; auto: one fits, or none. */
export function neededType(types: readonly TypeMemory[]): KeptType {
  if (automaticFit(types) < RANK.exceeds) return 'auto';
  return keptChoices(types)[0]?.kept ?? 'auto';
}

/** The settings of a recipe that keep the base so. */
export function keptSettings(kept: KeptType): RecipeInput['training'] {
  if (kept === 'auto') return {};
  return kept === 'quantized' ? { base_dtype: 'quantized' } : { quantize: kept };
}
