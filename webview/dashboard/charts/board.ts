import { RunHistory } from '../../../src/shared/runHistory';
import { el, setText } from '../../shared/dom';
import { RUN_CHARTS, scoreChart, type ChartSpec } from '../model/chartSpecs';
import type { Range } from '../../shared/charts/decimate';
import type { Model } from '../model/model';
import { marksOf } from '../model/summary';
import { axisBar, type AxisBar } from '../../shared/charts/axisBar';
import type { KeyAction } from '../../shared/charts/gestures';
import { Paced } from '../../shared/paced';
import { RunLines } from '../../shared/charts/runLines';
import { walk } from '../../shared/charts/walk';
import { clipped, nearest, panned, zoomed } from '../../shared/charts/zoom';
import type { Context, Section } from '../section';
import { summaryMarkdown } from '../view/summaryMarkdown';
import { ChartCard, type Drawing } from './card';
import { onThemeChange, readTheme } from '../../shared/theme';

/**
 * New values are drawn this often at most, so that the page stays smooth however fast they come.
 */
const DRAW_INTERVAL_MS = 100;
/** Tables are read, not watched. */
const TABLE_INTERVAL_MS = 1000;

/** All charts: one x axis with its range, one cursor, one smoothing. */
export class ChartBoard implements Section {
  readonly root: HTMLElement;
  private readonly lines = new RunLines(new RunHistory());
  private cards: readonly ChartCard[];
  private readonly grid: HTMLElement;
  private readonly spoken = el('p', { class: 'sr-only', 'aria-live': 'polite' });
  private readonly bar: AxisBar;
  private model: Model | undefined;
  private cursor: number | null = null;
  private readonly draw = new Paced(() => this.drawNow());
  private readonly drawTables = new Paced(() => this.drawTablesNow());

  constructor(private readonly context: Context) {
    const { t } = context;
    this.cards = RUN_CHARTS.map((spec) => this.cardOf(spec));
    this.grid = el('div', { class: 'grid' }, ...this.cards.map((card) => card.root));
    this.bar = axisBar(context);
    const toolbar = el(
      'div',
      { class: 'toolbar' },
      el('h2', {}, t('charts')),
      ...this.bar.parts,
      el(
        'span',
        { class: 'push actions' },
        el(
          'vscode-button',
          {
            appearance: 'secondary',
            click: () => {
              if (this.model)
                context.post({ kind: 'copyText', text: summaryMarkdown(this.model, context) });
            },
          },
          t('copyMarkdown'),
        ),
        el(
          'vscode-button',
          { appearance: 'secondary', click: () => context.post({ kind: 'export' }) },
          t('exportCsv'),
        ),
      ),
    );
    this.root = el(
      'section',
      { class: 'charts', 'aria-label': t('charts') },
      toolbar,
      this.grid,
      this.spoken,
    );
    this.applyTheme();
    onThemeChange(() => this.applyTheme());
  }

  private cardOf(spec: ChartSpec): ChartCard {
    return new ChartCard(spec, this.context, {
      hover: (step) => this.moveCursor(step === null ? null : nearest(this.places(), step)),
      zoom: (range) =>
        this.context.choose({
          zoom: clipped(range, this.lines.extent()) ?? this.context.chosen().zoom,
        }),
      zoomAt: (x, factor) =>
        this.context.choose({ zoom: zoomed(this.range(), this.lines.extent(), x, factor) }),
      pan: (share) => this.pan(share),
      key: (action, card) => this.onKey(action, card),
      toggleTable: () => this.toggleTable(spec.id),
      resized: () => this.draw.within(0),
    });
  }

  /** Which scores a run has is known from its first evaluation. */
  private addScores(model: Model): void {
    const spec = this.cards.some((card) => card.spec.id === 'score')
      ? null
      : scoreChart(model.history);
    if (!spec) return;
    const card = this.cardOf(spec);
    card.applyTheme(readTheme());
    this.cards[0]!.root.after(card.root);
    this.cards = [this.cards[0]!, card, ...this.cards.slice(1)];
  }

  update(model: Model): void {
    this.addScores(model);
    if (model.choices.axis !== this.model?.choices.axis) this.cursor = null;
    const chosen = model.choices !== this.model?.choices || model.history !== this.model.history;
    this.model = model;
    this.bar.update(model.choices);
    this.draw.within(chosen ? 0 : DRAW_INTERVAL_MS);
    if (model.choices.tables.length > 0) this.drawTables.within(chosen ? 0 : TABLE_INTERVAL_MS);
  }

  private drawNow(): void {
    if (!this.model) return;
    const { history, choices } = this.model;
    this.lines.update(history, choices.smoothing, choices.axis);
    if (this.cursor !== null) this.cursor = nearest(this.places(), this.cursor);
    for (const card of this.cards)
      card.draw(
        this.lines,
        this.drawing(choices),
        this.cursor,
        choices.tables.includes(card.spec.id),
      );
  }

  private drawTablesNow(): void {
    const shown = this.model?.choices.tables ?? [];
    for (const card of this.cards)
      if (shown.includes(card.spec.id))
        card.drawTable(this.lines, this.drawing(this.model!.choices));
  }

  private range(): Range {
    return this.context.chosen().zoom ?? this.lines.extent();
  }

  private drawing({ axis, logarithmic }: Model['choices']): Drawing {
    return {
      range: this.range(),
      axis,
      logarithmic,
      marks: marksOf(this.model!.history).map(({ step, kind }) => ({
        kind,
        x: this.lines.placeOf(step),
      })),
    };
  }

  private pan(share: number): boolean {
    const { zoom } = this.context.chosen();
    if (!zoom) return false;
    this.context.choose({ zoom: panned(zoom, this.lines.extent(), share) });
    return true;
  }

  private places(): Float64Array {
    return this.lines.of('loss').xs;
  }

  private moveCursor(step: number | null): void {
    if (step === this.cursor) return;
    this.cursor = step;
    for (const card of this.cards) card.moveCursor(this.lines, this.range(), step);
  }

  private toggleTable(id: ChartCard['spec']['id']): void {
    const { tables } = this.context.chosen();
    this.context.choose({
      tables: tables.includes(id) ? tables.filter((other) => other !== id) : [...tables, id],
    });
  }

  private onKey(action: KeyAction, card: ChartCard): void {
    const walked = walk(action, {
      places: this.places(),
      cursor: this.cursor,
      range: this.range(),
      extent: this.lines.extent(),
    });
    if ('zoom' in walked) {
      this.context.choose(walked);
      return;
    }
    this.moveCursor(walked.cursor);
    setText(this.spoken, card.words(this.lines, this.cursor));
  }

  private applyTheme(): void {
    const theme = readTheme();
    for (const card of this.cards) card.applyTheme(theme);
    this.draw.within(0);
  }
}
