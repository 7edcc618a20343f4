import type { TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import { OVERLAY_METRICS, type OverlayMetric } from '../../../src/shared/pages/overlay/protocol';
import { axisBar } from '../../shared/charts/axisBar';
import { axisTick, axisValue } from '../../shared/charts/axisText';
import type { Range } from '../../shared/charts/decimate';
import type { KeyAction } from '../../shared/charts/gestures';
import { Plot } from '../../shared/charts/plot';
import { walk } from '../../shared/charts/walk';
import { html } from '../../shared/html';
import { clipped, firstAbove0, nearest, panned, zoomed } from '../../shared/charts/zoom';
import { Paced } from '../../shared/paced';
import { iconButton } from '../../shared/templates';
import { onThemeChange, readTheme } from '../../shared/theme';
import { OverlayLines } from '../model/lines';
import { curvesOf, formatOf, isLoss } from '../model/look';
import { choose } from '../../shared/page';
import { shownRuns, type OverlayPage, type OverlayState } from '../state';
import { legendView } from './legend';

/** One metric of all runs in one chart. */
export class OverlayChart {
  private readonly lines = new OverlayLines();
  private readonly drawing = new Paced(() => this.draw());
  /** A chart of chart.js keeps its curves: other runs or another metric need a new one. */
  private plot: { readonly key: string; readonly plot: Plot<string> } | undefined;
  /** What was drawn last. */
  private drawn = '';
  private cursor: { readonly at: number; readonly place: string } | null = null;
  private spoken = '';

  constructor(private readonly page: OverlayPage) {
    onThemeChange(() => {
      this.plot?.plot.applyTheme(readTheme());
      this.redraw();
    });
  }

  view(state: OverlayState): TemplateResult {
    const { t } = this.page;
    const { choices } = state;
    this.lines.update(shownRuns(state), choices.quantity, choices);
    const plot = this.plotOf(state);
    this.drawIfChanged(state);
    plot.describe(this.description(state));
    const pick = (event: Event) => {
      const quantity = (event.target as HTMLSelectElement).value as OverlayMetric;
      choose(this.page, { quantity, zoom: null });
    };
    const { format } = this.page;
    const formatValue = formatOf(choices.quantity);
    return html`<section class="card curves" aria-label=${t('chart')}>
      <div class="toolbar">
        <label
          >${t('show')}
          <select id="quantity" @change=${pick}>
            ${OVERLAY_METRICS.map(
              (id) =>
                html`<option value=${id} .selected=${live(id === choices.quantity)}>
                  ${t(`quantity.${id}`)}
                </option>`,
            )}
          </select></label
        >
        ${axisBar(this.page, choices, (choice) => choose(this.page, choice))}
        <span class="push"
          >${iconButton('device-camera', t('chart.save', t('chart')), () => this.save())}</span
        >
      </div>
      ${legendView(this.page, state, ({ dir }) => formatValue(format, this.valueAt(dir)))}
      <span class="at">${this.placeText(state)}</span>
      <div class="place">${plot.root}</div>
      <p class="sr-only" aria-live="polite">${this.spoken}</p>
    </section>`;
  }

  private plotOf(state: OverlayState): Plot<string> {
    const { quantity, hidden } = state.choices;
    const shown = (state.runs ?? []).flatMap(({ dir }, index) =>
      hidden.includes(dir) ? [] : [[dir, index] as const],
    );
    const key = JSON.stringify([quantity, shown]);
    if (this.plot?.key === key) return this.plot.plot;
    const { format, t } = this.page;
    const curves = curvesOf(quantity, shown);
    const hadFocus = document.activeElement === this.plot?.plot.canvas;
    this.plot?.plot.dispose();
    const plot = new Plot(
      curves,
      {
        value: (value) => curves.format(format, value),
        x: (x) => axisTick(format, this.page.state.choices.axis, x),
        empty: t('chart.empty'),
      },
      {
        hover: (x) => this.moveCursor(x === null ? null : nearest(this.lines.places(), x)),
        zoom: (range) => choose(this.page, { zoom: clipped(range, this.lines.extent()) }),
        zoomAt: (x, factor) =>
          choose(this.page, { zoom: zoomed(this.range(), this.lines.extent(), x, factor) }),
        pan: (share) => this.pan(share),
        key: (action) => this.onKey(action),
        resized: () => this.redraw(),
      },
    );
    this.plot = { key, plot };
    this.drawn = '';
    if (hadFocus) queueMicrotask(() => plot.canvas.focus());
    return plot;
  }

  private drawIfChanged(state: OverlayState): void {
    const { zoom, logarithmic, logarithmicX, axis, quantity } = state.choices;
    const place = `${axis} ${quantity}`;
    if (this.cursor && this.cursor.place !== place) this.cursor = null;
    const versions = shownRuns(state).map(({ lines }) => lines.version);
    const wanted = JSON.stringify([zoom, logarithmic, logarithmicX, versions]);
    if (wanted !== this.drawn) this.redraw();
    this.drawn = wanted;
  }

  private redraw(): void {
    this.drawing.within(0);
  }

  private draw(): void {
    const { quantity, logarithmic, logarithmicX } = this.page.state.choices;
    const axes = { x: logarithmicX, y: logarithmic && isLoss(quantity) };
    this.plot?.plot.draw(this.lines, this.range(), axes, []);
    if (this.cursor) this.moveCursor(nearest(this.lines.places(), this.cursor.at));
  }

  private pan(share: number): boolean {
    const { zoom } = this.page.state.choices;
    if (zoom) choose(this.page, { zoom: panned(zoom, this.lines.extent(), share) });
    return zoom !== null;
  }

  private onKey(action: KeyAction): void {
    const walked = walk(action, {
      places: this.lines.places(),
      cursor: this.cursor?.at ?? null,
      range: this.range(),
      extent: this.lines.extent(),
    });
    if ('zoom' in walked) {
      choose(this.page, walked);
      return;
    }
    this.moveCursor(walked.cursor);
    this.spoken = this.sentence(this.page.state);
  }

  private range(): Range {
    const { zoom, logarithmicX } = this.page.state.choices;
    const { from, to } = zoom ?? this.lines.extent();
    return { from: logarithmicX ? Math.max(from, firstAbove0(this.lines.places())) : from, to };
  }

  /** The cursor moves at once; the legend follows with the next frame. */
  private moveCursor(at: number | null): void {
    const { axis, quantity } = this.page.state.choices;
    const isSame = at === (this.cursor?.at ?? null);
    this.cursor = at === null ? null : { at, place: `${axis} ${quantity}` };
    this.plot?.plot.moveCursor(this.lines, at);
    if (!isSame) this.page.change({});
  }

  /** The value at the cursor, or the last one without a cursor. */
  private valueAt(dir: string): number {
    if (this.cursor) return this.lines.at(dir, this.cursor.at);
    return this.lines.of(dir).ys.at(-1) ?? NaN;
  }

  private placeText({ choices: { axis } }: OverlayState): string {
    const { t, format } = this.page;
    return this.cursor ? t(`at.${axis}`, axisValue(format, axis, this.cursor.at)) : '';
  }

  private description(state: OverlayState): string {
    const { t } = this.page;
    const name = t(`quantity.${state.choices.quantity}`);
    const text = `${this.sentence(state)}. ${t('chart.keys')}`;
    return t('chart.label', name, shownRuns(state).length, text);
  }

  /** The values at the cursor as one sentence. */
  private sentence(state: OverlayState): string {
    const { t, format } = this.page;
    const formatValue = formatOf(state.choices.quantity);
    const values = shownRuns(state).map((run) =>
      t('chart.value', run.name, formatValue(format, this.valueAt(run.dir))),
    );
    return [...(this.cursor ? [this.placeText(state)] : []), ...values].join(', ');
  }

  private save(): void {
    const { state, post } = this.page;
    const name = `${state.title}-${state.choices.quantity}`;
    if (this.plot) post({ kind: 'savePicture', name, url: this.plot.plot.picture() });
  }
}
