import {
  CategoryScale,
  Chart,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
} from 'chart.js';
import type { TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { onThemeChange, readTheme } from '../../shared/theme';
import type { ModuleRow } from '../model/modules';
import { orNone, short, type ComparePage, type ShownComparison } from '../state';

Chart.register(LineController, LineElement, PointElement, LinearScale, CategoryScale);

/**
 * The singular values of the chosen module in both adapters, as lines that differ in more than
 * colour, and what they mean in words.
 */
export class Spectrum {
  private readonly canvas = document.createElement('canvas');
  private readonly chart: SpectrumChart;
  private drawn: ModuleRow | undefined;

  constructor(private readonly page: ComparePage) {
    this.canvas.setAttribute('role', 'img');
    this.chart = spectrumChart(this.canvas, page);
    onThemeChange(() => paint(this.chart));
  }

  view({ names, rows, selected }: ShownComparison): TemplateResult {
    const { t } = this.page;
    const row = rows.find(({ path }) => path === selected);
    if (row && row !== this.drawn) {
      this.drawn = row;
      draw(this.chart, row);
      this.canvas.setAttribute('aria-label', this.label(row));
    }
    return html`<section class="card spectrum" aria-labelledby="spectrum-title">
      <h2 id="spectrum-title" aria-live="polite">${row ? t('spectrum.of', row.path) : ''}</h2>
      <div class="key">
        ${names.map((name, i) => {
          const line = i === 0 ? 'line-a' : 'line-b';
          return html`<span class="key-entry"
            ><span class="swatch-line ${line}" aria-hidden="true"></span>${'AB'[i]}: ${name}</span
          >`;
        })}
      </div>
      <div class="plot">${this.canvas}</div>
      <ul class="facts">
        ${(row ? sentences(this.page, names, row) : []).map((text) => html`<li>${text}</li>`)}
      </ul>
    </section>`;
  }

  private label({ a, b }: ModuleRow): string {
    const { t, format } = this.page;
    const values = [a, b].map((facts) =>
      facts ? facts.singular_values.map((value) => short(format, value)).join(', ') : t('none'),
    );
    return t('spectrum.alt', ...values);
  }
}

function sentences(
  page: ComparePage,
  names: ShownComparison['names'],
  { a, b, left, right, amplification }: ModuleRow,
): string[] {
  const { t, format } = page;
  const result = [a, b].map((facts, i) =>
    facts
      ? t(
          'spectrum.used',
          names[i]!,
          facts.r,
          format.digits(facts.effective_rank, 3),
          facts.rank_90,
          facts.rank_99,
        )
      : t('spectrum.absent', names[i]!),
  );
  if (left && right) {
    const shares = [left.whole, left.random, right.whole, right.random];
    result.push(t('spectrum.shared', ...shares.map((share) => format.digits(share, 2))));
  }
  if (amplification) {
    const both = [amplification.a, amplification.b].map((value) => orNone(page, value));
    result.push(t('spectrum.amplification', ...both));
  }
  return result;
}

type SpectrumChart = Chart<'line', (number | null)[], string>;

function spectrumChart(canvas: HTMLCanvasElement, { t, format }: ComparePage): SpectrumChart {
  const line = {
    data: [],
    borderWidth: 2,
    pointRadius: 4,
    pointBorderWidth: 1.5,
    tension: 0,
    fill: false,
  };
  const chart: SpectrumChart = new Chart(canvas, {
    type: 'line',
    data: {
      labels: [],
      datasets: [
        { ...line, label: 'A', borderDash: [], pointStyle: 'circle', order: 1 },
        { ...line, label: 'B', borderDash: [5, 4], pointStyle: 'rectRot', order: 0 },
      ],
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      events: [],
      scales: {
        x: {
          type: 'category',
          title: { display: true, text: t('spectrum.axis') },
          grid: { display: false },
        },
        y: {
          type: 'linear',
          beginAtZero: true,
          border: { display: false },
          ticks: { maxTicksLimit: 6, callback: (value) => short(format, Number(value)) },
        },
      },
    },
  });
  paint(chart);
  return chart;
}

function draw(chart: SpectrumChart, { a, b }: ModuleRow): void {
  const values = [a?.singular_values ?? [], b?.singular_values ?? []];
  const length = Math.max(...values.map((own) => own.length));
  chart.data.labels = Array.from({ length }, (_, i) => String(i + 1));
  values.forEach((own, i) => {
    chart.data.datasets[i]!.data = own;
  });
  chart.update();
}

function paint(chart: SpectrumChart): void {
  const theme = readTheme();
  const text = { color: theme.text, font: { family: theme.fontFamily, size: theme.fontSize } };
  [theme.colors.blue, theme.colors.red].forEach((color, i) => {
    Object.assign(chart.data.datasets[i]!, {
      borderColor: color,
      pointBorderColor: color,
      pointBackgroundColor: theme.background,
    });
  });
  for (const axis of ['x', 'y']) {
    const scale = chart.options.scales![axis]! as { ticks?: object; grid?: object; title?: object };
    Object.assign(scale.ticks!, text);
    Object.assign(scale.grid!, { color: theme.grid });
    if (axis === 'x') Object.assign(scale.title!, text);
  }
  chart.update();
}
