import { RE2JS } from 're2js';
import { LoraError } from '../shared/errors';
import { nearestName } from '../shared/nearest';
import type { AdapterConfig, TargetableModule } from './types';

export type TargetSettings = Pick<AdapterConfig, 'target_modules'> & Partial<Pick<AdapterConfig, 'exclude_modules' | 'layers_to_transform' | 'layers_pattern'>>;

export interface MatchedTargets {
  readonly matched: readonly TargetableModule[];
  /** Names of the list that fit no module, each with the nearest known one. */
  readonly unmatched: readonly { readonly name: string; readonly nearest: string | undefined }[];
}

/** The modules that target_modules means, by PEFT's rules (tuners_utils.check_target_module_exists): a list names whole paths or their ends, a text is
 *  a regular expression for the whole path, "all-linear" is every linear layer but the output. Errors: LoraError('recipe') for a bad expression. */
export function matchTargets(modules: readonly TargetableModule[], settings: TargetSettings): MatchedTargets {
  const { target_modules } = settings;
  const inLayers = layerTest(settings);
  const excluded = pathTest(settings.exclude_modules ?? []);
  const wanted = target_modules === 'all-linear' ? (m: TargetableModule) => m.kind === 'linear' && !m.is_output : (m: TargetableModule) => pathTest(target_modules)(m.path);
  const matched = modules.filter((m) => !excluded(m.path) && wanted(m) && inLayers(m));
  const names = typeof target_modules === 'string' ? [] : target_modules;
  const unmatched = names.filter((name) => !modules.some((m) => isNamed(m.path, name)));
  return { matched, unmatched: unmatched.map((name) => ({ name, nearest: nearestName(name, kindsOf(modules)) })) };
}

/** The last parts of all module paths: q_proj, up_proj, … */
export function kindsOf(modules: readonly TargetableModule[]): string[] {
  return [...new Set(modules.map((m) => m.path.slice(m.path.lastIndexOf('.') + 1)))];
}

const isNamed = (path: string, name: string) => path === name || path.endsWith(`.${name}`);

function pathTest(targets: string | readonly string[]): (path: string) => boolean {
  if (typeof targets !== 'string') return (path) => targets.some((name) => isNamed(path, name));
  return fullMatch(targets, 'target_modules');
}

/** Python's re.fullmatch, in time linear in the path: the expression may come from a stranger's file. */
export function fullMatch(expression: string, key: string): (path: string) => boolean {
  try {
    const compiled = RE2JS.compile(expression);
    return (path) => compiled.matches(path);
  } catch (error) {
    throw new LoraError('recipe', `"${key}" is not a regular expression that can be used: ${expression} (${error instanceof Error ? error.message : String(error)}).`, { cause: error });
  }
}

/** PEFT's layers_to_transform: the number after layers_pattern, or the last number that stands between dots before the end. */
function layerTest({ layers_to_transform, layers_pattern, target_modules }: TargetSettings): (module: TargetableModule) => boolean {
  if (layers_to_transform === null || layers_to_transform === undefined || typeof target_modules === 'string') return () => true;
  const layers = typeof layers_to_transform === 'number' ? [layers_to_transform] : layers_to_transform;
  const patterns = layers_pattern === null || layers_pattern === undefined ? [] : typeof layers_pattern === 'string' ? [layers_pattern] : layers_pattern;
  const expressions = patterns.length === 0 ? [/.*\.[^.]*\.(\d+)\./] : patterns.map((p) => new RegExp(`.*\\.${p.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\.(\\d+)\\.`));
  return ({ path }) => {
    const layer = expressions.map((e) => e.exec(path)?.[1]).find((found) => found !== undefined);
    return layer !== undefined && layers.includes(Number(layer));
  };
}
