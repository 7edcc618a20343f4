import { el, icon, setAttribute, setText, show } from '../../shared/dom';
import type { ChartSpec, Lines } from '../model/chartSpecs';
import type { Range } from '../model/decimate';
import type { Context } from '../section';
import { CursorOverlay } from './cursor';
import { listen, type KeyAction } from './gestures';
import { LineChart } from './lineChart';
import { ChartTable } from './table';
import type { ChartTheme } from '../../shared/theme';

export interface CardEvents {
  hover(step: number | null): void;
  zoom(range: Range): void;
  key(action: KeyAction, card: ChartCard): void;
  toggleTable(): void;
  resized(): void;
}

/** One chart with its heading, its key (which shows the values at the cursor) and its table. */
export class ChartCard {
  readonly root: HTMLElement;
  private readonly canvas = el('canvas', { role: 'img', tabindex: 0 });
  private readonly plot = el('div', { class: 'plot' });
  private readonly empty: HTMLElement;
  private readonly values: readonly HTMLElement[];
  private readonly at = el('span', { class: 'at' });
  private readonly toggle: HTMLElement;
  private readonly chart: LineChart;
  private readonly overlay: CursorOverlay;
  private readonly table: ChartTable;
  private onScreen = true;
  private stale = true;

  constructor(readonly spec: ChartSpec, private readonly context: Context, events: CardEvents) {
    const { t, format } = context;
    this.values = spec.series.map(() => el('span', { class: 'value' }));
    this.toggle = el('vscode-button', { appearance: 'icon', click: () => events.toggleTable() }, icon('table'));
    const heading = `chart-${spec.id}`;
    const key = el('div', { class: 'key' }, ...spec.series.map((series, i) => el('span', { class: 'key-entry' },
      el('span', { class: `swatch swatch-${series.id} line-${series.color}${series.dash.length > 0 ? ' swatch-dashed' : ''}`, 'aria-hidden': 'true' }), `${t(`series.${series.id}`)} `, this.values[i]!)), this.at);
    this.overlay = new CursorOverlay(spec);
    this.empty = el('p', { class: 'chart-empty' }, t('chart.empty'));
    this.plot.append(this.canvas, this.overlay.root, this.empty);
    this.table = new ChartTable(spec, context);
    this.root = el('section', { class: `card chart chart-${spec.id}`, 'aria-labelledby': heading },
      el('header', {}, el('h3', { id: heading }, t(`chart.${spec.id}`)), this.toggle), key, this.plot, this.table.root);
    this.chart = new LineChart(this.canvas, spec, { value: (v) => spec.format(format, v), step: (s) => (Number.isInteger(s) ? format.count(s) : '') }, () => {
      this.stale = true;
      events.resized();
    });
    this.listen(events);
    this.watchScreen(events);
  }

  draw(lines: Lines, range: Range, cursor: number | null, asTable: boolean): void {
    this.stale = true;
    show(this.plot, !asTable);
    show(this.table.root, asTable);
    this.labelToggle(asTable);
    if (!asTable && this.onScreen) {
      this.stale = false;
      this.chart.draw(lines, range);
      this.plot.classList.toggle('no-values', this.spec.series.every((series) => lines.of(series.id).xs.length === 0));
    }
    this.moveCursor(lines, range, cursor);
  }

  /** Apart from `draw` since it may take longer than a frame. */
  drawTable(lines: Lines, range: Range): void { this.table.update(lines, range); }

  /** Shows the values at a step; null: the last ones. */
  moveCursor(lines: Lines, range: Range, cursor: number | null): void {
    const { t, format } = this.context;
    if (!this.stale) this.overlay.place(this.chart, lines, cursor);
    this.spec.series.forEach((series, i) => setText(this.values[i]!, this.spec.format(format, valueAt(lines, series.id, cursor))));
    setText(this.at, cursor === null ? '' : t('chart.at', format.count(cursor)));
    setAttribute(this.canvas, 'aria-label', t('chart.label', t(`chart.${this.spec.id}`), `${t('chart.range', format.count(range.from), format.count(range.to))} ${this.words(lines, cursor)}. ${t('chart.keys')}`));
  }

  /** The values at a step as one sentence. */
  words(lines: Lines, cursor: number | null): string {
    const { t, format } = this.context;
    const values = this.spec.series.map((series) => t('chart.value', t(`series.${series.id}`), this.spec.format(format, valueAt(lines, series.id, cursor))));
    return [...(cursor === null ? [] : [t('chart.at', format.count(cursor))]), ...values].join(', ');
  }

  applyTheme(theme: ChartTheme): void { this.chart.applyTheme(theme); }

  private labelToggle(asTable: boolean): void {
    const { t } = this.context;
    const label = t(asTable ? 'chart.asChart' : 'chart.asTable', t(`chart.${this.spec.id}`));
    setAttribute(this.toggle, 'aria-label', label);
    setAttribute(this.toggle, 'title', label);
    this.toggle.firstElementChild!.className = `codicon codicon-${asTable ? 'graph-line' : 'table'}`;
  }

  private listen(events: CardEvents): void {
    listen(this.plot, {
      hover: (pixel) => events.hover(pixel === null ? null : this.chart.stepAt(pixel)),
      selecting: (from, to) => this.overlay.select(this.chart, this.inside(from), this.inside(to)),
      selected: (pixels) => {
        this.overlay.endSelection();
        if (pixels) events.zoom({ from: this.chart.stepAt(this.inside(pixels[0])), to: this.chart.stepAt(this.inside(pixels[1])) });
      },
      key: (action) => events.key(action, this),
    });
  }

  private inside(pixel: number): number {
    const { left, right } = this.chart.area;
    return Math.min(right, Math.max(left, pixel));
  }

  /** A chart that is scrolled away is drawn when it comes back. */
  private watchScreen(events: CardEvents): void {
    new IntersectionObserver((entries) => {
      this.onScreen = entries.at(-1)!.isIntersecting;
      if (this.onScreen && this.stale) events.resized();
    }, { rootMargin: '200px' }).observe(this.plot);
  }
}

function valueAt(lines: Lines, id: ChartSpec['series'][number]['id'], cursor: number | null): number {
  return cursor === null ? lines.of(id).ys.at(-1) ?? NaN : lines.at(id, cursor);
}
