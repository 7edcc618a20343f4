import path from 'node:path';
import { parseRecipe } from '../../shared/recipeFile';
import { costOf, fitsText, fitText, withImages, type BaseFacts } from '../setup/costs';
import { forecast } from '../setup/forecast';
import { forecastText } from '../setup/forecastText';
import { keptChoices, neededType, type KeptType } from '../setup/keptTypes';
import type { TypeMemory } from '../../shared/stepMemory';
import type { ReplaySource } from '../setup/recipeSources';
import type { Outcome } from '../setup/steps';
import { STEPS, type TrainState } from '../setup/trainState';
import { t } from '../text/l10n';
import { pick, type Picked, type PickItem } from '../ui/picker';
import { recipeTextOf } from './answers';
import type { DatasetQuestion } from './datasetStep';
import { recipeFolder } from './fileStep';
import { amountText, askReplay, replayReason, takesReplay } from './replay';

type StartChoice = 'start' | 'edit' | 'mix' | 'unmix' | { readonly kept: KeptType };

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
    const { value } = picked;
    if (value === 'start' || value === 'edit')
      return { kind: 'next', state: await decided({ ...state, start: value === 'start' }) };
    if (typeof value === 'object') {
      state = { ...state, kept: value.kept };
      continue;
    }
    const replay = value === 'unmix' ? null : await askReplay(state, question);
    if (replay !== undefined) state = question.withPrice({ ...state, replay });
  }
}

/** The state with the type that the base is kept in, where the user has chosen none. */
async function decided(state: TrainState): Promise<TrainState> {
  const base = (await state.priced)?.base ?? state.base!;
  return { ...state, kept: keptOf(state, typesOf(state, base)) };
}

const startDetail = ({ r, target_modules }: TrainState, base: BaseFacts): string => {
  const { types, images } = costOf(base, r, target_modules);
  return withImages(fitsText(types), images);
};

const typesOf = ({ r, target_modules }: TrainState, base: BaseFacts): readonly TypeMemory[] =>
  costOf(base, r, target_modules).types;

const keptOf = ({ kept }: TrainState, types: readonly TypeMemory[]): KeptType =>
  kept ?? neededType(types);

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

function choices(state: TrainState, base: BaseFacts, time: string): PickItem<StartChoice>[] {
  const types = typesOf(state, base);
  const kept = keptOf(state, types);
  return [
    {
      icon: 'play',
      label: t('Start Training'),
      description: [time, kept === 'auto' ? '' : keptText(kept)].filter(Boolean).join(' · '),
      detail: startDetail(state, base),
      value: 'start',
    },
    ...keptItems(types, kept),
    ...otherChoices(state),
  ];
}

/** Types that the base may be kept in instead, where memory asks for one. */
const keptItems = (types: readonly TypeMemory[], chosen: KeptType): PickItem<StartChoice>[] => [
  ...keptChoices(types)
    .filter(({ kept }) => kept !== chosen)
    .map(({ kept, memory }): PickItem<StartChoice> => ({
      icon: 'archive',
      label: keptLabel(kept),
      description: fitText(memory.fit),
      detail: keptDetail(kept),
      value: { kept },
    })),
  ...(chosen === 'auto'
    ? []
    : [
        {
          icon: 'circle-slash',
          label: t('Do Not Quantize the Base'),
          detail: t('The run uses the data type that fits best.'),
          value: { kept: 'auto' },
        } satisfies PickItem<StartChoice>,
      ]),
];

const keptText = (kept: Exclude<KeptType, 'auto'>): string =>
  kept === 'quantized'
    ? t('base kept quantized')
    : t('base quantized to {0} while it is loaded', kept);

const keptLabel = (kept: Exclude<KeptType, 'auto'>): string =>
  kept === 'quantized'
    ? t('Keep the Base Quantized')
    : t('Quantize the Base to {0} While It Is Loaded', kept);

const keptDetail = (kept: Exclude<KeptType, 'auto'>): string =>
  kept === 'quantized'
    ? t('Writes "base_dtype": "quantized": less memory, the same weights, slower steps.')
    : t('Writes "quantize": "{0}": less memory, rounded weights, slower steps.', kept);

const otherChoices = (state: TrainState): PickItem<StartChoice>[] => [
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
