import { readTheme, type ChartTheme } from '../theme';
import { CursorOverlay } from './cursor';
import type { Range } from './decimate';
import { listen, type KeyAction } from './gestures';
import { LineChart, type AxisLabels, type LogAxes } from './lineChart';
import type { Mark } from './mark';
import { MarkRow } from './marks';
import { pictureOf } from './picture';
import type { LineSource } from './runLines';
import type { Curves } from './spec';

/** What a person does on a chart, in values of the x axis. */
export interface PlotEvents {
  hover(x: number | null): void;
  zoom(range: Range): void;
  zoomAt(x: number, factor: number): void;
  /** By a share of what is shown; false if there is nothing to move to. */
  pan(share: number): boolean;
  key(action: KeyAction): void;
  /** The chart has another size and must be drawn again. */
  resized(): void;
}

export interface PlotTexts extends AxisLabels {
  /** Shown instead of the curves while there are none. */
  readonly empty: string;
}

/** A chart with its cursor, marks, and pointer and keyboard control. */
export class Plot<Id extends string> {
  readonly root = Object.assign(document.createElement('div'), { className: 'plot' });
  readonly canvas = document.createElement('canvas');
  private readonly chart: LineChart<Id>;
  private readonly overlay: CursorOverlay<Id>;
  private readonly marks = new MarkRow();

  constructor(
    private readonly curves: Curves<Id>,
    texts: PlotTexts,
    events: PlotEvents,
  ) {
    this.canvas.setAttribute('role', 'img');
    this.canvas.tabIndex = 0;
    this.overlay = new CursorOverlay(curves);
    const empty = Object.assign(document.createElement('p'), { className: 'chart-empty' });
    empty.textContent = texts.empty;
    this.root.append(this.canvas, this.overlay.root, this.marks.root, empty);
    this.chart = new LineChart(this.canvas, curves, texts, () => events.resized());
    this.chart.applyTheme(readTheme());
    this.listen(events);
  }

  draw(lines: LineSource<Id>, range: Range, logarithmic: LogAxes, marks: readonly Mark[]): void {
    this.chart.draw(lines, range, logarithmic);
    this.marks.place(this.chart, marks);
    const isEmpty = this.curves.series.every(({ id }) => lines.of(id).xs.length === 0);
    this.root.classList.toggle('no-values', isEmpty);
  }

  /** `at` null: no cursor. */
  moveCursor(lines: LineSource<Id>, at: number | null): void {
    this.overlay.place(this.chart, lines, at);
  }

  /** Text for screen readers. */
  describe(text: string): void {
    this.canvas.setAttribute('aria-label', text);
  }

  applyTheme(theme: ChartTheme): void {
    this.chart.applyTheme(theme);
  }

  /** The curves as a PNG in a data URL. */
  picture(): string {
    return pictureOf(this.canvas, readTheme().background);
  }

  dispose(): void {
    this.chart.dispose();
  }

  private listen(events: PlotEvents): void {
    const { chart, overlay } = this;
    const inside = (pixel: number) => Math.min(chart.area.right, Math.max(chart.area.left, pixel));
    listen(this.root, {
      hover: (pixel) => events.hover(pixel === null ? null : chart.xAt(pixel)),
      selecting: (from, to) => overlay.select(chart, inside(from), inside(to)),
      selected: (pixels) => {
        overlay.endSelection();
        if (!pixels) return;
        const [from, to] = pixels.map((pixel) => chart.xAt(inside(pixel))) as [number, number];
        events.zoom({ from, to });
      },
      key: (action) => events.key(action),
      zoom: (pixel, factor) => events.zoomAt(chart.xAt(pixel), factor),
      pan: (share) => events.pan(share),
    });
  }
}
