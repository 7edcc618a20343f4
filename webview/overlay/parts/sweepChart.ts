import { nothing, type TemplateResult } from 'lit-html';
import type { BestMetric } from '../../../src/shared/bestMetric';
import { shortNames } from '../../../src/shared/sweep/recipeKeys';
import { valueText } from '../../../src/shared/sweep/valueText';
import { html, svg } from '../../shared/html';
import { lookOf } from '../model/look';
import { CLOSE_ENOUGH, type OverlayRow } from '../model/rows';
import { describeValues, isOfRanks } from '../model/sweep';
import { SWEEP_CHART, sweepChart, type SweepChart, type SweepLine } from '../model/sweepChart';
import type { OverlayPage } from '../state';
import { swatch } from './legend';

/** The best loss or score of each value: what a sweep is about. The table has its numbers. */
export function sweepChartView(
  page: OverlayPage,
  rows: readonly OverlayRow[],
  keys: readonly string[],
): TemplateResult | typeof nothing {
  const { t, format } = page;
  const chart = sweepChart(rows, keys);
  if (!chart) return nothing;
  const { width, height, left, right, bottom } = SWEEP_CHART;
  const { lines, places, ticks, limit } = chart;
  const ranks = isOfRanks(keys);
  const name = shortNames(keys)[chart.x]!;
  const isByLoss = rows[0]!.metric === 'loss';
  const title = titleOf(page, rows[0]!.metric, ranks ? null : name);
  const isRank = keys[chart.x] === 'lora.r';
  const points = lines.flatMap((line) => line.points);
  const spoken = points.map(({ row }) => pointText(page, keys, row)).join(', ');
  return html`<section class="card ranks" aria-labelledby="ranks-title">
    <h2 id="ranks-title">${title}</h2>
    ${chart.line === null ? nothing : lineKeys(chart, shortNames(keys)[chart.line]!)}
    <svg
      viewBox="0 0 ${width} ${height}"
      role="img"
      aria-label=${t('sweep.chart.label', title, spoken)}
    >
      ${ticks.map(
        ({ value, y }) =>
          svg`<line class="grid" x1=${left} x2=${width - right} y1=${y} y2=${y}></line>
          <text class="tick" x=${left - 10} y=${y + 4} text-anchor="end">${format.value(value)}</text>`,
      )}
      ${places.map(
        ({ value, x }) =>
          svg`<text class="tick" x=${x} y=${height - bottom + 22} text-anchor="middle">${isRank ? 'r = ' : ''}${valueText(value)}</text>`,
      )}
      ${
        limit === null
          ? nothing
          : svg`<line class="limit" x1=${left} x2=${width - right} y1=${limit} y2=${limit}></line>`
      }
      ${lines.map((line, index) => lineView(page, keys, line, index))}
    </svg>
    <p class="caption" ?hidden=${limit === null}>
      ${t(limitKey(ranks, isByLoss), format.percent(CLOSE_ENOUGH))}
    </p>
    <p class="caption" ?hidden=${points.every(({ finished }) => finished)}>${t('ranks.open')}</p>
  </section>`;
}

/** `key`: what is varied; null: the rank alone. */
function titleOf({ t }: OverlayPage, metric: BestMetric, key: string | null): string {
  if (metric === 'loss') return key === null ? t('ranks') : t('sweep.chart', key);
  const score = t(`series.${metric}`);
  return key === null ? t('ranks.score', score) : t('sweep.chart.score', key, score);
}

function limitKey(isOfRank: boolean, isByLoss: boolean) {
  if (isByLoss) return isOfRank ? 'ranks.limit' : 'sweep.limit';
  return isOfRank ? 'ranks.limit.score' : 'sweep.limit.score';
}

/** What the lines are. */
const lineKeys = ({ lines }: SweepChart, name: string): TemplateResult =>
  html`<ul class="line-keys">
    ${lines.map(({ value }, index) => html`<li>${swatch(index)} ${name} ${valueText(value)}</li>`)}
  </ul>`;

function lineView(
  page: OverlayPage,
  keys: readonly string[],
  { points, path }: SweepLine,
  index: number,
): TemplateResult {
  const { color, dash } = lookOf(index);
  return svg`<g class="line-${color}">
    <polyline class="line" points=${path} stroke-dasharray=${dash.join(' ') || 'none'}></polyline>
    ${points.map(
      ({ row, x, y, finished }) =>
        svg`<circle class=${finished ? 'point' : 'point open'} cx=${x} cy=${y} r="5">
          <title>${pointText(page, keys, row)}</title>
        </circle>`,
    )}
  </g>`;
}

function pointText({ t, format }: OverlayPage, keys: readonly string[], row: OverlayRow): string {
  const value = format.value(row.best);
  return isOfRanks(keys)
    ? t('ranks.value', row.r, value)
    : t('sweep.value', describeValues(keys, row.values), value);
}
