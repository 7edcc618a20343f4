import {
  adaptedModulesOf,
  hasExperts,
  moduleNames,
  parameterModules,
} from '../../../formats/architecture/modules';
import { familyOf } from '../../../formats/architecture/families';
import {
  countedTensors,
  modulesToSave,
  savedTensors,
  tokenTensor,
} from '../../../formats/architecture/trainedBeside';
import { targetableModules } from '../../../formats/openBase';
import { adapterBaseOf } from '../../../formats/peft/againstBase';
import { peftFolder } from '../../../formats/peft/fileNames';
import { readPeftAdapter } from '../../../formats/peft/read';
import { changesTiedLayers } from '../../../formats/peft/tying';
import { refuseReplacements } from '../../../formats/peft/vocabulary';
import type { BaseModel } from '../../../formats/baseModel';
import { trainedNumbers, type BesideCounts } from '../../../lora/count';
import { isOnExpert, parameterKey, patternPath } from '../../../lora/experts';
import { matchParameters, translatedTargets } from '../../../lora/parameterTargets';
import { patternValue } from '../../../lora/patterns';
import { describeUnmatched, unmatchedEntries } from '../../../lora/unmatched';
import { isModuleToSave } from '../../../lora/modulesToSave';
import {
  isNamed,
  kindsOf,
  unusableLayerKey,
  matchTargets,
  type MatchedTargets,
} from '../../../lora/targets';
import type { Adapter, TargetableModule } from '../../../lora/adapter';
import { LoraError } from '../../../shared/errors';
import { nearestName } from '../../../shared/nearest';
import type { LoraSettings, Recipe } from '../../../shared/recipe';
import { targetContradictions } from '../../../shared/recipeRules';
import {
  checkModulesToSave,
  startAdapter,
  withExactTargets,
  type StartingAdapters,
} from '../startAdapter';
import { plannedTokens } from '../startTokens';
import { warnOfProblems } from '../../report';
import { targetsLeftOut } from './leftOut';
import { countOf } from '../../../shared/values';

/** Which modules are adapted. The factors are created later, once memory is known to suffice. */
export interface AdapterPlan {
  readonly modules: readonly TargetableModule[];
  readonly rankOf: (module: TargetableModule) => number;
  /** Whether each module has DoRA's magnitudes. */
  readonly use_dora: boolean;
  /** Names of the base's tensors that are trained themselves, wholly or in part. */
  readonly trained: readonly string[];
  /** How many of their numbers are trained. */
  readonly besides: BesideCounts;
  /** Adapters below the trained one that do not change. */
  readonly frozen: readonly Adapter[];
  /** Creates the adapter's factors. @throws LoraError */
  readonly create: () => Promise<StartingAdapters>;
}

interface Hooks {
  readonly info: (message: string) => void;
  /** `key`: that of the recipe which the warning is about. */
  readonly warn: (message: string, key?: string) => void;
}

/**
 * The plan of a LoRA training: it continues init_adapter, or starts a new adapter on
 * target_modules.
 *
 * @throws LoraError('recipe') when no module matches
 */
export async function planAdapter(
  recipe: Recipe,
  base: BaseModel,
  hooks: Hooks,
): Promise<AdapterPlan> {
  const { init_adapter, frozen_adapters, use_dora } = recipe.lora;
  if (use_dora && frozen_adapters.length > 0)
    throw new LoraError(
      'recipe',
      "DoRA cannot be combined with frozen_adapters: its magnitudes are computed from the base's weights alone.",
      {
        place: placeIn(base, 'lora.use_dora'),
        fix: 'Set use_dora to false, or merge the adapters into the base.',
      },
    );
  const frozen: Adapter[] = [];
  for (const folder of frozen_adapters) {
    await refuseReplacements(folder, base);
    frozen.push(
      await readAdapterFor(folder, base, (message) => hooks.warn(message, 'lora.frozen_adapters')),
    );
  }
  const warnOfInitial = (message: string) => hooks.warn(message, 'lora.init_adapter');
  const initial =
    init_adapter === null ? null : await readAdapterFor(init_adapter, base, warnOfInitial);
  if (initial) refuseDropoutOfExperts(initial, recipe.lora, base);
  const planned = initial
    ? planContinuedAdapter(initial, base, hooks)
    : planNewAdapter(recipe, base, hooks);
  const { modules, rankOf: ranks, use_dora: hasDora } = planned;
  const trainable = trainedNumbers({ modules, ranks, use_dora: hasDora });
  hooks.info(
    `LoRA on ${countOf(modules.length, 'layer')} (${kindsOf(modules).join(', ')}): ` +
      `${trainable.toLocaleString('en-US')} trainable parameters.`,
  );
  return { frozen, ...planned };
}

