import { RE2JS } from 're2js';
import { LoraError } from '../shared/errors';
import { nearestName } from '../shared/nearest';
import type { AdapterConfig, TargetableModule } from './adapter';

export type TargetSettings = Pick<AdapterConfig, 'target_modules'> &
  Partial<Pick<AdapterConfig, 'exclude_modules' | 'layers_to_transform' | 'layers_pattern'>>;

export interface MatchedTargets {
  readonly matched: readonly TargetableModule[];
  /** Names of the list that match no module, each with the nearest known one. */
  readonly unmatched: readonly { readonly name: string; readonly nearest: string | undefined }[];
}

/** Whether a path is meant. */
export type PathTest = (path: string) => boolean;

/**
 * The modules that target_modules selects, by PEFT's rules (check_target_module_exists): a list
 * names paths or their ends, a string is a regular expression for the whole path, "all-linear" is
 * every linear layer but the output. layers_to_transform applies only to modules named by their
 * ends. A language model's layers also have the paths that they have in a larger model.
 *
 * @throws LoraError('recipe') for an invalid regular expression.
 */
export function matchTargets(
  modules: readonly TargetableModule[],
  given: TargetSettings,
): MatchedTargets {
  const settings = {
    ...given,
    target_modules: withoutOtherNames(modules, given.target_modules),
  };
  const isExcluded = exclusionTest(withoutOtherNames(modules, settings.exclude_modules ?? []));
  const isTarget = targetTest(settings);
  const names = typeof settings.target_modules === 'string' ? [] : settings.target_modules;
  const isKnown = (name: string) =>
    modules.some((m) => pathsOf(m).some((path) => isNamed(path, name)));
  const unmatched = names.filter((name) => !isKnown(name));
  return {
    matched: modules.filter((m) => isTarget(m) && !pathsOf(m).some(isExcluded)),
    unmatched: unmatched.map((name) => ({ name, nearest: nearestName(name, knownNames(modules)) })),
  };
}

/** Its own path, and that in a larger model. */
const pathsOf = ({ path, path_in_model: other }: TargetableModule): readonly string[] =>
  other === undefined ? [path] : [path, other];

/** The names of a list, those of layers and of their classes as the paths of their modules. */
function withoutOtherNames(
  modules: readonly TargetableModule[],
  targets: TargetSettings['target_modules'],
): TargetSettings['target_modules'] {
  if (typeof targets === 'string') return targets;
  return targets.flatMap((name) => {
    const isOther = modules.some(({ names }) => names?.includes(name) === true);
    const meant = ({ path, names }: TargetableModule) =>
      isNamed(path, name) || names?.includes(name) === true;
    return isOther ? modules.filter(meant).map(({ path }) => path) : [name];
  });
}

/** The names that target_modules can use: kinds of modules, and other names of modules. */
export const knownNames = (modules: readonly TargetableModule[]): string[] => [
  ...new Set([...kindsOf(modules), ...modules.flatMap(({ names = [] }) => names)]),
];

/** The key of layers that PEFT refuses, because target_modules is no list of names; or null. */
export function unusableLayerKey({
  target_modules,
  layers_to_transform,
  layers_pattern,
}: TargetSettings): 'layers_to_transform' | 'layers_pattern' | null {
  if (typeof target_modules !== 'string') return null;
  if (listOf(layers_to_transform).length > 0) return 'layers_to_transform';
  return listOf(layers_pattern).some(Boolean) ? 'layers_pattern' : null;
}

function targetTest(settings: TargetSettings): (module: TargetableModule) => boolean {
  const { target_modules } = settings;
  if (typeof target_modules !== 'string') {
    const isListed = listTest(target_modules, settings);
    return (m) => pathsOf(m).some(isListed);
  }
  if (target_modules.toLowerCase() === 'all-linear')
    return (m) => m.kind === 'linear' && !m.is_output;
  const matches = fullMatch(target_modules, 'target_modules');
  return (m) => pathsOf(m).some(matches);
}

