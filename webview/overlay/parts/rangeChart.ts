import { nothing, type TemplateResult } from 'lit-html';
import type { ShownTune } from '../../../src/shared/pages/overlay/protocol';
import { valueText } from '../../../src/shared/sweep/valueText';
import { html, svg } from '../../shared/html';
import { rangeChart } from '../model/rangeChart';
import { SWEEP_CHART } from '../model/sweepChart';
import type { OverlayPage } from '../state';

/** The curve of a tune's range test, and the rate that it suggests. */
export function rangeChartView(
  { t, format }: OverlayPage,
  tune: ShownTune,
): TemplateResult | typeof nothing {
  const chart = rangeChart(tune);
  if (!chart) return nothing;
  const { width, height, left, right, top, bottom } = SWEEP_CHART;
  const { path, places, ticks, suggestion } = chart;
  const [first, last] = [tune.points[0]!.rate, tune.points.at(-1)!.rate];
  const rateText = (rate: number) => valueText(Number(rate.toPrecision(2)));
  return html`<section class="card ranks" aria-labelledby="range-title">
    <h2 id="range-title">${t('tune.range')}</h2>
    <svg
      viewBox="0 0 ${width} ${height}"
      role="img"
      aria-label=${t('tune.range.label', rateText(first), rateText(last))}
    >
      ${ticks.map(
        ({ value, y }) =>
          svg`<line class="grid" x1=${left} x2=${width - right} y1=${y} y2=${y}></line>
          <text class="tick" x=${left - 10} y=${y + 4} text-anchor="end">${format.value(value)}</text>`,
      )}
      ${places.map(
        ({ rate, x }) =>
          svg`<text class="tick" x=${x} y=${height - bottom + 22} text-anchor="middle">${valueText(rate)}</text>`,
      )}
      ${
        suggestion === null
          ? nothing
          : svg`<line class="limit" x1=${suggestion} x2=${suggestion} y1=${top} y2=${height - bottom}></line>`
      }
      <g class="line-blue"><polyline class="line" points=${path}></polyline></g>
    </svg>
    <p class="caption" ?hidden=${tune.suggestion === null}>
      ${t('tune.range.suggested', valueText(tune.suggestion))}
    </p>
  </section>`;
}
