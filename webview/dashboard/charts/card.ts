import { el, icon, setAttribute, setText, show } from '../../shared/dom';
import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import { tickText, xText } from '../../shared/charts/axisWords';
import { CursorOverlay } from '../../shared/charts/cursor';
import type { Range } from '../../shared/charts/decimate';
import { listen, type KeyAction } from '../../shared/charts/gestures';
import { LineChart } from '../../shared/charts/lineChart';
import { MarkRow, type Mark } from '../../shared/charts/marks';
import { pictureOf } from '../../shared/charts/picture';
import type { SeriesId } from '../../../src/shared/metrics/table';
import type { RunLines } from '../../shared/charts/runLines';
import { readTheme, type ChartTheme } from '../../shared/theme';
import type { ChartSpec } from '../model/chartSpecs';
import type { Context } from '../section';
import { ChartTable } from './table';

/** How all charts are drawn. */
export interface Drawing {
  readonly range: Range;
  readonly axis: Axis;
  /** Of the losses' chart. */
  readonly logarithmic: boolean;
  /** Of the losses' chart. */
  readonly marks: readonly Mark[];
}

export interface CardEvents {
  hover(x: number | null): void;
  zoom(range: Range): void;
  zoomAt(x: number, factor: number): void;
  pan(share: number): boolean;
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
  private readonly save: HTMLElement;
  private readonly chart: LineChart<SeriesId>;
  private readonly overlay: CursorOverlay<SeriesId>;
  private axis: Axis = 'step';
  private readonly table: ChartTable;
  private readonly marks = new MarkRow();
  private onScreen = true;
  private stale = true;

  constructor(
    readonly spec: ChartSpec,
    private readonly context: Context,
    events: CardEvents,
  ) {
    const { t, format } = context;
    this.values = spec.series.map(() => el('span', { class: 'value' }));
    this.toggle = el(
      'vscode-button',
      { class: 'as-table', appearance: 'icon', click: () => events.toggleTable() },
      icon('table'),
    );
    const picture = t('chart.save', t(`chart.${spec.id}`));
    this.save = el(
      'vscode-button',
      {
        appearance: 'icon',
        title: picture,
        'aria-label': picture,
        click: () => this.savePicture(),
      },
      icon('device-camera'),
    );
    const heading = `chart-${spec.id}`;
    const key = el(
      'div',
      { class: 'key' },
      ...spec.series.map((series, i) =>
        el(
          'span',
          { class: 'key-entry' },
          el('span', {
            class: `swatch swatch-${series.id} line-${series.color}${series.dash.length > 0 ? ' swatch-dashed' : ''}`,
            'aria-hidden': 'true',
          }),
          `${t(`series.${series.id}`)} `,
          this.values[i]!,
        ),
      ),
      ...(spec.id === 'loss' ? markKeys(context) : []),
      this.at,
    );
    this.overlay = new CursorOverlay(spec);
    this.empty = el('p', { class: 'chart-empty' }, t('chart.empty'));
    this.plot.append(this.canvas, this.overlay.root, this.marks.root, this.empty);
    this.table = new ChartTable(spec, context);
    this.root = el(
      'section',
      { class: `card chart chart-${spec.id}`, 'aria-labelledby': heading },
      el(
        'header',
        {},
        el('h3', { id: heading }, t(`chart.${spec.id}`)),
        el('span', { class: 'chart-actions' }, this.save, this.toggle),
      ),
      key,
      this.plot,
      this.table.root,
    );
    this.chart = new LineChart(
      this.canvas,
      spec,
      { value: (v) => spec.format(format, v), x: (x) => tickText(format, this.axis, x) },
      () => {
        this.stale = true;
        events.resized();
      },
    );
    this.listen(events);
    this.watchScreen(events);
  }

  draw(
    lines: RunLines,
    { range, axis, logarithmic, marks }: Drawing,
    cursor: number | null,
    asTable: boolean,
  ): void {
    this.stale = true;
    this.axis = axis;
    show(this.save, !asTable);
    show(this.plot, !asTable);
    show(this.table.root, asTable);
    this.labelToggle(asTable);
    if (!asTable && this.onScreen) {
      this.stale = false;
      this.chart.draw(lines, range, logarithmic && this.spec.id === 'loss');
      if (this.spec.id === 'loss') this.marks.place(this.chart, marks);
      this.plot.classList.toggle(
        'no-values',
        this.spec.series.every((series) => lines.of(series.id).xs.length === 0),
      );
    }
    this.moveCursor(lines, range, cursor);
  }

