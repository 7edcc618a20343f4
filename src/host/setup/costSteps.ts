import { t } from '../text/l10n';
import { RANKS, rankChoices, targetPrices, type PricedChoice } from './pricedChoices';
import { availableHostMemory } from './machineMemory';
import { pick, type PickItem } from '../ui/picker';
import type { Outcome } from './steps';
import { targetsText, type TargetModules } from './targets';
import { STEPS, type TrainState } from './trainState';

/** The title and the step number of a question. */
export interface QuestionFrame {
  readonly title: string;
  readonly step: readonly [number: number, of: number];
}

/** Asks for the rank, each choice with its cost. */
export async function askRank(
  state: TrainState,
  first: boolean,
  frame: QuestionFrame = { title: t('Train Adapter: Rank'), step: [3, STEPS] },
): Promise<Outcome<TrainState>> {
  const question = {
    target: state.target_modules,
    available: availableHostMemory(),
    recommended: state.recommended,
  };
  let [base, shown] = [state.base!, ''];
  const choices = (typed: string) => {
    shown = typed;
    return rankChoices(base, question, typed).map(toChoice(typed));
  };
  const usual = RANKS.some((r) => r === state.r);
  const picked = await pick<number>({
    ...frame,
    first,
    placeholder: t('Select the rank r of the update BA, or type a number'),
    isDefault: (r) => r === state.r,
    fill: async (show) => {
      show(choices(usual ? '' : String(state.r)));
      if (!state.priced) return;
      ({ base } = await state.priced);
      show(choices(shown));
    },
    typed: choices,
  });
  return picked.kind === 'picked' ? { kind: 'next', state: { ...state, r: picked.value } } : picked;
}

/** Asks which modules to adapt, each choice with its cost. */
export async function askTargets(
  state: TrainState,
  first: boolean,
  frame: QuestionFrame = { title: t('Train Adapter: Target Modules'), step: [4, STEPS] },
): Promise<Outcome<TrainState>> {
  const available = availableHostMemory();
  let [base, shown] = [state.base!, ''];
  const choices = (typed: string) => {
    shown = typed;
    return targetPrices(base, state.r, available, typed).map(toChoice(typed));
  };
  const before = targetsText(state.target_modules);
  const picked = await pick<TargetModules>({
    ...frame,
    first,
    placeholder: t('Select the layers to adapt, or type names or a regular expression'),
    isDefault: (target) => targetsText(target) === before,
    fill: async (show) => {
      show(choices(''));
      if (!state.priced) return;
      ({ base } = await state.priced);
      show(choices(shown));
    },
    typed: choices,
  });
  return picked.kind === 'picked'
    ? { kind: 'next', state: { ...state, target_modules: picked.value } }
    : picked;
}

/**
 * The first choice is the typed one and must stay visible, even if the list's filter excludes it.
 */
const toChoice =
  (typed: string) =>
  <T>(choice: PricedChoice<T>, index: number): PickItem<T> => ({
    ...choice,
    alwaysShow: typed !== '' && index === 0,
  });
