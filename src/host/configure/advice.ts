import type { RecipeAdvice } from '../../shared/advice/recipeAdvice';
import { valueText } from '../../shared/sweep/valueText';
import type { BaseFacts } from '../setup/costs';
import type { Figures, RankSettings } from '../../shared/pages/configure/protocol';
import type { TrainingMethod } from '../../shared/recipe';
import { formatBytes } from '../text/format';
import { usualRank } from '../../shared/usualRank';
import { formatNumber, t } from '../text/l10n';

/** The action of a button beside an advice. */
export type AdviceAct =
  | { readonly kind: 'change'; readonly change: Partial<RankSettings> }
  | { readonly kind: 'allLinear' }
  | { readonly kind: 'resize'; readonly adapter: string; readonly rank: number };

/** An advice, and a button that follows it. */
export interface Advice {
  readonly text: string;
  readonly button: { readonly label: string; readonly act: AdviceAct } | null;
}

/** How much of its rank the last run of this recipe uses. */
export interface UsedRank {
  readonly run: string;
  readonly adapter: string;
  /** The rank of the adapter. */
  readonly paid: number;
  /** The number of directions per module that contain 99% of ‖dW‖². */
  readonly kept: number;
}

/** What the advice depends on. */
export interface AdviceFacts {
  readonly method: TrainingMethod;
  /** The adapter that the recipe continues (lora.init_adapter). */
  readonly continued: string | null;
  readonly base: BaseFacts;
  readonly settings: RankSettings;
  readonly chosen: readonly {
    readonly path: string;
    readonly in_features: number;
    readonly out_features: number;
  }[];
  readonly figures: Figures;
  /** The number of examples in the dataset; null when unknown. */
  readonly rows: number | null;
  readonly used: UsedRank | null;
  /** The advice on the learning rate. */
  readonly rates: readonly RecipeAdvice[];
}

/** From this rank on, α / r is so small that rsLoRA learns better (Kalajdzievski 2023). */
const HIGH_RANK = 32;

/** Suggested changes with reasons, the most important first. */
export function adviceFor(facts: AdviceFacts): Advice[] {
  if (facts.method === 'full')
    return [
      plain(
        t(
          'The recipe uses full fine-tuning (training.method is "full"), at the cost shown under “Full fine-tuning”. Rank and targets only apply when it is "lora".',
        ),
      ),
      ...ratesOf(facts),
    ];
  if (facts.continued !== null)
    return [
      plain(
        t(
          'The recipe continues the adapter {0} (lora.init_adapter), whose own rank and targets are used. The settings and costs on this page are those of a new adapter.',
          facts.continued,
        ),
      ),
      ...memoryLimit(facts),
      ...ratesOf(facts),
    ];
  if (facts.chosen.length === 0) return [plain(t('No modules are adapted. Select at least one.'))];
  return [
    ...memoryLimit(facts),
    ...rankLimits(facts),
    ...afterRun(facts),
    ...beforeRun(facts),
    ...ratesOf(facts),
  ];
}

const plain = (text: string): Advice => ({ text, button: null });
const change = (label: string, text: string, settings: Partial<RankSettings>): Advice => ({
  text,
  button: { label, act: { kind: 'change', change: settings } },
});

function memoryLimit({ figures: { memory, there } }: AdviceFacts): Advice[] {
  if (memory === null || memory.total <= there) return [];
  const text = t(
    'A training step needs {0} of memory, but only {1} are free. Reduce per_device_train_batch_size or max_length.',
    formatBytes(memory.total),
    formatBytes(there),
  );
  return [plain(text)];
}

function rankLimits({ figures, settings, chosen }: AdviceFacts): Advice[] {
  const smallest = Math.min(...chosen.map((m) => Math.min(m.in_features, m.out_features)));
  return [
    ...(figures.tooHigh > 0
      ? [
          change(
            t('Use r = {0}', smallest),
            t(
              '{0} of the modules {0|is|are} smaller than r = {1}. The rank of an update cannot exceed the dimensions of its layer.',
              figures.tooHigh,
              settings.r,
            ),
            { r: smallest },
          ),
        ]
      : []),
    ...(settings.r >= HIGH_RANK && !settings.use_rslora
      ? [
          change(
            t('Use rsLoRA'),
            t(
              'At r = {0} the scaling factor α / r is small, so a higher rank adds little. rsLoRA scales by α / √r instead.',
              settings.r,
            ),
            { use_rslora: true },
          ),
        ]
      : []),
  ];
}

function afterRun({ used, settings }: AdviceFacts): Advice[] {
  if (!used || used.kept >= used.paid) return [];
  const { run, paid, kept, adapter } = used;
  const text = t(
    'The adapter of {0} has rank {1}, but r = {2} would keep 99% of its update.',
    run,
    paid,
    kept,
  );
  return [
    {
      text,
      button: { label: t('Resize to r = {0}', kept), act: { kind: 'resize', adapter, rank: kept } },
    },
    ...(settings.r > kept
      ? [
          change(t('Use r = {0}', kept), t('r = {0} is probably enough for the next run.', kept), {
            r: kept,
          }),
        ]
      : []),
  ];
}

function beforeRun({ rows, base, settings, chosen, used, figures }: AdviceFacts): Advice[] {
  const linear = base.modules.filter((m) => m.kind === 'linear' && !m.is_output);
  const missing = linear.filter((m) => !chosen.some(({ path }) => path === m.path)).length;
  const usual = rows === null || used ? null : usualRank(rows);
  return [
    ...(usual !== null && usual !== settings.r && figures.tooHigh === 0
      ? [
          change(
            t('Use r = {0}', usual),
            t(
              'With {0} {0|example|examples}, r = {1} is a good start. Each rank adds a direction in which a layer can change, and few examples need few directions.',
              formatNumber(rows!),
              usual,
            ),
            { r: usual },
          ),
        ]
      : []),
    ...(missing > 0
      ? [
          {
            text: t(
              '{0} linear {0|layer is|layers are} not adapted. A small rank in all layers usually works better than a large rank in some.',
              formatNumber(missing),
            ),
            button: { label: t('Adapt all linear layers'), act: { kind: 'allLinear' as const } },
          },
        ]
      : []),
  ];
}

const ratesOf = ({ rates }: AdviceFacts): Advice[] =>
  rates.flatMap((advice) => {
    const text = textOfRate(advice);
    return text === null ? [] : [plain(text)];
  });

/** Null: it is about something else. */
function textOfRate(advice: RecipeAdvice): string | null {
  switch (advice.kind) {
    case 'low rate':
      return t(
        'learning_rate {0} suits full fine-tuning. The best rates for LoRA are about ten times as high: try {1}.',
        valueText(advice.rate),
        valueText(advice.suggested),
      );
    case 'high rate':
      return t(
        'learning_rate {0} suits LoRA. Full fine-tuning needs about a tenth: try {1}.',
        valueText(advice.rate),
        valueText(advice.suggested),
      );
    case 'own runs':
      return t(
        'Your best run on this base had learning_rate {0} at r = {1}, out of {2} rates tried ({3}).',
        valueText(advice.rate),
        advice.r,
        advice.rates,
        advice.isOtherData ? t('on other data') : t('on the same data'),
      );
    case 'attention only':
    case 'rank':
      return null;
  }
}
