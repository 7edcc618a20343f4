import { t } from '../text/l10n';
import { RANKS, rankChoices, targetPrices, type PricedChoice } from './pricedChoices';
import { availableMemory } from './machineMemory';
import { pick, type PickItem } from './picker';
import type { Outcome } from './steps';
import { targetsText, type TargetModules } from './targets';
import { STEPS, type TrainState } from './trainState';

/** Which of how many questions it is, and under which title. */
export interface QuestionFrame {
  readonly title: string;
  readonly step: readonly [number: number, of: number];
}

/** How much room the update has. */
export async function askRank(
  state: TrainState,
  first: boolean,
  frame: QuestionFrame = { title: t('Train Adapter: Rank'), step: [3, STEPS] },
): Promise<Outcome<TrainState>> {
  const there = availableMemory();
  const choices = (typed: string) =>
    rankChoices(state.base!, state.target_modules, there, typed).map(toChoice(typed));
  const usual = RANKS.some((r) => r === state.r);
  const picked = await pick<number>({
    ...frame,
    first,
    placeholder: t('Select the rank r of the update BA, or type a number'),
    isDefault: (r) => r === state.r,
    fill: (show) => show(choices(usual ? '' : String(state.r))),
    typed: choices,
  });
  return picked.kind === 'picked' ? { kind: 'next', state: { ...state, r: picked.value } } : picked;
}

/** Which layers get an update. */
export async function askTargets(
  state: TrainState,
  first: boolean,
  frame: QuestionFrame = { title: t('Train Adapter: Target Modules'), step: [4, STEPS] },
): Promise<Outcome<TrainState>> {
  const there = availableMemory();
  const choices = (typed: string) =>
    targetPrices(state.base!, state.r, there, typed).map(toChoice(typed));
  const before = targetsText(state.target_modules);
  const picked = await pick<TargetModules>({
    ...frame,
    first,
    placeholder: t('Select the layers to adapt, or type names or a regular expression'),
    isDefault: (target) => targetsText(target) === before,
    fill: (show) => show(choices('')),
    typed: choices,
  });
  return picked.kind === 'picked'
    ? { kind: 'next', state: { ...state, target_modules: picked.value } }
    : picked;
}

/** The one that was typed stays, whatever the list's own filter thinks of it. */
const toChoice =
  (typed: string) =>
  <T>(choice: PricedChoice<T>, index: number): PickItem<T> => ({
    ...choice,
    alwaysShow: typed !== '' && index === 0,
  });
