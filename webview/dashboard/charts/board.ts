import type { TemplateResult } from 'lit-html';
import { bestMetricOf } from '../../../src/shared/bestMetric';
import { RunHistory } from '../../../src/shared/runHistory';
import { axisBar } from '../../shared/charts/axisBar';
import type { Range } from '../../shared/charts/decimate';
import type { KeyAction } from '../../shared/charts/gestures';
import { RunLines } from '../../shared/charts/runLines';
import { walk } from '../../shared/charts/walk';
import { html } from '../../shared/html';
import { clipped, firstAbove0, nearest, panned, zoomed } from '../../shared/charts/zoom';
import { Paced } from '../../shared/paced';
import { secondaryButton } from '../../shared/templates';
import { onThemeChange, readTheme } from '../../shared/theme';
import {
  comparedCharts,
  generalChart,
  isOnTop,
  RUN_CHARTS,
  scoreChart,
  type ChartSpec,
} from '../model/chartSpecs';
import { runMarks } from '../model/summary';
import { choose } from '../../shared/page';
import {
  hasEnded,
  isEmptyEnd,
  totalSteps,
  type DashboardPage,
  type DashboardState,
} from '../state';
import { ChartCard, type CardShape, type Drawing } from './card';

/** Least time between two drawings of new values, in ms: it keeps the page smooth. */
const DRAW_INTERVAL = 100;
/** The same for tables, which are read rather than watched. */
const TABLE_INTERVAL = 1000;

/** The last step of a run that continues; 0 if it has ended or is not known. */
const plannedSteps = (state: DashboardState): number =>
  hasEnded(state) ? 0 : (totalSteps(state) ?? 0);

/** All charts of a run, with one x axis, one cursor and one smoothing. */
export class ChartBoard {
  private readonly lines = new RunLines(new RunHistory());
  private cards: readonly ChartCard[];
  private readonly spoken = document.createElement('p');
  private cursor: number | null = null;
  private readonly drawing = new Paced(() => this.draw());
  private readonly tables = new Paced(() => this.drawTables());
  /** Choices and values that were drawn last. */
  private drawn = { choices: '', values: '' };
  private axis = '';
  private runDir = '';
  /** The outline that was drawn last. */
  private outline: RunHistory | undefined;

  /** `markdown` gives the text that the copy button copies. */
  constructor(
    private readonly page: DashboardPage,
    private readonly markdown: (state: DashboardState) => string,
  ) {
    this.cards = RUN_CHARTS.map((spec) => this.newCard(spec));
    this.spoken.className = 'sr-only';
    this.spoken.setAttribute('aria-live', 'polite');
    onThemeChange(() => {
      const theme = readTheme();
      for (const card of this.cards) card.applyTheme(theme);
      this.drawing.within(0);
    });
  }

  /** `samples`: what stands under the losses and the pinned charts. */
  view(state: DashboardState, samples: unknown): TemplateResult {
    const { t, post } = this.page;
    if (state.choices.runDir !== this.runDir) this.beginRun(state.choices.runDir);
    this.addScores(state);
    this.addCompared(state);
    this.drawIfChanged(state);
    const { pinned } = state.choices;
    const isFirst = ({ spec }: ChartCard) => isOnTop(spec) || pinned.includes(spec.id);
    const [top, others] = [this.cards.filter(isFirst), this.cards.filter((c) => !isFirst(c))];
    const copy = () => post({ kind: 'copyText', text: this.markdown(this.page.state) });
    return html`<section class="charts" aria-label=${t('charts')} ?hidden=${isEmptyEnd(state)}>
      <div class="toolbar">
        <h2>${t('charts')}</h2>
        ${axisBar(this.page, state.choices, (choice) => choose(this.page, choice))}
        <span class="push actions">
          ${secondaryButton(t('copyMarkdown'), copy)}
          ${secondaryButton(t('exportCsv'), () => post({ kind: 'export' }))}
        </span>
      </div>
      <div class="grid">${top.map((card) => card.root)}</div>
      ${samples}
      <div class="grid">${others.map((card) => card.root)}</div>
      ${this.spoken}
    </section>`;
  }

  private newCard(spec: ChartSpec): ChartCard {
    return new ChartCard(spec, this.page, {
      hover: (x) => this.moveCursor(x === null ? null : nearest(this.places(), x)),
      zoom: (range) => {
        const zoom = clipped(range, this.extent());
        if (zoom) choose(this.page, { zoom });
      },
      zoomAt: (x, factor) =>
        choose(this.page, { zoom: zoomed(this.range(), this.extent(), x, factor) }),
      pan: (share) => this.pan(share),
      key: (action, card) => this.onKey(action, card),
      toggleTable: () => this.toggle('tables', spec.id),
      togglePin: () => this.toggle('pinned', spec.id),
      resized: () => this.drawing.within(0),
    });
  }

  /** Another run may have other scores. */
  private beginRun(runDir: string): void {
    this.runDir = runDir;
    this.cursor = null;
    this.drawn = { choices: '', values: '' };
    const own = this.cards.filter(({ spec }) => !RUN_CHARTS.includes(spec));
    this.cards = this.cards.filter((card) => !own.includes(card));
    for (const card of own) card.dispose();
  }