async function readAdapterFor(
  folder: string,
  base: BaseModel,
  warn: (message: string) => void,
): Promise<Adapter> {
  const { adapter, warnings } = await readPeftAdapter(peftFolder(folder), adapterBaseOf(base), {
    partial: false,
  });
  warnOfProblems(warnings, warn);
  return adapter;
}

type PlannedModules = Omit<AdapterPlan, 'frozen'>;

const tokensInfo = (name: string, rows: readonly number[]): string =>
  `The rows of ${countOf(rows.length, 'token')} in ${name} are trained, too.`;

/** PEFT cannot load an adapter of experts with dropout. */
function refuseDropoutOfExperts(
  { modules }: Adapter,
  { lora_dropout }: LoraSettings,
  base: BaseModel,
): void {
  if (lora_dropout === 0 || !modules.some(isOnExpert)) return;
  throw new LoraError('recipe', 'An adapter of experts cannot be trained with dropout.', {
    place: placeIn(base, 'lora.lora_dropout'),
    fix: 'Set lora_dropout to 0.',
  });
}

function planContinuedAdapter(
  adapter: Adapter,
  base: BaseModel,
  { info, warn }: Hooks,
): PlannedModules {
  for (const { name, rows } of adapter.trained) if (rows) info(tokensInfo(name, rows));
  if (changesTiedLayers(adapter, adapterBaseOf(base).tied ?? null))
    throw new LoraError(
      'adapter',
      'The adapter has the same numbers for the embedding and the output layer (ensure_weight_tying), which training does not support.',
      {
        place: placeIn(base, 'lora.init_adapter'),
        fix: 'Merge it into its base and train on the merged model.',
      },
    );
  const known = adaptedModulesOf(base.spec);
  const ranks = new Map(adapter.modules.map((m) => [m.path, m.r]));
  const modules = known.filter((m) => ranks.has(m.path));
  const rankOf = (m: TargetableModule) => ranks.get(m.path)!;
  warnOfHighRanks(modules, rankOf, warn);
  return {
    modules,
    rankOf,
    trained: adapter.trained.map(({ name }) => name),
    use_dora: adapter.modules.some(({ magnitude }) => magnitude !== null),
    besides: countedTensors(base.spec, adapter.trained),
    create: () =>
      Promise.resolve({ adapter: withExactTargets(adapter, base), baseCorrection: null }),
  };
}

/** @throws LoraError('recipe') for settings of layers without effect, which PEFT would refuse */
function refuseUnusedLayers(lora: LoraSettings, base: BaseModel): void {
  const isUnused = lora.layers_pattern !== null && lora.layers_to_transform === null;
  const key = unusableLayerKey(lora) ?? (isUnused ? 'layers_pattern' : null);
  if (key === null) return;
  throw new LoraError('recipe', `"${key}" has no effect with these target_modules.`, {
    place: placeIn(base, `lora.${key}`),
    fix: 'layers_to_transform needs a list of names in target_modules, and layers_pattern needs layers_to_transform.',
  });
}

