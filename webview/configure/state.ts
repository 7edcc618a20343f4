import type {
  AdviceLine,
  ConfigureHostMessage,
  ConfigurePageMessage,
  ConfigurePageState,
  Figures,
  ModuleChoice,
  RankSettings,
  Sizes,
} from '../../src/shared/pages/configure/protocol';
import type { ConfigureStringKey } from '../../src/shared/pages/configure/strings';
import type { Page } from '../shared/page';

/** What is shown: the recipe's choice, or one that the user is about to make. */
export interface ShownRecipe {
  readonly file: string;
  readonly base: string;
  readonly modules: readonly ModuleChoice[];
  readonly settings: RankSettings;
  /** Indices into `modules`. */
  readonly chosen: ReadonlySet<number>;
  readonly figures: Figures;
  readonly advice: readonly AdviceLine[];
  /** It has unsaved changes. */
  readonly dirty: boolean;
}

export interface ConfigureState {
  /** Grouping and open groups, which VS Code keeps. */
  readonly kept: ConfigurePageState;
  readonly recipe: ShownRecipe | null;
  /** Null: not computed yet. */
  readonly sizes: Sizes | null;
  /** Why the recipe cannot be read; the last one that could be read stays in `recipe`. */
  readonly fault: string | null;
  /** Whether that is because its base model is not there. */
  readonly isBaseMissing: boolean;
  /** Whether lora_alpha changes with r. */
  readonly follow: boolean;
  /** Number of choices sent to be written. */
  readonly applied: number;
}

export type ConfigurePage = Page<ConfigureState, ConfigurePageMessage, ConfigureStringKey>;

export function reduceConfigure(
  state: ConfigureState,
  message: ConfigureHostMessage,
): ConfigureState {
  switch (message.kind) {
    case 'recipe': {
      // A recipe without the user's newest choice is about to be followed by one with it.
      if (message.applied < state.applied) return state;
      const { file, base, modules, settings, figures, advice, dirty } = message;
      const chosen = new Set(message.chosen);
      const recipe = { file, base, modules, settings, figures, advice, dirty, chosen };
      return { ...state, recipe, fault: null };
    }
    case 'figures':
      return withRecipe(state, { figures: message.figures });
    case 'advice':
      return withRecipe(state, { advice: message.advice });
    case 'sizes':
      return { ...state, sizes: message.sizes };
    case 'fault':
      return { ...state, fault: message.message, isBaseMissing: message.missing === 'base' };
  }
}

const withRecipe = (state: ConfigureState, change: Partial<ShownRecipe>): ConfigureState =>
  state.recipe ? { ...state, recipe: { ...state.recipe, ...change } } : state;

/**
 * Shows a choice of the user. A finished one is written into the recipe, unless no module is
 * chosen; for others (a slider that is still held) only the cost is computed.
 */
export function applyChoice(
  { state, change, post }: ConfigurePage,
  choice: Partial<Pick<ShownRecipe, 'settings' | 'chosen'>>,
  finished = true,
): void {
  const { recipe } = state;
  if (!recipe) return;
  const { settings, chosen } = { ...recipe, ...choice };
  const written = finished && chosen.size > 0;
  const applied = state.applied + Number(written);
  change({ recipe: { ...recipe, settings, chosen }, applied });
  const sent = { settings, chosen: [...chosen] };
  post(written ? { kind: 'apply', id: applied, ...sent } : { kind: 'preview', ...sent });
}
