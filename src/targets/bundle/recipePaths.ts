import { pathsOf, withPaths } from '../../shared/datasetSources';
import { distillationOf } from '../../shared/objective';
import type { Recipe } from '../../shared/recipe';

/** What a key of a recipe names. */
export type PathKind = 'base' | 'dataset' | 'adapter';

/** A key of a recipe that names files. */
export interface PathKey {
  /** As in messages: 'lora.init_adapter'. */
  readonly key: string;
  readonly kind: PathKind;
  /** The paths that a recipe names there. */
  readonly read: (recipe: Recipe) => readonly string[];
  /** The recipe with other paths there, in the same order. */
  readonly write: (recipe: Recipe, paths: readonly string[]) => Recipe;
}

/** Every key of a recipe that names files: what is sent with it, and what is written anew there. */
export const PATH_KEYS: readonly PathKey[] = [
  {
    key: 'base',
    kind: 'base',
    read: ({ base }) => [base],
    write: (recipe, [base = recipe.base]) => ({ ...recipe, base }),
  },
  {
    key: 'dataset',
    kind: 'dataset',
    read: ({ dataset }) => pathsOf(dataset),
    write: (recipe, paths) => ({ ...recipe, dataset: withPaths(recipe.dataset, paths) }),
  },
  {
    key: 'validation',
    kind: 'dataset',
    read: ({ validation }) => listOf(validation),
    write: (recipe, [validation = null]) => ({ ...recipe, validation }),
  },
  {
    key: 'objective.teacher',
    kind: 'base',
    read: (recipe) => listOf(distillationOf(recipe)?.teacher ?? null),
    write: (recipe, [teacher = null]) => ({
      ...recipe,
      objective: { ...recipe.objective, teacher },
    }),
  },
  {
    key: 'lora.frozen_adapters',
    kind: 'adapter',
    read: ({ lora }) => lora.frozen_adapters,
    write: (recipe, frozen_adapters) => ({
      ...recipe,
      lora: { ...recipe.lora, frozen_adapters: [...frozen_adapters] },
    }),
  },
  {
    key: 'lora.init_adapter',
    kind: 'adapter',
    read: ({ lora }) => listOf(lora.init_adapter),
    write: (recipe, [init_adapter = null]) => ({
      ...recipe,
      lora: { ...recipe.lora, init_adapter },
    }),
  },
];

const listOf = (path: string | null): string[] => (path === null ? [] : [path]);
