import { nothing, type TemplateResult } from 'lit-html';
import type { Values } from '../../src/shared/pages/inspect/protocol';
import type { InspectStringKey } from '../../src/shared/pages/inspect/strings';
import { sparkline } from '../../src/shared/sparkline';
import { html } from '../shared/html';
import type { InspectPage, InspectState } from './state';

/** Statistics and histogram of the chosen tensor. */
export function valuesView(page: InspectPage, { chosen, measured }: InspectState): TemplateResult {
  const { t } = page;
  if (chosen === null) return html`<p class="hint">${t('choose')}</p>`;
  switch (measured.kind) {
    case 'reading':
      return html`<p class="hint">${t('measuring')}</p>`;
    case 'none':
      return html`<p>${measured.why}</p>`;
    case 'values':
      return html`${statistics(page, measured.values)}
      ${measured.values.histogram.length > 0 ? histogram(page, measured.values) : nothing}`;
  }
}

function statistics({ t, format }: InspectPage, values: Values): TemplateResult {
  const withShare = (part: number) =>
    `${format.count(part)} (${format.percent(part / Math.max(1, values.count))})`;
  const facts: readonly (readonly [InspectStringKey, string])[] = [
    ['min', format.value(values.min)],
    ['max', format.value(values.max)],
    ['mean', format.value(values.mean)],
    ['deviation', format.value(values.deviation)],
    ['norm', format.value(values.norm)],
    ['zeros', withShare(values.zeros)],
    ['notNumbers', withShare(values.notNumbers)],
  ];
  return html`<dl>
    ${facts.map(
      ([key, value]) =>
        html`<dt>${t(key)}</dt>
          <dd>${value}</dd>`,
    )}
  </dl>`;
}

function histogram({ t, format }: InspectPage, { histogram, min, max }: Values): TemplateResult {
  const fullest = histogram.indexOf(Math.max(...histogram));
  const middle = min + ((fullest + 0.5) * (max - min)) / Math.max(1, histogram.length);
  const [from, to] = [format.value(min), format.value(max)];
  const label = t('histogram.alt', from, to, format.value(middle));
  return html`<h3>${t('histogram')}</h3>
    <p class="histogram" role="img" aria-label=${label}>
      ${sparkline(histogram, histogram.length)}
    </p>
    <p class="ends" aria-hidden="true"><span>${from}</span><span>${to}</span></p>`;
}
