import { RE2JS } from 're2js';
import { LoraError } from '../shared/errors';
import { nearestName } from '../shared/nearest';
import type { AdapterConfig, TargetableModule } from './adapter';

export type TargetSettings = Pick<AdapterConfig, 'target_modules'> &
  Partial<Pick<AdapterConfig, 'exclude_modules' | 'layers_to_transform' | 'layers_pattern'>>;

export interface MatchedTargets {
  readonly matched: readonly TargetableModule[];
  /** Names of the list that fit no module, each with the nearest known one. */
  readonly unmatched: readonly { readonly name: string; readonly nearest: string | undefined }[];
}

/**
 * The modules that target_modules means, by PEFT's rules (check_target_module_exists): a list names
 * whole paths or their ends, a text is a regular expression for the whole path, "all-linear" is
 * every linear layer but the output. layers_to_transform counts only for modules named by their
 * ends. Errors: LoraError('recipe') for a bad expression.
 */
export function matchTargets(
  modules: readonly TargetableModule[],
  settings: TargetSettings,
): MatchedTargets {
  const excluded = pathTest(settings.exclude_modules ?? [], 'exclude_modules');
  const targeted = targetTest(settings);
  const names = typeof settings.target_modules === 'string' ? [] : settings.target_modules;
  const unmatched = names.filter((name) => !modules.some((m) => isNamed(m.path, name)));
  return {
    matched: modules.filter((m) => targeted(m) && !excluded(m.path)),
    unmatched: unmatched.map((name) => ({ name, nearest: nearestName(name, kindsOf(modules)) })),
  };
}

function targetTest(settings: TargetSettings): (module: TargetableModule) => boolean {
  const { target_modules } = settings;
  if (typeof target_modules === 'string') {
    if (target_modules.toLowerCase() === 'all-linear')
      return (m) => m.kind === 'linear' && !m.is_output;
    const matches = fullMatch(target_modules, 'target_modules');
    return (m) => matches(m.path);
  }
  const whole = new Set(target_modules);
  const inLayers = layerTest(settings);
  return ({ path }) =>
    whole.has(path) || (target_modules.some((name) => path.endsWith(`.${name}`)) && inLayers(path));
}

/** The last parts of all module paths: q_proj, up_proj, … */
export function kindsOf(modules: readonly TargetableModule[]): string[] {
  return [...new Set(modules.map((m) => m.path.slice(m.path.lastIndexOf('.') + 1)))];
}

const isNamed = (path: string, name: string) => path === name || path.endsWith(`.${name}`);

function pathTest(targets: string | readonly string[], key: string): (path: string) => boolean {
  if (typeof targets !== 'string') return (path) => targets.some((name) => isNamed(path, name));
  return targets === '' ? () => false : fullMatch(targets, key);
}

/**
 * Python's re.fullmatch, in time linear in the path: the expression may come from a stranger's
 * file. Errors: LoraError.
 */
export function fullMatch(expression: string, key: string): (path: string) => boolean {
  const compiled = compile(expression, key);
  return (path) => compiled.matches(path);
}

/**
 * PEFT's layers_to_transform: the number after layers_pattern (expressions, too), or the first
 * number that stands between dots after a name.
 */
function layerTest({
  layers_to_transform,
  layers_pattern,
}: TargetSettings): (path: string) => boolean {
  const layers =
    typeof layers_to_transform === 'number' ? [layers_to_transform] : (layers_to_transform ?? []);
  if (layers.length === 0) return () => true;
  const patterns = typeof layers_pattern === 'string' ? [layers_pattern] : (layers_pattern ?? []);
  const expressions =
    patterns.filter(Boolean).length === 0
      ? [compile('.*?\\.[^.]*\\.(?P<idx>\\d+)\\..*', 'layers_pattern')]
      : patterns.map((pattern) =>
          compile(`(?:.*?\\.)?${pattern}\\.(?P<idx>\\d+)\\..*`, 'layers_pattern'),
        );
  return (path) => {
    const matcher = expressions.map((e) => e.matcher(path)).find((m) => m.matches());
    return matcher !== undefined && layers.includes(Number(matcher.group('idx')));
  };
}

function compile(expression: string, key: string): RE2JS {
  try {
    return RE2JS.compile(expression);
  } catch (error) {
    throw new LoraError(
      'recipe',
      `"${key}" is not a regular expression that can be used: ${expression} (${error instanceof Error ? error.message : String(error)}).`,
      {
        fix: 'Look-around and back-references are not supported, as they can take time without end: list names, or use exclude_modules.',
        cause: error,
      },
    );
  }
}
