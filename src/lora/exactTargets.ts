import type { AdapterConfig, TargetableModule } from './adapter';
import { layerOf } from './selection';
import { matchTargets } from './targets';

/** The keys of adapter_config.json that select modules. */
export type Selection = Pick<
  AdapterConfig,
  'target_modules' | 'exclude_modules' | 'layers_to_transform' | 'layers_pattern'
>;

/** The modules of an adapter, and what is known of its base. */
export interface ExactTargets {
  /** Paths of the adapter's modules. */
  readonly chosen: readonly string[];
  /** Names of all modules of the base; null: the base is not known. */
  readonly all: readonly string[] | null;
  /** Selections that are kept where they select exactly these modules. */
  readonly given?: readonly Selection[];
}

/**
 * A short selection that makes PEFT adapt exactly these modules: one that was given unless it
 * lists whole paths, the shortest ends of their paths ("q_proj"), ends of paths in some layers, or
 * else whole paths. Lists are sorted. Without a base a given selection counts as exact where it
 * selects the adapter's modules.
 */
export function exactTargets({ chosen, all, given = [] }: ExactTargets): Selection {
  const names = all ? [...new Set([...all, ...chosen])] : chosen;
  const paths = new Set(chosen);
  const own = given
    .map(sorted)
    .find((one) => !namesPaths(one, paths) && selectsExactly(one, chosen, names));
  if (own) return own;
  const candidates = [
    ...(all ? [named(shortestEnds(chosen, names))] : []),
    ...inLayers(chosen, all),
    named(chosen),
  ];
  const exact = candidates.filter((one) => selectsExactly(one, chosen, names));
  return exact.reduce((best, one) => (entriesOf(one) < entriesOf(best) ? one : best), exact[0]!);
}

/** Whether whole paths are listed, as PEFT and this program do for "all-linear". */
const namesPaths = ({ target_modules }: Selection, paths: ReadonlySet<string>): boolean =>
  typeof target_modules !== 'string' && target_modules.some((name) => paths.has(name));

const named = (target_modules: readonly string[]): Selection => ({
  target_modules: target_modules.toSorted(),
  exclude_modules: null,
  layers_to_transform: null,
  layers_pattern: null,
});

/** A list of names is a set in PEFT. */
const sorted = (own: Selection): Selection => ({
  target_modules:
    typeof own.target_modules === 'string'
      ? own.target_modules
      : [...new Set(own.target_modules)].toSorted(),
  exclude_modules: own.exclude_modules,
  layers_to_transform: own.layers_to_transform,
  layers_pattern: own.layers_pattern,
});

/** How long a selection is: a layer's number is shorter than a name. */
function entriesOf({ target_modules, layers_to_transform }: Selection): number {
  const names = typeof target_modules === 'string' ? 1 : target_modules.length;
  const layers = typeof layers_to_transform === 'object' ? (layers_to_transform?.length ?? 0) : 1;
  return names + layers / 2;
}

/** Paths as modules, so that the rules for target_modules apply to them. */
const asModule = (path: string): TargetableModule => ({
  path,
  kind: 'linear',
  in_features: 0,
  out_features: 0,
  is_output: false,
});

function selectsExactly(
  own: Selection,
  chosen: readonly string[],
  names: readonly string[],
): boolean {
  const isShorthand =
    typeof own.target_modules === 'string' && own.target_modules.toLowerCase() === 'all-linear';
  if (isShorthand) return false;
  const wanted = new Set(chosen);
  const { matched } = matchTargets(names.map(asModule), own);
  return matched.length === wanted.size && matched.every(({ path }) => wanted.has(path));
}

/** ["a.b.c"] -> c, b.c, a.b.c */
function endsOf(path: string): string[] {
  const parts = path.split('.');
  return parts.map((_, i) => parts.slice(parts.length - 1 - i).join('.'));
}

/** The shortest ends of the paths that are no end of another module's name. */
function shortestEnds(chosen: readonly string[], names: readonly string[]): string[] {
  const wanted = new Set(chosen);
  const taken = new Set(names.filter((name) => !wanted.has(name)).flatMap(endsOf));
  const ends = new Set<string>();
  for (const path of chosen.toSorted()) {
    const own = endsOf(path);
    if (!own.some((end) => ends.has(end))) ends.add(own.find((end) => !taken.has(end)) ?? path);
  }
  return [...ends];
}

/** BERT's MLP output, whose path within a layer is also the end of its attention's output. */
const AMBIGUOUS = 'output.dense';

/** Ends of paths within a layer, and the layers' numbers; empty where these cannot be exact. */
function inLayers(chosen: readonly string[], all: readonly string[] | null): Selection[] {
  const layers = chosen.map(layerOf);
  if (layers.includes(null)) return [];
  const inner = (path: string) => path.replace(/^.*?\.[^.]*\.\d+\./, '');
  const kinds = [...new Set(chosen.map(inner))];
  if (!all && kinds.includes(AMBIGUOUS)) return [];
  const ends = all ? shortestEnds(kinds, [...kinds, ...all.map(inner)]) : kinds;
  const layers_to_transform = [...new Set(layers as number[])].toSorted((a, b) => a - b);
  return [{ ...named(ends), layers_to_transform }];
}
