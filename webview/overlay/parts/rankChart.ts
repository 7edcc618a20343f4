import { nothing, type TemplateResult } from 'lit-html';
import { html, svg } from '../../shared/html';
import { RANK_CHART, rankChart, type RankPoint } from '../model/rankChart';
import { CLOSE_ENOUGH, type OverlayRow } from '../model/rows';
import type { OverlayPage } from '../state';

/** The best validation loss of each rank: what a sweep is about. The table has its numbers. */
export function rankChartView(
  page: OverlayPage,
  rows: readonly OverlayRow[],
): TemplateResult | typeof nothing {
  const { t, format } = page;
  const chart = rankChart(rows);
  if (!chart) return nothing;
  const { width, height, left, right, bottom } = RANK_CHART;
  const { points, ranks, ticks, line, limit } = chart;
  const spoken = points.map(({ row }) => t('ranks.value', row.r, format.value(row.validation)));
  return html`<section class="card ranks" aria-labelledby="ranks-title">
    <h2 id="ranks-title">${t('ranks')}</h2>
    <svg
      viewBox="0 0 ${width} ${height}"
      role="img"
      aria-label=${t('ranks.label', spoken.join(', '))}
    >
      ${ticks.map(
        ({ value, y }) =>
          svg`<line class="grid" x1=${left} x2=${width - right} y1=${y} y2=${y}></line>
          <text class="tick" x=${left - 10} y=${y + 4} text-anchor="end">${format.value(value)}</text>`,
      )}
      ${ranks.map(
        ({ r, x }) =>
          svg`<text class="tick" x=${x} y=${height - bottom + 22} text-anchor="middle">r = ${r}</text>`,
      )}
      ${
        limit === null
          ? nothing
          : svg`<line class="limit" x1=${left} x2=${width - right} y1=${limit} y2=${limit}></line>`
      }
      <polyline class="line" points=${line}></polyline>
      ${points.map((point) => pointView(page, point))}
    </svg>
    <p class="caption" ?hidden=${limit === null}>
      ${t('ranks.limit', format.percent(CLOSE_ENOUGH))}
    </p>
    <p class="caption" ?hidden=${points.every(({ finished }) => finished)}>${t('ranks.open')}</p>
  </section>`;
}

function pointView({ t, format }: OverlayPage, { row, x, y, finished }: RankPoint): TemplateResult {
  return svg`<circle class=${finished ? 'point' : 'point open'} cx=${x} cy=${y} r="5">
    <title>${t('ranks.value', row.r, format.value(row.validation))}</title>
  </circle>`;
}
