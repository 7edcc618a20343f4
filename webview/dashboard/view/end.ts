import { nothing, type TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { asRunScore } from '../../../src/shared/evaluation/result';
import { bestMetricOf, type BestMetric } from '../../../src/shared/bestMetric';
import { endOf, type End } from '../model/end';
import type { KeyNumbers } from '../model/keyNumbers';
import { lastValue } from '../model/summary';
import { hasEnded, type DashboardPage, type DashboardState } from '../state';

/** What a run that has ended has learned, what that cost, and whether its last step is the best. */
export function endView(
  page: DashboardPage,
  numbers: KeyNumbers,
  state: DashboardState,
): TemplateResult | typeof nothing {
  const { t } = page;
  const end = hasEnded(state) ? endOf(state.history, bestMetricOf(state.run)) : null;
  if (!end) return nothing;
  const sentences = [
    ...lossSentence(page, end),
    ...exactSentence(page, end),
    ...bestSentence(page, end, bestMetricOf(state.run)),
    ...scoreSentences(page, state),
    ...earlySentence(page, state),
    ...costSentence(page, numbers, state),
  ];
  return html`<section class="end" aria-label=${t('end')}>
    ${sentences.map((text) => html`<p>${text}</p>`)}
  </section>`;
}

function lossSentence({ t, format }: DashboardPage, { loss }: End): string[] {
  if (!loss) return [];
  const [from, to] = [format.value(loss.from), format.value(loss.to)];
  const change = from === to ? 'same' : fellOrRose(loss);
  return loss.of === 'validation'
    ? [t(`end.validation.${change}`, from, to)]
    : [t(`end.loss.${change}`, from, to)];
}

const fellOrRose = ({ from, to }: NonNullable<End['loss']>) => (to < from ? 'fell' : 'rose');

function exactSentence({ t, format }: DashboardPage, { exact }: End): string[] {
  if (!exact) return [];
  const { from, to, all } = exact;
  return [t('end.exact', format.count(from), format.count(to), format.count(all))];
}

function bestSentence({ t, format }: DashboardPage, { best }: End, metric: BestMetric): string[] {
  if (!best) return [];
  if (best.isLast) return [t('end.best.last')];
  const step = format.count(best.step);
  const value = format.value(best.value);
  return metric === 'loss'
    ? [t('end.best.earlier', step, value)]
    : [t('end.best.metric', step, t(`series.${metric}`), value)];
}

/** What the suites of the recipe, and general questions, say of the trained model. */
const scoreSentences = (page: DashboardPage, { run }: DashboardState): string[] => [
  ...scoreSentence(page, 'end.suites', run?.result.evaluation),
  ...scoreSentence(page, 'end.general', run?.result.forgetting?.answers),
];

function scoreSentence(
  { t, format }: DashboardPage,
  what: 'end.suites' | 'end.general',
  value: unknown,
): string[] {
  const { score = null, base, verdict } = asRunScore(value) ?? {};
  if (score === null) return [];
  const own = [t(what), format.percent(score)] as const;
  return typeof base === 'number' && verdict
    ? [t(`end.score.${verdict}`, ...own, format.percent(base))]
    : [t('end.score.alone', ...own)];
}

/** Why the training ended before its last step. */
function earlySentence({ t, format }: DashboardPage, { run }: DashboardState): string[] {
  const early = run?.result.stopped_early;
  return early ? [t('end.early', format.count(early.patience))] : [];
}

function costSentence(
  { t, format }: DashboardPage,
  numbers: KeyNumbers,
  state: DashboardState,
): string[] {
  const took = lastValue(state.history, 'elapsed');
  const peak = numbers.peakOf(state);
  if (!Number.isFinite(took) || peak === 0) return [];
  const memory = Number.isNaN(peak) ? '…' : format.bytes(peak);
  return [t('end.cost', format.duration(took), memory)];
}
