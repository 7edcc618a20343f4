import { targetableModules } from '../../../formats/base';
import { adapterBaseOf } from '../../../formats/peft/againstBase';
import { readPeftAdapter } from '../../../formats/peft/read';
import type { BaseModel } from '../../../formats/baseModel';
import { countTrainable } from '../../../lora/count';
import { patternValue } from '../../../lora/patterns';
import { isModuleToSave } from '../../../lora/modulesToSave';
import { kindsOf, matchTargets, type MatchedTargets } from '../../../lora/targets';
import type { Adapter, TargetableModule } from '../../../lora/adapter';
import { LoraError } from '../../../shared/errors';
import { nearestName } from '../../../shared/nearest';
import type { LoraSettings, Recipe } from '../../../shared/recipe';
import { modulesToSave, startAdapter, type StartingAdapters } from '../startAdapter';
import { baseName, described } from '../../commands/describe';

/**
 * What is going to be adapted; the factors themselves are made once it is known that there is
 * memory for them.
 */
export interface AdapterPlan {
  readonly modules: readonly TargetableModule[];
  readonly rankOf: (module: TargetableModule) => number;
  /** Adapters that stay as they are under it. */
  readonly frozen: readonly Adapter[];
  readonly create: () => Promise<StartingAdapters>;
}

interface Hooks {
  readonly info: (message: string) => void;
  readonly warn: (message: string) => void;
}

/**
 * init_adapter as it is, or a new adapter on target_modules. Errors: LoraError where no module
 * matches.
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
      "DoRA cannot be trained on top of frozen_adapters: its magnitudes are those of the base's weights.",
      {
        place: placeIn(base, 'lora.use_dora'),
        fix: 'Set use_dora to false, or merge the adapters into the base first.',
      },
    );
  const frozen: Adapter[] = [];
  for (const folder of frozen_adapters) frozen.push(await readOn(folder, base, hooks));
  const plan = {
    frozen,
    ...(init_adapter === null
      ? planNew(recipe, base, hooks)
      : planOn(await readOn(init_adapter, base, hooks), base, hooks)),
  };
  const { modules, rankOf } = plan;
  hooks.info(
    `LoRA on ${modules.length} layers (${kindsOf(modules).join(', ')}): ${countTrainable(modules, rankOf).trainable.toLocaleString('en-US')} numbers are trained.`,
  );
  return plan;
}

async function readOn(folder: string, base: BaseModel, { warn }: Hooks): Promise<Adapter> {
  const { adapter, warnings } = await readPeftAdapter(folder, adapterBaseOf(base));
  for (const warning of warnings) warn(described(warning));
  return adapter;
}

type Planned = Omit<AdapterPlan, 'frozen'>;

function planOn(adapter: Adapter, base: BaseModel, { warn }: Hooks): Planned {
  const known = targetableModules(base);
  const ranks = new Map(adapter.modules.map((m) => [m.path, m.r]));
  const modules = known.filter((m) => ranks.has(m.path));
  const rankOf = (m: TargetableModule) => ranks.get(m.path)!;
  warnOfRank(modules, rankOf, warn);
  return { modules, rankOf, create: () => Promise.resolve({ adapter, baseCorrection: null }) };
}

function planNew({ lora, training }: Recipe, base: BaseModel, { warn }: Hooks): Planned {
  const saved = modulesToSave(base, lora.modules_to_save);
  // what trains whole needs no update beside it
  const known = targetableModules(base).filter((m) => !isModuleToSave(m.path, saved));
  const { matched, unmatched } = targetsOf(known, lora, base);
  if (matched.length === 0) throw noneMatched(known, unmatched, lora, base);
  if (unmatched.length > 0)
    warn(
      `target_modules: ${hintsOf(unmatched).join('. ')}. ${matched.length} of ${known.length} layers are adapted (${kindsOf(matched).join(', ')}).`,
    );
  const rankOf = ({ path }: TargetableModule) => patternValue(lora.rank_pattern, path, lora.r);
  warnOfRank(matched, rankOf, warn);
  return {
    modules: matched,
    rankOf,
    create: () => startAdapter(base, matched, lora, baseName(base), training.seed),
  };
}

/** Errors: LoraError where target_modules is no expression. */
function targetsOf(
  known: readonly TargetableModule[],
  lora: LoraSettings,
  base: BaseModel,
): MatchedTargets {
  try {
    return matchTargets(known, lora);
  } catch (error) {
    throw new LoraError('recipe', LoraError.from(error, 'recipe').message, {
      place: placeIn(base),
      fix: 'List names instead: look-around and back-references are not supported.',
      cause: error,
    });
  }
}

function noneMatched(
  known: readonly TargetableModule[],
  unmatched: MatchedTargets['unmatched'],
  { target_modules }: LoraSettings,
  base: BaseModel,
): LoraError {
  const nearest =
    typeof target_modules === 'string'
      ? nearestName(target_modules, ['all-linear', ...kindsOf(known)])
      : undefined;
  const hints =
    typeof target_modules !== 'string'
      ? hintsOf(unmatched)
      : [
          `"${target_modules}" is an expression for a module's whole path${nearest === undefined ? '' : `; the nearest name is "${nearest}"`}`,
        ];
  return new LoraError('recipe', `No module matches target_modules. ${hints.join('. ')}.`, {
    place: placeIn(base),
    fix: `Name some of ${known.length} layers here as a list: ${kindsOf(known)
      .map((kind) => `"${kind}"`)
      .join(', ')}; or take "all-linear".`,
  });
}

/** The engine's main thread knows where the recipe lies. */
const placeIn = (base: BaseModel, key = 'lora.target_modules') => ({ file: base.path, key });

const hintsOf = (unmatched: MatchedTargets['unmatched']) =>
  unmatched.map(
    ({ name, nearest }) =>
      `"${name}" is no module of this base${nearest === undefined ? '' : `; the nearest is "${nearest}"`}`,
  );

function warnOfRank(
  modules: readonly TargetableModule[],
  rankOf: (module: TargetableModule) => number,
  warn: (message: string) => void,
): void {
  const [first, ...others] = modules.filter(
    (m) => rankOf(m) > Math.min(m.in_features, m.out_features),
  );
  if (!first) return;
  warn(
    `r = ${rankOf(first)} is above the smaller side of ${first.path} (${first.out_features} x ${first.in_features})${others.length > 0 ? ` and of ${others.length} more modules` : ''}: such an update is no longer of low rank, and costs more than tuning the layer itself.`,
  );
}
