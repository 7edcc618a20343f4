import { nothing, render, type TemplateResult } from 'lit-html';
import type { SeriesId } from '../../../src/shared/metrics/table';
import type { Axis } from '../../../src/shared/pages/dashboard/protocol';
import { axisTick, axisValue } from '../../shared/charts/axisText';
import type { Range } from '../../shared/charts/decimate';
import type { KeyAction } from '../../shared/charts/gestures';
import type { Mark } from '../../shared/charts/mark';
import { Plot, type PlotEvents } from '../../shared/charts/plot';
import type { RunLines } from '../../shared/charts/runLines';
import { html } from '../../shared/html';
import { icon, iconButton } from '../../shared/templates';
import type { ChartTheme } from '../../shared/theme';
import { isOnTop, type ChartSpec } from '../model/chartSpecs';
import type { DashboardPage } from '../state';
import { ChartTable } from './table';

/** How one chart is shown. */
export interface CardShape {
  readonly asTable: boolean;
  readonly isPinned: boolean;
}

/** How all charts are drawn; `logarithmic` and `marks` are for the chart of the losses. */
export interface Drawing {
  readonly range: Range;
  readonly axis: Axis;
  readonly logarithmic: boolean;
  readonly logarithmicX: boolean;
  readonly marks: readonly Mark[];
}

export interface CardEvents extends Omit<PlotEvents, 'key'> {
  key(action: KeyAction, card: ChartCard): void;
  toggleTable(): void;
  togglePin(): void;
}

/** One chart with its heading, its key (which shows the values at the cursor) and its table. */
export class ChartCard {
  readonly root = document.createElement('section');
  private readonly plot: Plot<SeriesId>;
  private readonly table: ChartTable;
  private readonly screen: IntersectionObserver;
  private axis: Axis = 'step';
  private shape: CardShape = { asTable: false, isPinned: false };
  private values: readonly string[];
  /** Text of the cursor's place; empty without a cursor. */
  private at = '';
  private onScreen = true;
  private stale = true;

  constructor(
    readonly spec: ChartSpec,
    private readonly page: DashboardPage,
    private readonly events: CardEvents,
  ) {
    const { format, t } = page;
    const resized = () => {
      this.stale = true;
      events.resized();
    };
    this.values = spec.series.map(() => '');
    this.plot = new Plot(
      spec,
      {
        value: (value) => spec.format(format, value),
        x: (x) => axisTick(format, this.axis, x),
        empty: t('chart.empty'),
      },
      { ...events, key: (action) => events.key(action, this), resized },
    );
    this.table = new ChartTable(spec, page);
    this.root.className = `card chart chart-${spec.id}`;
    this.root.setAttribute('aria-labelledby', `chart-${spec.id}`);
    this.render();
    this.screen = this.watchScreen();
  }

  /** `cursor` null: no cursor. A chart that is not on screen is drawn when it comes back. */
  draw(lines: RunLines, drawing: Drawing, cursor: number | null, shape: CardShape): void {
    const { asTable } = shape;
    this.stale = true;
    this.axis = drawing.axis;
    this.shape = shape;
    this.plot.root.hidden = asTable;
    this.table.root.hidden = !asTable;
    if (!asTable && this.onScreen) {
      this.stale = false;
      const isLoss = this.spec.id === 'loss';
      const marks = isLoss ? drawing.marks : [];
      const logarithmic = { x: drawing.logarithmicX, y: isLoss && drawing.logarithmic };
      this.plot.draw(lines, drawing.range, logarithmic, marks);
    }
    this.moveCursor(lines, drawing.range, cursor);
  }

  /** Apart from `draw`, since it may take longer than a frame. */
  drawTable(lines: RunLines, { range, axis }: Drawing): void {
    this.table.update(lines, range, axis);
  }

  /** Shows the values at a place; null: the last ones, older ones with their place. */
  moveCursor(lines: RunLines, range: Range, cursor: number | null): void {
    const { t } = this.page;
    if (!this.stale) this.plot.moveCursor(lines, cursor);
    this.values = this.valuesAt(lines, cursor);
    this.at = cursor === null ? '' : this.placeText(cursor);
    const shown = t(`range.${this.axis}`, this.xText(range.from), this.xText(range.to));
    const text = `${shown}. ${this.sentence(lines, cursor)}. ${t('chart.keys')}`;
    this.plot.describe(t('chart.label', t(`chart.${this.spec.id}`), text));
    this.render();
  }