  /** Apart from `draw` since it may take longer than a frame. */
  drawTable(lines: RunLines, { range, axis }: Drawing): void {
    this.table.update(lines, range, axis);
  }

  /** Shows the values at a place; null: the last ones. */
  moveCursor(lines: RunLines, range: Range, cursor: number | null): void {
    const { t, format } = this.context;
    if (!this.stale) this.overlay.place(this.chart, lines, cursor);
    this.spec.series.forEach((series, i) =>
      setText(this.values[i]!, this.spec.format(format, valueAt(lines, series.id, cursor))),
    );
    setText(this.at, cursor === null ? '' : this.place(cursor));
    setAttribute(
      this.canvas,
      'aria-label',
      t(
        'chart.label',
        t(`chart.${this.spec.id}`),
        `${t(`range.${this.axis}`, this.xText(range.from), this.xText(range.to))}. ${this.words(lines, cursor)}. ${t('chart.keys')}`,
      ),
    );
  }

  /** The values at a place as one sentence. */
  words(lines: RunLines, cursor: number | null): string {
    const { t, format } = this.context;
    const values = this.spec.series.map((series) =>
      t(
        'chart.value',
        t(`series.${series.id}`),
        this.spec.format(format, valueAt(lines, series.id, cursor)),
      ),
    );
    return [...(cursor === null ? [] : [this.place(cursor)]), ...values].join(', ');
  }

  applyTheme(theme: ChartTheme): void {
    this.chart.applyTheme(theme);
  }

  private xText(x: number): string {
    return xText(this.context.format, this.axis, x);
  }

  private place(x: number): string {
    return this.context.t(`at.${this.axis}`, this.xText(x));
  }

  private savePicture(): void {
    this.context.post({
      kind: 'savePicture',
      name: this.spec.id,
      url: pictureOf(this.canvas, readTheme().background),
    });
  }

  private labelToggle(asTable: boolean): void {
    const { t } = this.context;
    const label = t(asTable ? 'chart.asChart' : 'chart.asTable', t(`chart.${this.spec.id}`));
    setAttribute(this.toggle, 'aria-label', label);
    setAttribute(this.toggle, 'title', label);
    this.toggle.firstElementChild!.className = `codicon codicon-${asTable ? 'graph-line' : 'table'}`;
  }

  private listen(events: CardEvents): void {
    listen(this.plot, {
      hover: (pixel) => events.hover(pixel === null ? null : this.chart.xAt(pixel)),
      selecting: (from, to) => this.overlay.select(this.chart, this.inside(from), this.inside(to)),
      selected: (pixels) => {
        this.overlay.endSelection();
        if (pixels)
          events.zoom({
            from: this.chart.xAt(this.inside(pixels[0])),
            to: this.chart.xAt(this.inside(pixels[1])),
          });
      },
      key: (action) => events.key(action, this),
      zoom: (pixel, factor) => events.zoomAt(this.chart.xAt(pixel), factor),
      pan: (share) => events.pan(share),
    });
  }

  private inside(pixel: number): number {
    const { left, right } = this.chart.area;
    return Math.min(right, Math.max(left, pixel));
  }

  /** A chart that is scrolled away is drawn when it comes back. */
  private watchScreen(events: CardEvents): void {
    new IntersectionObserver(
      (entries) => {
        this.onScreen = entries.at(-1)!.isIntersecting;
        if (this.onScreen && this.stale) events.resized();
      },
      { rootMargin: '200px' },
    ).observe(this.plot);
  }
}

const markKeys = ({ t }: Context): HTMLElement[] =>
  (['best', 'checkpoint'] as const).map((kind) =>
    el(
      'span',
      { class: 'key-entry' },
      el('span', { class: `mark mark-${kind}`, 'aria-hidden': 'true' }),
      t(`mark.${kind}`),
    ),
  );

function valueAt(
  lines: RunLines,
  id: ChartSpec['series'][number]['id'],
  cursor: number | null,
): number {
  return cursor === null ? (lines.of(id).ys.at(-1) ?? NaN) : lines.at(id, cursor);
}
