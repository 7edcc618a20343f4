import { LoraError } from '../shared/errors';
import type { TargetableModule } from './adapter';
import { parameterKey } from './experts';
import { matchTargets } from './targets';

// target_parameters of new adapters, as PEFT chooses them.

/** The part of a recipe's `lora` that selects modules and parameters. */
export interface ParameterSettings {
  readonly r: number;
  readonly lora_alpha: number;
  readonly target_modules: string | readonly string[];
  readonly target_parameters: readonly string[] | null;
  readonly exclude_modules?: string | readonly string[] | null;
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
}

/**
 * The parameter in which each layer of a mixture is now that experts are stacked. PEFT translates
 * them for models whose adapters are older than that.
 */
const TRANSLATED: Readonly<Record<string, string>> = {
  gate: 'gate.weight',
  gate_proj: 'gate_up_proj',
  up_proj: 'gate_up_proj',
  down_proj: 'down_proj',
};
const FUSED = ['gate_proj', 'up_proj'];

/** Names that target_modules can use in a model of a translated family. */
export interface TranslatedModel {
  readonly layers: readonly TargetableModule[];
  /** Paths of routers. */
  readonly routers: readonly string[];
  /** Paths of the modules that have the experts. */
  readonly experts: readonly string[];
}

const lastPart = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

/**
 * The names that target_modules stands for. Of a regular expression these are the last parts of
 * what it matches, in any layer, as in PEFT.
 */
function namesOf(settings: ParameterSettings, model: TranslatedModel): readonly string[] {
  const { target_modules: given, exclude_modules = null } = settings;
  if (typeof given !== 'string') return given;
  if (given.toLowerCase() === 'all-linear') {
    const { matched } = matchTargets(model.layers, { target_modules: given });
    return [...new Set([...matched.map(({ path }) => lastPart(path)), ...Object.keys(TRANSLATED)])];
  }
  const ofExperts = model.experts.flatMap((path) =>
    [...FUSED, 'down_proj'].map((name) => `${path}.${name}`),
  );
  const paths = [...model.layers.map(({ path }) => path), ...model.routers, ...ofExperts];
  const known = paths.map((path): TargetableModule => ({ ...ANY, path }));
  const { matched } = matchTargets(known, { target_modules: given, exclude_modules });
  return [...new Set(matched.map(({ path }) => lastPart(path)))];
}

/** Matching goes by the path alone. */
const ANY = { kind: 'linear', in_features: 1, out_features: 1, is_output: false } as const;

/**
 * The settings with experts and routers as target_parameters; gate and up together get twice the
 * rank, and twice the alpha.
 *
 * @throws LoraError('recipe') where only one of gate_proj and up_proj is named.
 */
export function translatedTargets<S extends ParameterSettings>(
  settings: S,
  model: TranslatedModel,
): S {
  const { target_modules: given, target_parameters, r, lora_alpha } = settings;
  const named = namesOf(settings, model);
  if (named.length === 0) return settings;
  const oldName = (target: string) =>
    Object.keys(TRANSLATED).find((own) => target === own || target.endsWith(`.${own}`));
  const found = new Set(named.flatMap((target) => oldName(target) ?? []));
  if (found.size === 0)
    return typeof given === 'string' ? { ...settings, target_modules: named } : settings;
  const missing = FUSED.filter((own) => !found.has(own));
  if (missing.length === 1)
    throw new LoraError(
      'recipe',
      `The experts have gate_proj and up_proj as one parameter, but ${missing[0]!} is not in target_modules.`,
      { fix: 'Name both, or neither.' },
    );
  const twice = missing.length === 0;
  const parameters = [...found].map((own) => TRANSLATED[own]!);
  return {
    ...settings,
    target_modules: named.filter((target) => oldName(target) === undefined),
    target_parameters: [...new Set([...(target_parameters ?? []), ...parameters])],
    rank_pattern: { ...settings.rank_pattern, ...(twice && { [GATE_UP]: 2 * r }) },
    alpha_pattern: { ...settings.alpha_pattern, ...(twice && { [GATE_UP]: 2 * lora_alpha }) },
  };
}

const GATE_UP = '.*\\.gate_up_proj';

/** The modules that target_parameters selects, and the entries that select none. */
export function matchParameters(
  modules: readonly TargetableModule[],
  names: readonly string[],
): { readonly matched: readonly TargetableModule[]; readonly unmatched: readonly string[] } {
  const isNamed = (key: string, name: string) => key === name || key.endsWith(`.${name}`);
  const keys = new Map(modules.map((m) => [m, parameterKey(m)]));
  return {
    matched: modules.filter((m) => names.some((name) => isNamed(keys.get(m)!, name))),
    unmatched: names.filter((name) => !modules.some((m) => isNamed(keys.get(m)!, name))),
  };
}
