import { OVERLAY_METRICS, type OverlayMetric } from '../../../src/shared/pages/overlay/protocol';
import { axisBar } from '../../shared/charts/axisBar';
import { tickText, xText } from '../../shared/charts/axisWords';
import { CursorOverlay } from '../../shared/charts/cursor';
import type { Range } from '../../shared/charts/decimate';
import { listen, type KeyAction } from '../../shared/charts/gestures';
import { LineChart } from '../../shared/charts/lineChart';
import { Paced } from '../../shared/paced';
import { pictureOf } from '../../shared/charts/picture';
import { walk } from '../../shared/charts/walk';
import { clipped, nearest, panned, zoomed } from '../../shared/charts/zoom';
import { el, icon, setAttribute, setText } from '../../shared/dom';
import { onThemeChange, readTheme } from '../../shared/theme';
import { OverlayLines } from '../model/lines';
import { curvesOf, isLoss } from '../model/look';
import { shownRuns, type Context, type Part, type View } from '../view';
import { Legend } from './legend';

/**
 * New values are drawn this often at most, so that the page stays smooth however many runs there
 * are.
 */
const DRAW_INTERVAL_MS = 200;

interface Drawn {
  readonly key: string;
  readonly plot: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly chart: LineChart<string>;
  readonly overlay: CursorOverlay<string>;
}

/** One quantity of all runs in one chart. */
export class OverlayChart implements Part {
  readonly root: HTMLElement;
  private readonly lines = new OverlayLines();
  private readonly legend: Legend;
  private readonly bar: ReturnType<typeof axisBar>;
  private readonly quantity: HTMLSelectElement;
  private readonly place = el('div', { class: 'place' });
  private readonly at = el('span', { class: 'at' });
  private readonly spoken = el('p', { class: 'sr-only', 'aria-live': 'polite' });
  private readonly paced = new Paced(() => this.draw());
  private drawn: Drawn | undefined;
  private view: View | undefined;
  private cursor: number | null = null;

  constructor(private readonly context: Context) {
    const { t } = context;
    this.legend = new Legend(context);
    this.bar = axisBar(context);
    this.quantity = el(
      'select',
      {
        id: 'quantity',
        change: () =>
          context.choose({ quantity: this.quantity.value as OverlayMetric, zoom: null }),
      },
      ...OVERLAY_METRICS.map((id) => el('option', { value: id }, t(`quantity.${id}`))),
    );
    const label = t('chart.save', t('chart'));
    const save = el(
      'vscode-button',
      {
        class: 'push',
        appearance: 'icon',
        title: label,
        'aria-label': label,
        click: () => this.save(),
      },
      icon('device-camera'),
    );
    this.root = el(
      'section',
      { class: 'card curves', 'aria-label': t('chart') },
      el(
        'div',
        { class: 'toolbar' },
        el('label', {}, `${t('show')} `, this.quantity),
        ...this.bar.parts,
        save,
      ),
      this.legend.root,
      this.at,
      this.place,
      this.spoken,
    );
    onThemeChange(() => {
      this.drawn?.chart.applyTheme(readTheme());
      this.paced.within(0);
    });
  }

  update(view: View): void {
    const chosen = view.choices !== this.view?.choices;
    if (
      view.choices.axis !== this.view?.choices.axis ||
      view.choices.quantity !== this.view.choices.quantity
    )
      this.cursor = null;
    this.view = view;
    this.bar.update(view.choices);
    if (this.quantity.value !== view.choices.quantity) this.quantity.value = view.choices.quantity;
    this.legend.update(view);
    this.paced.within(chosen ? 0 : DRAW_INTERVAL_MS);
  }

  private draw(): void {
    if (!this.view) return;
    const { choices } = this.view;
    this.lines.update(shownRuns(this.view), choices.quantity, choices);
    const { chart, plot } = this.chartOf(this.view);
    chart.draw(this.lines, this.range(), choices.logarithmic && isLoss(choices.quantity));
    plot.classList.toggle('no-values', this.lines.places().length === 0);
    if (this.cursor !== null) this.cursor = nearest(this.lines.places(), this.cursor);
    this.tell();
  }