  /** The values at a place as one sentence. */
  sentence(lines: RunLines, cursor: number | null): string {
    const { t } = this.page;
    const values = this.valuesAt(lines, cursor);
    const texts = this.spec.series.map(({ id }, i) =>
      t('chart.value', t(`series.${id}`), values[i]!),
    );
    return [...(cursor === null ? [] : [this.placeText(cursor)]), ...texts].join(', ');
  }

  applyTheme(theme: ChartTheme): void {
    this.plot.applyTheme(theme);
  }

  dispose(): void {
    this.screen.disconnect();
    this.plot.dispose();
  }

  private render(): void {
    const { t } = this.page;
    const title = t(`chart.${this.spec.id}`);
    const save = iconButton('device-camera', t('chart.save', title), () => this.savePicture());
    render(
      html`<header>
          <h3 id="chart-${this.spec.id}">${title}</h3>
          <span class="chart-actions"
            >${this.pin(title)}${this.shape.asTable ? nothing : save}${this.toggle(title)}</span
          >
        </header>
        <div class="key">
          ${this.spec.series.map((series, i) => keyEntry(this.page, series, this.values[i]!))}
          ${this.spec.id === 'loss' ? markKeys(this.page) : nothing}
          <span class="at">${this.at}</span>
        </div>
        ${this.plot.root}${this.table.root}`,
      this.root,
    );
  }

  /** The charts of the losses are on top already. */
  private pin(title: string): TemplateResult | typeof nothing {
    if (isOnTop(this.spec)) return nothing;
    const { isPinned } = this.shape;
    const label = this.page.t(isPinned ? 'chart.unpin' : 'chart.pin', title);
    return iconButton(isPinned ? 'pinned' : 'pin', label, () => this.events.togglePin());
  }

  private toggle(title: string): TemplateResult {
    const label = this.page.t(this.shape.asTable ? 'chart.asChart' : 'chart.asTable', title);
    return html`<vscode-button
      class="as-table"
      appearance="icon"
      title=${label}
      aria-label=${label}
      @click=${() => this.events.toggleTable()}
      >${icon(this.shape.asTable ? 'graph-line' : 'table')}</vscode-button
    >`;
  }

  private valuesAt(lines: RunLines, cursor: number | null): string[] {
    const { format } = this.page;
    if (cursor !== null)
      return this.spec.series.map(({ id }) => this.spec.format(format, lines.at(id, cursor)));
    const { to } = lines.extent();
    return this.spec.series.map(({ id }) => {
      const { xs, ys } = lines.of(id);
      const value = this.spec.format(format, ys.at(-1) ?? NaN);
      const x = xs.at(-1) ?? to;
      return x < to ? `${value} (${this.placeText(x)})` : value;
    });
  }

  private xText(x: number): string {
    return axisValue(this.page.format, this.axis, x);
  }

  private placeText(x: number): string {
    return this.page.t(`at.${this.axis}`, this.xText(x));
  }

  private savePicture(): void {
    const url = this.plot.picture();
    this.page.post({ kind: 'savePicture', name: this.spec.id, url });
  }

  private watchScreen(): IntersectionObserver {
    const observer = new IntersectionObserver(
      (entries) => {
        this.onScreen = entries.at(-1)!.isIntersecting;
        if (this.onScreen && this.stale) this.events.resized();
      },
      { rootMargin: '200px' },
    );
    observer.observe(this.plot.root);
    return observer;
  }
}

function keyEntry(
  { t }: DashboardPage,
  { id, color, dash }: ChartSpec['series'][number],
  value: string,
): TemplateResult {
  const dashed = dash.length > 0 ? 'swatch-dashed' : '';
  return html`<span class="key-entry"
    ><span class="swatch swatch-${id} line-${color} ${dashed}" aria-hidden="true"></span>${t(
      `series.${id}`,
    )} <span class="value">${value}</span></span
  >`;
}

const markKeys = ({ t }: DashboardPage): readonly TemplateResult[] =>
  (['best', 'checkpoint'] as const).map(
    (kind) =>
      html`<span class="key-entry"
        ><span class="mark mark-${kind}" aria-hidden="true"></span>${t(`mark.${kind}`)}</span
      >`,
  );
