import {
  Chart,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  type ChartConfiguration,
  type ChartDataset,
} from 'chart.js';
import { color as translucent } from 'chart.js/helpers';
import type { ChartTheme } from '../theme';
import { decimate, type Point, type Range } from './decimate';
import type { LineSource } from './runLines';
import type { Curves, SeriesSpec } from './spec';

Chart.register(LineController, LineElement, PointElement, LinearScale, LogarithmicScale);

/**
 * Width of the value axis: the same in all charts, so that one x stands at the same place in each.
 */
const AXIS_WIDTH = 62;

/** Space above and below the lines, as a share of their height. */
const GRACE = 0.05;

/** Pixels around the plot area in which points at its edge are still drawn. */
const POINT_MARGIN = 8;

/** Texts below and beside the ticks. */
export interface AxisLabels {
  value(value: number): string;
  x(x: number): string;
}

/** Which axes are logarithmic. */
export interface LogAxes {
  readonly x: boolean;
  readonly y: boolean;
}

/** A chart.js chart that gets no more points than it has pixels for. */
export class LineChart<Id extends string> {
  private readonly chart: Chart<'line', Point[]>;

  constructor(
    canvas: HTMLCanvasElement,
    private readonly spec: Curves<Id>,
    labels: AxisLabels,
    onResize: () => void,
  ) {
    this.chart = new Chart<'line', Point[]>(canvas, configuration(spec, labels, onResize));
  }

  /** Where the lines are drawn, in pixels of the canvas. */
  get area(): {
    readonly left: number;
    readonly right: number;
    readonly top: number;
    readonly bottom: number;
  } {
    return this.chart.chartArea;
  }

  /** update('none') would keep the point options of the first drawing; there are no animations. */
  draw(lines: LineSource<Id>, range: Range, logarithmic: LogAxes): void {
    for (const axis of ['x', 'y'] as const) this.setScale(axis, logarithmic[axis]);
    const scale = this.chart.options.scales!['x']!;
    scale.min = range.from;
    scale.max = range.to;
    const pixels = Math.max(100, this.chart.width - AXIS_WIDTH);
    this.spec.series.forEach((series, i) => {
      const dataset = this.chart.data.datasets[i]!;
      const columns = { pixels, logarithmic: logarithmic.x };
      decimate(lines.of(series.id), range, columns, dataset.data);
      dataset.pointRadius = pointRadius(series, dataset.data.length);
      dataset.clip = dataset.pointRadius > 0 ? POINT_MARGIN : 0;
    });
    this.keepAboveZero(logarithmic.y);
    this.spaceTicks();
    this.chart.update();
  }

  /** An axis that goes below 0 for values that never do would puzzle. */
  private keepAboveZero(logarithmic: boolean): void {
    const { low, high } = this.values();
    const scale = this.chart.options.scales!['y']!;
    if (!logarithmic && low >= 0 && low < GRACE * (high - low)) scale.min = 0;
    else delete scale.min;
  }

  private values(): { readonly low: number; readonly high: number } {
    let [low, high] = [Infinity, -Infinity];
    for (const { data } of this.chart.data.datasets) {
      for (const { y } of data) {
        if (y < low) low = y;
        if (y > high) high = y;
      }
    }
    return { low, high };
  }

  /** chart.js creates a new scale when its type changes. */
  private setScale(axis: 'x' | 'y', logarithmic: boolean): void {
    const type = logarithmic ? 'logarithmic' : 'linear';
    const scale = this.chart.options.scales![axis]!;
    if (scale.type !== type) Object.assign(scale, { type });
  }

  private spaceTicks(): void {
    const { tickStep } = this.spec;
    if (!tickStep) return;
    Object.assign(this.chart.options.scales!['y']!.ticks!, {
      stepSize: tickStep(Math.max(0, this.values().high)),
    });
  }

  applyTheme(theme: ChartTheme): void {
    this.spec.series.forEach((series, i) => {
      const color = translucent(theme.colors[series.color]).alpha(series.alpha).rgbString();
      Object.assign(this.chart.data.datasets[i]!, {
        borderColor: color,
        pointBackgroundColor: theme.background,
        pointBorderColor: color,
      });
    });
    for (const axis of ['x', 'y']) {
      const scale = this.chart.options.scales![axis]!;
      Object.assign(scale.ticks!, {
        color: theme.text,
        font: { family: theme.fontFamily, size: theme.fontSize },
      });
      Object.assign(scale.grid!, { color: theme.grid });
      Object.assign(scale.border!, { color: theme.grid });
    }
    this.chart.update();
  }

  xAt(pixel: number): number {
    return this.chart.scales['x']!.getValueForPixel(pixel) ?? NaN;
  }

  xOf(x: number): number {
    return this.chart.scales['x']!.getPixelForValue(x);
  }

  yOf(value: number): number {
    return this.chart.scales['y']!.getPixelForValue(value);
  }

  dispose(): void {
    this.chart.destroy();
  }
}

/** A single point has no line that shows it. */
function pointRadius(series: SeriesSpec<string>, count: number): number {
  if (count === 1) return 3;
  return series.points && count <= 60 ? 3.5 : 0;
}

/** Later lines are drawn over earlier ones. */
function datasetOf(series: SeriesSpec<string>, index: number): ChartDataset<'line', Point[]> {
  return {
    data: [],
    order: -index,
    borderWidth: series.width,
    borderDash: [...series.dash],
    pointStyle: series.points ? 'rectRot' : 'circle',
    pointBorderWidth: 1.5,
    pointRadius: 0,
    pointHitRadius: 0,
    tension: 0,
    borderJoinStyle: 'bevel',
    fill: false,
    spanGaps: false,
  };
}

/** 1, 2 or 5 times a power of ten: the ticks of a logarithmic axis that get a text. */
const isRound = (x: number): boolean =>
  [1, 2, 5].includes(Number((x / 10 ** Math.floor(Math.log10(x))).toPrecision(6)));

function configuration(
  spec: Curves<string>,
  labels: AxisLabels,
  onResize: () => void,
): ChartConfiguration<'line', Point[]> {
  return {
    type: 'line',
    data: { datasets: spec.series.map(datasetOf) },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      events: [],
      onResize: () => onResize(),
      layout: { padding: { top: 6, right: 12 } },
      scales: {
        x: {
          type: 'linear',
          grid: { display: false },
          border: { display: true },
          ticks: {
            maxRotation: 0,
            autoSkipPadding: 24,
            precision: 0,
            includeBounds: false,
            callback(value) {
              const x = Number(value);
              return this.type === 'linear' || isRound(x) ? labels.x(x) : '';
            },
          },
        },
        y: {
          type: 'linear',
          beginAtZero: spec.fromZero,
          grace: `${100 * GRACE}%`,
          ...(spec.most !== undefined && { max: spec.most }),
          grid: { display: true },
          border: { display: false },
          ticks: { maxTicksLimit: 6, padding: 6, callback: (value) => labels.value(Number(value)) },
          afterFit: (scale) => {
            scale.width = AXIS_WIDTH;
          },
        },
      },
    },
  };
}