  /** chart.js keeps its lines for good: other runs or another quantity take a new chart. */
  private chartOf(view: View): Drawn {
    const shown = view.runs.flatMap(({ dir }, index) =>
      view.choices.hidden.includes(dir) ? [] : [[dir, index] as const],
    );
    const key = JSON.stringify([view.choices.quantity, shown]);
    if (this.drawn?.key === key) return this.drawn;
    const { format, t } = this.context;
    const focused = document.activeElement === this.drawn?.canvas;
    this.drawn?.chart.dispose();
    const curves = curvesOf(view.choices.quantity, shown);
    const canvas = el('canvas', { role: 'img', tabindex: 0 });
    const overlay = new CursorOverlay(curves);
    const plot = el(
      'div',
      { class: 'plot' },
      canvas,
      overlay.root,
      el('p', { class: 'chart-empty' }, t('chart.empty')),
    );
    this.place.replaceChildren(plot);
    const chart = new LineChart(
      canvas,
      curves,
      {
        value: (value) => curves.format(format, value),
        x: (x) => tickText(format, this.view!.choices.axis, x),
      },
      () => this.paced.within(0),
    );
    chart.applyTheme(readTheme());
    this.drawn = { key, plot, canvas, chart, overlay };
    this.listen(this.drawn);
    if (focused) canvas.focus();
    return this.drawn;
  }

  private listen({ plot, chart, overlay }: Drawn): void {
    const inside = (pixel: number) => Math.min(chart.area.right, Math.max(chart.area.left, pixel));
    listen(plot, {
      hover: (pixel) =>
        this.moveCursor(pixel === null ? null : nearest(this.lines.places(), chart.xAt(pixel))),
      selecting: (from, to) => overlay.select(chart, inside(from), inside(to)),
      selected: (pixels) => {
        overlay.endSelection();
        if (pixels)
          this.context.choose({
            zoom: clipped(
              { from: chart.xAt(inside(pixels[0])), to: chart.xAt(inside(pixels[1])) },
              this.lines.extent(),
            ),
          });
      },
      key: (action) => this.onKey(action),
      zoom: (pixel, factor) =>
        this.context.choose({
          zoom: zoomed(this.range(), this.lines.extent(), chart.xAt(pixel), factor),
        }),
      pan: (share) => {
        const { zoom } = this.context.chosen();
        if (zoom) this.context.choose({ zoom: panned(zoom, this.lines.extent(), share) });
        return zoom !== null;
      },
    });
  }

  private onKey(action: KeyAction): void {
    const walked = walk(action, {
      places: this.lines.places(),
      cursor: this.cursor,
      range: this.range(),
      extent: this.lines.extent(),
    });
    if ('zoom' in walked) {
      this.context.choose(walked);
      return;
    }
    this.moveCursor(walked.cursor);
    setText(this.spoken, this.words());
  }

  private range(): Range {
    return this.context.chosen().zoom ?? this.lines.extent();
  }

  private moveCursor(at: number | null): void {
    if (at === this.cursor) return;
    this.cursor = at;
    this.tell();
  }

  private tell(): void {
    const { view, drawn } = this;
    if (!view || !drawn) return;
    const { t } = this.context;
    drawn.overlay.place(drawn.chart, this.lines, this.cursor);
    this.legend.tell(view, this.lines, this.cursor);
    setText(this.at, this.cursor === null ? '' : this.placeWords(this.cursor));
    setAttribute(
      drawn.canvas,
      'aria-label',
      t(
        'chart.label',
        t(`quantity.${view.choices.quantity}`),
        shownRuns(view).length,
        `${this.words()}. ${t('chart.keys')}`,
      ),
    );
  }

  private placeWords(x: number): string {
    const { axis } = this.view!.choices;
    return this.context.t(`at.${axis}`, xText(this.context.format, axis, x));
  }

  /** The values at the cursor as one sentence. */
  private words(): string {
    const { t, format } = this.context;
    const curves = curvesOf(this.view!.choices.quantity, []);
    const value = (dir: string) =>
      this.cursor === null
        ? (this.lines.of(dir).ys.at(-1) ?? NaN)
        : this.lines.at(dir, this.cursor);
    return [
      ...(this.cursor === null ? [] : [this.placeWords(this.cursor)]),
      ...shownRuns(this.view!).map((run) =>
        t('chart.value', run.name, curves.format(format, value(run.dir))),
      ),
    ].join(', ');
  }

  private save(): void {
    if (this.drawn && this.view)
      this.context.post({
        kind: 'savePicture',
        name: `${this.view.title}-${this.view.choices.quantity}`,
        url: pictureOf(this.drawn.canvas, readTheme().background),
      });
  }
}
