import path from 'node:path';
import { parseRecipe } from '../../shared/recipeFile';
import { forecast } from '../setup/forecast';
import { forecastText } from '../setup/forecastText';
import type { Outcome } from '../setup/steps';
import { STEPS, type TrainState } from '../setup/trainState';
import { t } from '../text/l10n';
import { pick, type PickItem } from '../ui/picker';
import { recipeTextOf } from './answers';

/** Asks whether to start: "3 epochs, 114 steps, about 1 min". */
export async function askStart(state: TrainState, first: boolean): Promise<Outcome<TrainState>> {
  const picked = await pick<boolean>({
    title: t('Train Adapter: Start'),
    step: [5, STEPS],
    first,
    placeholder: t('Everything is ready'),
    isDefault: (start) => start,
    fill: async (show) => {
      show(choices(''));
      show(choices(await timeOf(state)));
    },
  });
  return picked.kind === 'picked'
    ? { kind: 'next', state: { ...state, start: picked.value } }
    : picked;
}

const choices = (time: string): PickItem<boolean>[] => [
  { icon: 'play', label: t('Start Training'), description: time, value: true },
  {
    icon: 'edit',
    label: t('Edit Recipe'),
    description: t('saves your choices without starting'),
    value: false,
  },
];

/** Empty where the rows cannot be counted. */
async function timeOf(state: TrainState): Promise<string> {
  const priced = await state.priced;
  if (!priced?.facts) return '';
  const folder = path.dirname(state.dataset!.path);
  const recipe = parseRecipe(recipeTextOf(state, folder), path.join(folder, 'lora.json'));
  return forecastText(forecast(priced.base, recipe, priced.facts));
}
