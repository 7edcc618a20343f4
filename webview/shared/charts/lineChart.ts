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

/** Room above and below the lines, as a share of their height. */
const GRACE = 0.05;

/** Points at the edge are drawn whole. */
const POINT_ROOM = 8;

interface Labels {
  value(value: number): string;
  x(x: number): string;
}

/** One chart.js chart that is fed with as many points as it has pixels. */
export class LineChart<Id extends string> {
  private readonly chart: Chart<'line', Point[]>;

  constructor(
    canvas: HTMLCanvasElement,
    private readonly spec: Curves<Id>,
    labels: Labels,
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

  /**
   * Not with update('none'): that leaves the points with the options of the first time. There are
   * no animations anyway.
   */
  draw(lines: LineSource<Id>, range: Range, logarithmic: boolean): void {
    this.scaleValues(logarithmic);
    const scale = this.chart.options.scales!['x']!;
    scale.min = range.from;
    scale.max = range.to;
    const pixels = Math.max(100, this.chart.width - AXIS_WIDTH);
    this.spec.series.forEach((series, i) => {
      const { xs, ys } = lines.of(series.id);
      const dataset = this.chart.data.datasets[i]!;
      decimate(xs, ys, range, pixels, dataset.data);
      dataset.pointRadius = pointRadius(series, dataset.data.length);
      dataset.clip = dataset.pointRadius > 0 ? POINT_ROOM : 0;
    });
    this.keepAboveZero(logarithmic);
    this.spaceTicks();
    this.chart.update();
  }

  /** Room below 0 for what is never below it puzzles. */
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

  /** chart.js makes a scale anew when its type changes. */
  private scaleValues(logarithmic: boolean): void {
    const type = logarithmic ? 'logarithmic' : 'linear';
    const scale = this.chart.options.scales!['y']!;
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

/** Alone, a point has no line to show it. */
function pointRadius(series: SeriesSpec<string>, count: number): number {
  return count === 1 ? 3 : series.points && count <= 60 ? 3.5 : 0;
}

/** Later lines lie on earlier ones. */
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

function configuration(
  spec: Curves<string>,
  labels: Labels,
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
            callback: (value) => labels.x(Number(value)),
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
