import { el, setText, show } from '../../shared/dom';
import { MAX_SMOOTHING } from '../model/choices';
import { CHARTS, Lines, scoreChart, type ChartSpec } from '../model/chartSpecs';
import type { Range } from '../model/decimate';
import type { Model } from '../model/model';
import { clipped, nearestStep, stepAway, zoomed } from '../model/zoom';
import type { Context, Section } from '../section';
import { ChartCard } from './card';
import type { KeyAction } from './gestures';
import { Paced } from './paced';
import { onThemeChange, readTheme } from '../../shared/theme';

/** New values are drawn this often at most, so that the page stays smooth however fast they come. */
const DRAW_INTERVAL_MS = 100;
/** Tables are read, not watched. */
const TABLE_INTERVAL_MS = 1000;

/** All charts: one range of steps, one cursor, one smoothing. */
export class ChartBoard implements Section {
  readonly root: HTMLElement;
  private readonly lines = new Lines();
  private cards: readonly ChartCard[];
  private readonly grid: HTMLElement;
  private readonly spoken = el('p', { class: 'sr-only', 'aria-live': 'polite' });
  private readonly slider: HTMLInputElement;
  private readonly sliderValue = el('output', { for: 'smoothing' });
  private readonly zoomText = el('span', { class: 'zoom-text' });
  private readonly zoomReset: HTMLElement;
  private model: Model | undefined;
  private cursor: number | null = null;
  private readonly draw = new Paced(() => this.drawNow());
  private readonly drawTables = new Paced(() => this.drawTablesNow());

  constructor(private readonly context: Context) {
    const { t } = context;
    this.cards = CHARTS.map((spec) => this.cardOf(spec));
    this.grid = el('div', { class: 'grid' }, ...this.cards.map((card) => card.root));
    this.slider = el('input', { id: 'smoothing', type: 'range', min: 0, max: MAX_SMOOTHING, step: 0.01, input: () => context.choose({ smoothing: Number(this.slider.value) }) });
    this.zoomReset = el('vscode-button', { appearance: 'secondary', click: () => context.choose({ zoom: null }) }, t('zoom.reset'));
    const toolbar = el('div', { class: 'toolbar' }, el('h2', {}, t('charts')),
      el('label', { class: 'smoothing' }, t('smoothing'), this.slider, this.sliderValue), this.zoomText, this.zoomReset,
      el('vscode-button', { class: 'push', appearance: 'secondary', click: () => context.post({ kind: 'export' }) }, t('exportCsv')));
    this.root = el('section', { class: 'charts', 'aria-label': t('charts') }, toolbar, this.grid, this.spoken);
    this.applyTheme();
    onThemeChange(() => this.applyTheme());
  }

  private cardOf(spec: ChartSpec): ChartCard {
    return new ChartCard(spec, this.context, {
      hover: (step) => this.moveCursor(step === null ? null : nearestStep(this.steps(), step)),
      zoom: (range) => this.context.choose({ zoom: clipped(range, this.lines.extent()) ?? this.model?.choices.zoom ?? null }),
      key: (action, card) => this.onKey(action, card),
      toggleTable: () => this.toggleTable(spec.id),
      resized: () => this.draw.within(0),
    });
  }

  /** Which scores a run has is known from its first evaluation. */
  private addScores(model: Model): void {
    const spec = this.cards.some((card) => card.spec.id === 'score') ? null : scoreChart(model.history);
    if (!spec) return;
    const card = this.cardOf(spec);
    card.applyTheme(readTheme());
    this.cards[0]!.root.after(card.root);
    this.cards = [this.cards[0]!, card, ...this.cards.slice(1)];
  }

  update(model: Model): void {
    this.addScores(model);
    const chosen = model.choices !== this.model?.choices || model.history !== this.model.history;
    this.model = model;
    const { zoom, smoothing } = model.choices;
    if (Number(this.slider.value) !== smoothing) this.slider.value = String(smoothing);
    setText(this.sliderValue, smoothing === 0 ? this.context.t('smoothing.off') : smoothing.toFixed(2));
    show(this.zoomReset, zoom !== null);
    show(this.zoomText, zoom !== null);
    if (zoom) setText(this.zoomText, this.context.t('zoom.range', this.context.format.count(zoom.from), this.context.format.count(zoom.to)));
    this.draw.within(chosen ? 0 : DRAW_INTERVAL_MS);
    if (model.choices.tables.length > 0) this.drawTables.within(chosen ? 0 : TABLE_INTERVAL_MS);
  }

  private drawNow(): void {
    if (!this.model) return;
    const { history, choices } = this.model;
    this.lines.update(history, choices.smoothing);
    for (const card of this.cards) card.draw(this.lines, this.range(), this.cursor, choices.tables.includes(card.spec.id));
  }

  private drawTablesNow(): void {
    const shown = this.model?.choices.tables ?? [];
    for (const card of this.cards) if (shown.includes(card.spec.id)) card.drawTable(this.lines, this.range());
  }

  private range(): Range { return this.model?.choices.zoom ?? this.lines.extent(); }

  private steps(): Float64Array { return this.lines.of('loss').xs; }

  private moveCursor(step: number | null): void {
    if (step === this.cursor) return;
    this.cursor = step;
    for (const card of this.cards) card.moveCursor(this.lines, this.range(), step);
  }

  private toggleTable(id: ChartCard['spec']['id']): void {
    const tables = this.model?.choices.tables ?? [];
    this.context.choose({ tables: tables.includes(id) ? tables.filter((other) => other !== id) : [...tables, id] });
  }

  private onKey(action: KeyAction, card: ChartCard): void {
    const range = this.range();
    const steps = this.steps();
    const at = this.cursor ?? range.to;
    const away = (count: number) => (this.cursor === null ? nearestStep(steps, at) : stepAway(steps, at, count));
    const far = Math.max(1, Math.round((range.to - range.from) / 20));
    const moves: Partial<Record<KeyAction, () => number | null>> = {
      left: () => away(-1), right: () => away(1), farLeft: () => nearestStep(steps, at - far), farRight: () => nearestStep(steps, at + far),
      first: () => nearestStep(steps, range.from), last: () => nearestStep(steps, range.to),
    };
    const move = moves[action];
    if (move) {
      this.moveCursor(move());
      setText(this.spoken, card.words(this.lines, this.cursor));
      return;
    }
    this.context.choose({ zoom: action === 'all' ? null : zoomed(range, this.lines.extent(), at, action === 'zoomIn' ? 0.5 : 2) });
  }

  private applyTheme(): void {
    const theme = readTheme();
    for (const card of this.cards) card.applyTheme(theme);
    this.draw.within(0);
  }
}
