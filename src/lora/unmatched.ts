import { nearestName } from '../shared/nearest';
import type { AdapterConfig, TargetableModule } from './adapter';
import { isModuleToSave } from './modulesToSave';
import { unmatchedKeys } from './patterns';
import { layerOf } from './selection';
import { knownNames, matchTargets } from './targets';

/** A part of the settings that matches no module. */
export interface UnmatchedEntry {
  readonly key:
    | 'target_modules'
    | 'exclude_modules'
    | 'layers_to_transform'
    | 'rank_pattern'
    | 'alpha_pattern'
    | 'modules_to_save';
  readonly entry: string;
  /** The most similar name of a module. */
  readonly nearest: string | undefined;
}

type Settings = Pick<
  AdapterConfig,
  'target_modules' | 'exclude_modules' | 'layers_to_transform' | 'modules_to_save'
> &
  Pick<AdapterConfig, 'rank_pattern' | 'alpha_pattern'>;

/** The modules that settings are about. */
export interface KnownModules {
  /** All that LoRA can adapt. */
  readonly modules: readonly TargetableModule[];
  /** Those that are adapted. */
  readonly adapted: readonly TargetableModule[];
  /** Paths of all modules with weights. */
  readonly paths: readonly string[];
}

/**
 * The entries of an adapter's settings that match nothing.
 *
 * @throws LoraError('recipe') for an invalid regular expression.
 */
export function unmatchedEntries(
  settings: Settings,
  { modules, adapted, paths }: KnownModules,
): UnmatchedEntry[] {
  const entries = (
    key: UnmatchedEntry['key'],
    names: readonly string[],
    isMatched: (name: string) => boolean,
  ): UnmatchedEntry[] =>
    names
      .filter((name) => !isMatched(name))
      .map((entry) => ({ key, entry, nearest: nearestName(entry, knownNames(modules)) }));
  const select = (target_modules: string | readonly string[]) =>
    matchTargets(modules, { target_modules }).matched.length > 0;
  const layers = new Set(modules.map((m) => layerOf(m.path)).map(String));
  const unmatched = (key: 'rank_pattern' | 'alpha_pattern') =>
    unmatchedKeys(
      settings[key],
      adapted.map((m) => m.path),
      key,
    );
  return [
    ...entries('target_modules', listed(settings.target_modules), (name) => select([name])),
    ...entries('exclude_modules', namesOf(settings.exclude_modules), (name) =>
      select(typeof settings.exclude_modules === 'string' ? name : [name]),
    ),
    ...entries('layers_to_transform', numbersOf(settings.layers_to_transform), (layer) =>
      layers.has(layer),
    ),
    ...entries('rank_pattern', unmatched('rank_pattern'), () => false),
    ...entries('alpha_pattern', unmatched('alpha_pattern'), () => false),
    ...entries('modules_to_save', settings.modules_to_save ?? [], (name) =>
      paths.some((path) => isModuleToSave(path, [name])),
    ),
  ];
}

const listed = (names: string | readonly string[]) => (typeof names === 'string' ? [] : names);

/** An empty expression excludes nothing on purpose. */
const namesOf = (names: string | readonly string[] | null): readonly string[] =>
  (typeof names === 'string' ? [names] : (names ?? [])).filter((name) => name !== '');

const numbersOf = (layers: number | readonly number[] | null): readonly string[] =>
  (typeof layers === 'number' ? [layers] : (layers ?? [])).map(String);

/** "rank_pattern: "q_prj" matches no module; did you mean "q_proj"?" */
export function describeUnmatched({ key, entry, nearest }: UnmatchedEntry): string {
  const hint = nearest === undefined || nearest === entry ? '.' : `; did you mean "${nearest}"?`;
  switch (key) {
    case 'layers_to_transform':
      return `layers_to_transform: the base has no layer ${entry}.`;
    case 'rank_pattern':
    case 'alpha_pattern':
      return `${key}: "${entry}" matches no module that is adapted${hint}`;
    case 'exclude_modules':
      return `${key}: "${entry}" matches no module of this base that LoRA can adapt${hint}`;
    default:
      return `${key}: "${entry}" is not a module of this base${hint}`;
  }
}
