import path from 'node:path';
import { parseRecipe } from '../../shared/recipeFile';
import { costOf, fitsText, type BaseFacts } from '../setup/costs';
import { forecast } from '../setup/forecast';
import { forecastText } from '../setup/forecastText';
import type { ReplaySource } from '../setup/recipeSources';
import type { Outcome } from '../setup/steps';
import { STEPS, type TrainState } from '../setup/trainState';
import { t } from '../text/l10n';
import { pick, type Picked, type PickItem } from '../ui/picker';
import { recipeTextOf } from './answers';
import type { DatasetQuestion } from './datasetStep';
import { recipeFolder } from './fileStep';
import { amountText, askReplay, replayReason, takesReplay } from './replay';

type StartChoice = 'start' | 'edit' | 'mix' | 'unmix';

/** What the last question needs to offer other examples. */
export interface StartQuestion extends DatasetQuestion {
  /** Counts the rows again. */
  readonly withPrice: (state: TrainState) => TrainState;
}

/**
 * Asks whether to start: "3 epochs, 114 steps, about 1 min". Offers general examples beside those
 * of a language model, and asks again when they are chosen.
 */
export async function askStart(
  given: TrainState,
  first: boolean,
  question: StartQuestion,
): Promise<Outcome<TrainState>> {
  let state = given;
  for (;;) {
    const picked = await pickStart(state, first);
    if (picked.kind !== 'picked') return picked;
    if (picked.value === 'start' || picked.value === 'edit')
      return { kind: 'next', state: { ...state, start: picked.value === 'start' } };
    const replay = picked.value === 'unmix' ? null : await askReplay(state, question);
    if (replay !== undefined) state = question.withPrice({ ...state, replay });
  }
}

const pickStart = (state: TrainState, first: boolean): Promise<Picked<StartChoice>> =>
  pick<StartChoice>({
    title: t('Train Adapter: Start'),
    step: [5, STEPS],
    first,
    placeholder: t('Everything is ready'),
    isDefault: (choice) => choice === 'start',
    fill: async (show) => {
      show(choices(state, state.base!, ''));
      const base = (await state.priced)?.base ?? state.base!;
      show(choices(state, base, await timeOf(state)));
    },
  });

const choices = (state: TrainState, base: BaseFacts, time: string): PickItem<StartChoice>[] => [
  {
    icon: 'play',
    label: t('Start Training'),
    description: time,
    detail: fitsText(costOf(base, state.r, state.target_modules).types),
    value: 'start',
  },
  {
    icon: 'edit',
    label: t('Edit Recipe'),
    description: t('saves your choices without starting'),
    value: 'edit',
  },
  ...(takesReplay(state) ? replayChoices(state.replay) : []),
];

const replayChoices = (replay: ReplaySource | null): PickItem<StartChoice>[] =>
  replay
    ? [
        {
          icon: 'trash',
          label: t('Leave Out General Examples'),
          description: `${path.basename(replay.path)} · ${amountText(replay)}`,
          value: 'unmix',
        },
      ]
    : [
        {
          icon: 'add',
          label: t('Add General Examples…'),
          detail: replayReason(),
          value: 'mix',
        },
      ];

/** Empty where the rows cannot be counted. */
async function timeOf(state: TrainState): Promise<string> {
  const priced = await state.priced;
  if (!priced?.facts) return '';
  const folder = recipeFolder(state.dataset!.path);
  const recipe = parseRecipe(recipeTextOf(state, folder), path.join(folder, 'lora.json'));
  return forecastText(forecast(priced.base, recipe, priced.facts));
}
