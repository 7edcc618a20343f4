import { nothing, type TemplateResult } from 'lit-html';
import type { Values } from '../../src/shared/pages/inspect/protocol';
import type { InspectStringKey } from '../../src/shared/pages/inspect/strings';
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
    ['extremes', withShare(values.extremes)],
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

const HEIGHT = 60;

function histogram({ t, format }: InspectPage, values: Values): TemplateResult {
  const { histogram: counts, min, max, mean, deviation } = values;
  const most = Math.max(...counts);
  const middle = min + ((counts.indexOf(most) + 0.5) * (max - min)) / counts.length;
  const [from, to] = [format.value(min), format.value(max)];
  const at = (value: number) =>
    max > min
      ? Math.min(counts.length, Math.max(0, (counts.length * (value - min)) / (max - min)))
      : 0.5;
  const [left, right] = [at(mean - deviation), at(mean + deviation)];
  return html`<h3>${t('histogram')}</h3>
    <svg
      class="histogram"
      role="img"
      aria-label=${t('histogram.alt', from, to, format.value(middle))}
      viewBox="0 0 ${counts.length} ${HEIGHT}"
      preserveAspectRatio="none"
    >
      <path class="band" d="M${left} 0H${right}V${HEIGHT}H${left}Z" />
      <path class="bars" d=${barsOf(counts)} />
      <path class="mean" d="M${at(mean)} 0V${HEIGHT}" />
    </svg>
    <p class="ends" aria-hidden="true"><span>${from}</span><span>${to}</span></p>
    <p class="hint">${t('histogram.scale', format.count(most))}</p>`;
}

/** Bars whose heights are logarithms, so that a few values beside many are seen. */
export function barsOf(counts: readonly number[]): string {
  const most = Math.log1p(Math.max(1, ...counts));
  const bars = counts.map((count, i) => {
    const top = (HEIGHT * (1 - Math.log1p(count) / most)).toFixed(2);
    return count === 0 ? '' : `M${i} ${HEIGHT}V${top}H${i + 1}V${HEIGHT}Z`;
  });
  return bars.join('');
}