  /** Which scores a run has is known from its first evaluation. */
  private addScores({ history }: DashboardState): void {
    const missing = [generalChart(history), scoreChart(history)].filter(
      (spec) => spec !== null && !this.cards.some((card) => card.spec.id === spec.id),
    );
    if (missing.length === 0) return;
    const [loss, ...others] = this.cards;
    this.cards = [loss!, ...missing.map((spec) => this.newCard(spec!)), ...others];
  }

  /** Whether a run compares answers is known from its first step. */
  private addCompared({ history }: DashboardState): void {
    const missing = comparedCharts(history).filter(
      ({ id }) => !this.cards.some((card) => card.spec.id === id),
    );
    if (missing.length === 0) return;
    const first = this.cards.filter(({ spec }) => ['loss', 'general', 'score'].includes(spec.id));
    const others = this.cards.filter((card) => !first.includes(card));
    this.cards = [...first, ...missing.map((spec) => this.newCard(spec)), ...others];
  }

  private drawIfChanged(state: DashboardState): void {
    const { history, choices } = state;
    const { zoom, smoothing, axis, logarithmic, logarithmicX, tables, pinned } = choices;
    if (axis !== this.axis) this.cursor = null;
    this.axis = axis;
    this.lines.update(history, smoothing, axis);
    const end = plannedSteps(state);
    const wanted = {
      choices: JSON.stringify([
        zoom,
        smoothing,
        axis,
        logarithmic,
        logarithmicX,
        tables,
        pinned,
        end,
      ]),
      values: this.lines.version,
    };
    const hasChosen = wanted.choices !== this.drawn.choices;
    if (!hasChosen && wanted.values === this.drawn.values) return;
    this.drawn = wanted;
    this.drawing.within(hasChosen ? 0 : DRAW_INTERVAL);
    if (tables.length > 0) this.tables.within(hasChosen ? 0 : TABLE_INTERVAL);
  }

  private draw(): void {
    if (this.cursor !== null) this.cursor = nearest(this.places(), this.cursor);
    for (const card of this.cards)
      card.draw(this.lines, this.look(), this.cursor, this.shape(card.spec.id));
    this.askForAll();
  }

  /** The outline of a run is on screen: then there is time for all its steps. */
  private askForAll(): void {
    const { history } = this.page.state;
    if (!history.isOutline || history === this.outline) return;
    this.outline = history;
    this.page.post({ kind: 'allSteps' });
  }

  private drawTables(): void {
    const { choices, history } = this.page.state;
    if (history.isOutline) return;
    const { tables } = choices;
    for (const card of this.cards)
      if (tables.includes(card.spec.id)) card.drawTable(this.lines, this.look());
  }

  private shape(id: ChartSpec['id']): CardShape {
    const { tables, pinned } = this.page.state.choices;
    return { asTable: tables.includes(id), isPinned: pinned.includes(id) };
  }

  /** The whole x axis: of a run that continues, up to its last step. */
  private extent(): Range {
    const { from, to } = this.lines.extent();
    const { state } = this.page;
    const end = state.choices.axis === 'step' ? plannedSteps(state) : 0;
    return { from, to: Math.max(to, end) };
  }

  private range(): Range {
    const { zoom, logarithmicX } = this.page.state.choices;
    const { from, to } = zoom ?? this.extent();
    return { from: logarithmicX ? Math.max(from, firstAbove0(this.places())) : from, to };
  }

  private look(): Drawing {
    const { choices, history, run } = this.page.state;
    const { axis, logarithmic, logarithmicX } = choices;
    const marks = runMarks(history, bestMetricOf(run)).map(({ step, ...mark }) => ({
      ...mark,
      x: this.lines.placeOf(step),
    }));
    return { range: this.range(), axis, logarithmic, logarithmicX, marks };
  }

  private pan(share: number): boolean {
    const { zoom } = this.page.state.choices;
    if (zoom) choose(this.page, { zoom: panned(zoom, this.extent(), share) });
    return zoom !== null;
  }

  private places(): Float64Array {
    return this.lines.of('loss').xs;
  }

  private moveCursor(at: number | null): void {
    if (at === this.cursor) return;
    this.cursor = at;
    for (const card of this.cards) card.moveCursor(this.lines, this.range(), at);
  }

  private toggle(list: 'tables' | 'pinned', id: ChartSpec['id']): void {
    const ids = this.page.state.choices[list];
    const others = ids.filter((other) => other !== id);
    choose(this.page, { [list]: ids.includes(id) ? others : [...ids, id] });
  }

  private onKey(action: KeyAction, card: ChartCard): void {
    const walked = walk(action, {
      places: this.places(),
      cursor: this.cursor,
      range: this.range(),
      extent: this.extent(),
    });
    if ('zoom' in walked) {
      choose(this.page, walked);
      return;
    }
    this.moveCursor(walked.cursor);
    this.spoken.textContent = card.sentence(this.lines, this.cursor);
  }
}
