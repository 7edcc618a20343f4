import { nothing, type TemplateResult } from 'lit-html';
import {
  EVALUATION_METRICS,
  type EvaluationMetricId,
} from '../../../src/shared/evaluation/metrics';
import type { Outcome } from '../../../src/shared/evaluation/outcome';
import { html } from '../../shared/html';
import { icon } from '../../shared/templates';
import { scoreText } from '../model/words';
import type { EvaluationPage } from '../state';

interface Marked {
  readonly metric: EvaluationMetricId;
  readonly score: number | null;
  readonly isError: boolean;
}

/** Whether an answer is right or wrong; between them, and of other metrics, its number. */
export function markView(page: EvaluationPage, { metric, score, isError }: Marked): TemplateResult {
  const { t } = page;
  const marked = (kind: string, name: string, text: string) =>
    html`<span class="mark ${kind}">${icon(name)}${text}</span>`;
  if (isError) return marked('bad', 'warning', t('mark.error'));
  // a judge says no more than the outcome does
  if (metric === 'judge') return html``;
  if (score === null) return html`<span class="mark">${t('none')}</span>`;
  if (EVALUATION_METRICS[metric].max === 1) {
    if (score === 1) return marked('good', 'pass', t('mark.right'));
    if (score === 0) return marked('bad', 'circle-slash', t('mark.wrong'));
  }
  return html`<span class="mark">${scoreText(page, metric, score)}</span>`;
}

const ICONS: Readonly<Record<Outcome, string>> = {
  win: 'arrow-up',
  loss: 'arrow-down',
  tie: 'dash',
};

/** What an answer is beside that of the first model; only ties of a judge are worth a mark. */
export const outcomeView = (
  { t }: EvaluationPage,
  outcome: Outcome | null,
  metric: EvaluationMetricId | undefined,
) =>
  outcome === null || (outcome === 'tie' && metric !== 'judge')
    ? nothing
    : html`<span class="outcome ${outcome}"
        >${icon(ICONS[outcome])}${t(`outcome.${outcome}`)}</span
      >`;