function listTest(names: readonly string[], settings: TargetSettings): PathTest {
  const paths = new Set(names);
  const isInLayers = layerTest(settings);
  return (path) =>
    paths.has(path) || (names.some((name) => path.endsWith(`.${name}`)) && isInLayers(path));
}

/** The last parts of all module paths: q_proj, up_proj, … */
export function kindsOf(modules: readonly TargetableModule[]): string[] {
  return [...new Set(modules.map((m) => m.path.slice(m.path.lastIndexOf('.') + 1)))];
}

/** Whether a name of target_modules means a module: its path, or the end of that. */
export const isNamed = (path: string, name: string): boolean =>
  path === name || path.endsWith(`.${name}`);

function exclusionTest(excluded: string | readonly string[]): PathTest {
  if (typeof excluded !== 'string') return (path) => excluded.some((name) => isNamed(path, name));
  return excluded === '' ? () => false : fullMatch(excluded, 'exclude_modules');
}

/**
 * Python's re.fullmatch, in time linear in the path, because the expression may come from an
 * untrusted file.
 *
 * @param key The setting that holds the expression, for the message.
 * @param written The expression as the setting has it, for the message.
 * @throws LoraError('recipe') for an invalid regular expression.
 */
export function fullMatch(expression: string, key: string, written = expression): PathTest {
  const compiled = compile(expression, key, written);
  return (path) => compiled.matches(path);
}

/**
 * Whether a text is a valid regular expression with look-around or back-references, which
 * `fullMatch` doesn't evaluate. It is only parsed here.
 */
export function looksAround(text: string): boolean {
  if (!/\(\?<?[=!]|\\[1-9]|\(\?P=/.test(text)) return false;
  try {
    // Python's names of groups, and its flags at the start
    new RegExp(
      text
        .replace(/^\(\?[a-z]+\)/, '')
        .replaceAll('(?P<', '(?<')
        .replace(/\(\?P=(\w+)\)/g, '\\k<$1>'),
    );
    return true;
  } catch {
    return false;
  }
}

/** The first number between dots after a name. */
const ANY_LAYER = '.*?\\.[^.]*\\.(?P<idx>\\d+)\\..*';

/**
 * PEFT's layers_to_transform: the layer is the number after layers_pattern (regular expressions
 * too), by default the first number between dots.
 */
function layerTest({ layers_to_transform, layers_pattern }: TargetSettings): PathTest {
  const layers = listOf(layers_to_transform);
  if (layers.length === 0) return () => true;
  const patterns = listOf(layers_pattern);
  const expressions = patterns.some(Boolean)
    ? patterns.map((pattern) => `(?:.*?\\.)?${pattern}\\.(?P<idx>\\d+)\\..*`)
    : [ANY_LAYER];
  const compiled = expressions.map((expression) => compile(expression, 'layers_pattern'));
  return (path) => {
    const matcher = compiled.map((e) => e.matcher(path)).find((m) => m.matches());
    return matcher !== undefined && layers.includes(Number(matcher.group('idx')));
  };
}

function listOf<T extends string | number>(
  value: T | readonly T[] | null | undefined,
): readonly T[] {
  if (value === null || value === undefined) return [];
  return typeof value === 'object' ? value : [value];
}

function compile(expression: string, key: string, written = expression): RE2JS {
  try {
    return RE2JS.compile(expression);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new LoraError(
      'recipe',
      `"${key}" is not a supported regular expression: ${written} (${reason}).`,
      {
        fix: WRITE_INSTEAD,
        cause: error,
      },
    );
  }
}

/** The suggestion for an unsupported expression. */
const WRITE_INSTEAD =
  'Look-around and back-references are not supported, because they can take unlimited time: list names, or use exclude_modules. Instead of "(?!.*layers\\.0\\.).*_proj", write target_modules ".*_proj" and exclude_modules ".*layers\\.0\\..*".';
