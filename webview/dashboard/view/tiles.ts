import { nothing, type TemplateResult } from 'lit-html';
import { KEY_NUMBER_IDS } from '../../../src/shared/metrics/table';
import { methodOf, type RunRecord } from '../../../src/shared/run';
import { html } from '../../shared/html';
import type { KeyNumbers } from '../model/keyNumbers';
import { hasEnded, isEmptyEnd, type DashboardPage, type DashboardState } from '../state';

/** The key numbers with their notes, and how much of the model is trained. */
export function tilesView(
  page: DashboardPage,
  numbers: KeyNumbers,
  state: DashboardState,
): TemplateResult {
  const { t } = page;
  const tiles = KEY_NUMBER_IDS.map((id) => {
    const { value, note } = numbers.of(id, state);
    return html`<div class="tile tile-${id}" ?hidden=${hasEnded(state) && value === t('none')}>
      <dt>${t(`tile.${id}`)}</dt>
      <dd class="value">${value}</dd>
      <dd class="sub">${note}</dd>
    </div>`;
  });
  return html`<section aria-label=${t('tiles')} ?hidden=${isEmptyEnd(state)}>
    <dl class="tiles">${tiles}</dl>
    <p class="parameters">${state.run ? parametersText(page, state.run) : nothing}</p>
  </section>`;
}

function parametersText({ t, format }: DashboardPage, run: RunRecord): string {
  const trainable = run.trainable_parameters;
  const all = run.base?.parameters;
  if (trainable === null || all === undefined) return '';
  const share = format.percent(trainable / all);
  const counts = t('parameters.words', format.count(trainable), format.count(all), share);
  const why =
    methodOf(run.recipe) === 'full' ? t('parameters.full') : t('parameters.why', run.recipe.lora.r);
  return `${counts} ${why}`;
}