function planNewAdapter(recipe: Recipe, base: BaseModel, { info, warn }: Hooks): PlannedModules {
  refuseUnusedLayers(recipe.lora, base);
  const saved = modulesToSave(base, recipe.lora.modules_to_save);
  // modules that are trained in full need no low-rank update
  const known = targetableModules(base).filter((m) => !isModuleToSave(m.path, saved));
  refuseLayersOfExpression(recipe.lora, base);
  const lora = targetsFor(recipe.lora, known, base);
  const { matched: layers, unmatched: unknown } = matchedTargets(known, lora, base);
  const leftOut = targetsLeftOut(base, lora, saved);
  for (const path of leftOut)
    info(`${path}, which PEFT adapts too, gets no update: nothing that is trained depends on it.`);
  const unmatched = unknown.filter(({ name }) => !leftOut.some((path) => isNamed(path, name)));
  const matched = [...layers, ...parametersFor(lora, base)];
  if (matched.length === 0) throw noMatchError(known, unmatched, lora, base);
  if (unmatched.length > 0)
    warn(
      `target_modules: ${hintsFor(unmatched)} ${matched.length} of ${countOf(known.length, 'layer')} ${matched.length === 1 ? 'is' : 'are'} ` +
        `adapted (${kindsOf(matched).join(', ')}).`,
      'lora.target_modules',
    );
  warnOfUnmatched(lora, { base, adapted: matched }, warn);
  const rankOf = (m: TargetableModule) =>
    patternValue(lora.rank_pattern, patternPath(m), lora.r, 'rank_pattern');
  warnOfHighRanks(matched, rankOf, warn);
  const tokens = plannedTokens(base, lora, matched);
  for (const { path, rows } of tokens) info(tokensInfo(path, rows));
  const adapted = new Set(matched.map((m) => m.path));
  const besides = [
    ...savedTensors(base, { modules_to_save: saved, bias: lora.bias }, adapted),
    ...tokens.map((own) => tokenTensor(base.spec, own)),
  ];
  return {
    modules: matched,
    rankOf,
    use_dora: lora.use_dora,
    besides: countedTensors(base.spec, besides),
    trained: besides.map(({ name }) => name),
    create: () => startAdapter(base, matched, { ...recipe, lora }),
  };
}

/** A module under the path by which its rank is looked up. */
const asPattern = (m: TargetableModule): TargetableModule => ({ ...m, path: patternPath(m) });

/**
 * Names the entries that match nothing, apart from target_modules; an unknown module to save is
 * refused.
 */
function warnOfUnmatched(
  lora: LoraSettings,
  { base, adapted }: { readonly base: BaseModel; readonly adapted: readonly TargetableModule[] },
  warn: Hooks['warn'],
): void {
  checkModulesToSave(base, lora.modules_to_save);
  const unmatched = unmatchedEntries(lora, {
    modules: [...targetableModules(base), ...adapted.filter(isOnExpert).map(asPattern)],
    adapted: adapted.map(asPattern),
    paths: moduleNames(base.spec),
  });
  for (const own of unmatched)
    if (own.key !== 'target_modules') warn(describeUnmatched(own), `lora.${own.key}`);
}

/**
 * The settings as PEFT reads them for the base: experts and routers that target_modules names are
 * target_parameters.
 *
 * @throws LoraError('recipe') for what adapters of experts cannot have
 */
function targetsFor(
  lora: LoraSettings,
  known: readonly TargetableModule[],
  base: BaseModel,
): LoraSettings {
  if (!familyOf(base.spec).translatesTargets || !hasExperts(base.spec)) return lora;
  const paths = parameterModules(base.spec).map(({ path }) => path);
  const experts = paths.flatMap((path) => /^(.+\.experts)\./.exec(path)?.[1] ?? []);
  const translated = translatedTargets(lora, {
    layers: known,
    routers: paths.filter((path) => !isOnExpert({ path })),
    experts: [...new Set(experts)],
  });
  const [fault] = targetContradictions(translated);
  if (translated === lora || !fault) return translated;
  throw new LoraError('recipe', fault.message, {
    place: placeIn(base, fault.key),
    fix: `target_modules ${JSON.stringify(lora.target_modules)} includes experts or routers: list others, such as ["q_proj", "v_proj"], or change this setting.`,
  });
}

