import {
  CategoryScale,
  Chart,
  LinearScale,
  LineController,
  LineElement,
  PointElement,
} from 'chart.js';
import { el, setAttribute, setText } from '../../shared/dom';
import { onThemeChange, readTheme } from '../../shared/theme';
import type { ModuleRow } from '../model/modules';
import { orNone, short, type Context, type Part, type View } from '../view';

Chart.register(LineController, LineElement, PointElement, LinearScale, CategoryScale);

/**
 * The singular values of the chosen module in both adapters, as lines that differ in more than
 * colour, and what they say in words.
 */
export function spectrum(context: Context): Part {
  const { t } = context;
  const title = el('h2', { id: 'spectrum-title', 'aria-live': 'polite' });
  const canvas = el('canvas', { role: 'img' });
  const key = el('div', { class: 'key' });
  const facts = el('ul', { class: 'facts' });
  const root = el(
    'section',
    { class: 'card spectrum', 'aria-labelledby': 'spectrum-title' },
    title,
    key,
    el('div', { class: 'plot' }, canvas),
    facts,
  );
  const chart = chartOn(canvas, context);
  onThemeChange(() => paint(chart));
  let shown: string | undefined;
  let of: View['data'] | undefined;
  return {
    root,
    update(view) {
      if (shown === view.selected && of === view.data) return;
      [shown, of] = [view.selected, view.data];
      const row = view.rows.find(({ path }) => path === view.selected);
      if (!row) return;
      setText(title, t('spectrum.of', row.path));
      key.replaceChildren(
        ...view.names.map((name, i) =>
          el(
            'span',
            { class: 'key-entry' },
            el('span', {
              class: `swatch-line ${i === 0 ? 'line-a' : 'line-b'}`,
              'aria-hidden': 'true',
            }),
            `${'AB'[i]!}: ${name}`,
          ),
        ),
      );
      draw(chart, row);
      setAttribute(
        canvas,
        'aria-label',
        t(
          'spectrum.alt',
          ...[row.a, row.b].map((own) =>
            own ? own.singular_values.map((s) => short(context.format, s)).join(', ') : t('none'),
          ),
        ),
      );
      facts.replaceChildren(...sentences(context, view, row).map((words) => el('li', {}, words)));
    },
  };
}

function sentences(
  context: Context,
  { names }: View,
  { a, b, left, right, amplification }: ModuleRow,
): string[] {
  const { t, format } = context;
  const used = [a, b].map((own, i) =>
    own
      ? t(
          'spectrum.used',
          names[i]!,
          own.r,
          format.digits(own.effective_rank, 3),
          own.rank_90,
          own.rank_99,
        )
      : t('spectrum.absent', names[i]!),
  );
  const shared =
    left && right
      ? [
          t(
            'spectrum.shared',
            ...[left.whole, left.random, right.whole, right.random].map((share) =>
              format.digits(share, 2),
            ),
          ),
        ]
      : [];
  return [
    ...used,
    ...shared,
    ...(amplification
      ? [
          t(
            'spectrum.amplification',
            orNone(context, amplification.a),
            orNone(context, amplification.b),
          ),
        ]
      : []),
  ];
}

type SpectrumChart = Chart<'line', (number | null)[], string>;

function chartOn(canvas: HTMLCanvasElement, { t, format }: Context): SpectrumChart {
  const line = (
    label: string,
    dash: number[],
    pointStyle: 'circle' | 'rectRot',
    order: number,
  ) => ({
    label,
    data: [],
    borderDash: dash,
    borderWidth: 2,
    pointStyle,
    pointRadius: 4,
    pointBorderWidth: 1.5,
    order,
    tension: 0,
    fill: false,
  });
  const chart: SpectrumChart = new Chart(canvas, {
    type: 'line',
    data: { labels: [], datasets: [line('A', [], 'circle', 1), line('B', [5, 4], 'rectRot', 0)] },
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
  chart.data.labels = Array.from({ length: Math.max(...values.map((own) => own.length)) }, (_, i) =>
    String(i + 1),
  );
  values.forEach((own, i) => {
    chart.data.datasets[i]!.data = own;
  });
  chart.update();
}

function paint(chart: SpectrumChart): void {
  const theme = readTheme();
  ([theme.colors.blue, theme.colors.red] as const).forEach((color, i) =>
    Object.assign(chart.data.datasets[i]!, {
      borderColor: color,
      pointBorderColor: color,
      pointBackgroundColor: theme.background,
    }),
  );
  for (const axis of ['x', 'y']) {
    const scale = chart.options.scales![axis]! as { ticks?: object; grid?: object; title?: object };
    Object.assign(scale.ticks!, {
      color: theme.text,
      font: { family: theme.fontFamily, size: theme.fontSize },
    });
    Object.assign(scale.grid!, { color: theme.grid });
    if (axis === 'x')
      Object.assign(scale.title!, {
        color: theme.text,
        font: { family: theme.fontFamily, size: theme.fontSize },
      });
  }
  chart.update();
}