/** @throws LoraError('recipe') for an entry that names no parameter of experts or a router */
function parametersFor(
  { target_parameters: names }: LoraSettings,
  base: BaseModel,
): readonly TargetableModule[] {
  if (!names) return [];
  const all = parameterModules(base.spec);
  const { matched, unmatched } = matchParameters(all, names);
  if (unmatched.length === 0) return matched;
  const known = [...new Set(all.map((m) => parameterKey(m).split('.').slice(-2).join('.')))];
  throw new LoraError(
    'recipe',
    `"${unmatched[0]!}" in target_parameters is no parameter of experts or a router.`,
    {
      place: placeIn(base, 'lora.target_parameters'),
      fix:
        known.length === 0
          ? 'The base is not a mixture of experts: leave target_parameters out.'
          : `Those of this base: ${known.join(', ')}.`,
    },
  );
}

/** As in PEFT, layers can only be chosen for modules that are named by a list. */
function refuseLayersOfExpression(
  { target_modules, layers_to_transform: layers }: LoraSettings,
  base: BaseModel,
): void {
  const isGiven = typeof layers === 'number' || (layers?.length ?? 0) > 0;
  if (!isGiven || typeof target_modules !== 'string') return;
  throw new LoraError(
    'recipe',
    `layers_to_transform has no effect on target_modules "${target_modules}", only on a list of names.`,
    {
      place: placeIn(base, 'lora.layers_to_transform'),
      fix: 'List the modules in target_modules, such as ["q_proj", "v_proj"].',
    },
  );
}

/** @throws LoraError('recipe') when target_modules is not a valid expression */
function matchedTargets(
  known: readonly TargetableModule[],
  lora: LoraSettings,
  base: BaseModel,
): MatchedTargets {
  try {
    return matchTargets(known, lora);
  } catch (error) {
    throw new LoraError('recipe', LoraError.from(error, 'recipe').message, {
      place: placeIn(base),
      fix: 'Use a list of names: look-around and back-references are not supported.',
      cause: error,
    });
  }
}

function noMatchError(
  known: readonly TargetableModule[],
  unmatched: MatchedTargets['unmatched'],
  { target_modules }: LoraSettings,
  base: BaseModel,
): LoraError {
  const kinds = kindsOf(known);
  const hints =
    typeof target_modules === 'string'
      ? expressionHint(target_modules, ['all-linear', ...kinds])
      : hintsFor(unmatched);
  const names = kinds.map((kind) => `"${kind}"`).join(', ');
  return new LoraError('recipe', `No module matches target_modules. ${hints}`, {
    place: placeIn(base),
    fix: `Use "all-linear", or a list of some of these ${known.length} layers: ${names}.`,
  });
}

function expressionHint(expression: string, names: readonly string[]): string {
  const nearest = nearestName(expression, names);
  const question = nearest === undefined ? '' : ` Did you mean "${nearest}"?`;
  return `"${expression}" is read as a regular expression for the whole module path.${question}`;
}

/** The main thread replaces the base's path by the line in the recipe. */
const placeIn = (base: BaseModel, key = 'lora.target_modules') => ({ file: base.path, key });

const hintsFor = (unmatched: MatchedTargets['unmatched']) =>
  unmatched
    .map(({ name, nearest }) => {
      const question = nearest === undefined ? '.' : `; did you mean "${nearest}"?`;
      return `"${name}" is not a module of this base${question}`;
    })
    .join(' ');

/** A rank above the smaller side of a weight is allowed, but pointless. */
function warnOfHighRanks(
  modules: readonly TargetableModule[],
  rankOf: (module: TargetableModule) => number,
  warn: Hooks['warn'],
): void {
  const [first, ...others] = modules.filter(
    (m) => rankOf(m) > Math.min(m.in_features, m.out_features),
  );
  if (!first) return;
  const more = others.length > 0 ? ` and of ${countOf(others.length, 'more module')}` : '';
  warn(
    `r = ${rankOf(first)} exceeds the smaller side of ${first.path} ` +
      `(${first.out_features} x ${first.in_features})${more}: the update is no longer of low rank, ` +
      'and trains more numbers than the layer itself has.',
    'lora.r',
  );
}
