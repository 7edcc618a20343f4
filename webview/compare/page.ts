import {
  asCompareHostMessage,
  asComparePageState,
  type CompareHostMessage,
  type ComparePageState,
} from '../../src/shared/pages/compare/protocol';
import type { CompareStrings } from '../../src/shared/pages/compare/strings';
import { fill } from '../../src/shared/fill';
import { el } from '../shared/dom';
import { Formatter } from '../shared/format';
import { moduleRows } from './model/modules';
import { QUANTITY_IDS, shownQuantities, type QuantityId } from './model/quantities';
import { COLUMNS, type Column } from './model/table';
import { heatMap } from './parts/heatMap';
import { moduleTable } from './parts/moduleTable';
import { spectrum } from './parts/spectrum';
import { summary } from './parts/summary';
import { vscode } from './vscodeApi';
import type { Choice, Context, Part, View } from './view';

/** Takes the host's message in, keeps the user's choices, draws at most once a frame. */
export class Page {
  private view: View | undefined;
  private parts: readonly Part[] = [];
  private frame: number | undefined;
  private readonly context: Context;

  constructor(
    private readonly root: HTMLElement,
    private readonly strings: CompareStrings,
    private readonly pair: readonly [string, string],
  ) {
    this.context = {
      format: new Formatter(document.documentElement.lang, strings.none),
      t: (key, ...values) => fill(strings[key], values),
      now: () => this.view!,
      choose: (choice) => this.choose(choice),
      openDiff: () => vscode.postMessage({ kind: 'openDiff' }),
      tryBoth: () => vscode.postMessage({ kind: 'try' }),
      overlayCurves: () => vscode.postMessage({ kind: 'curves' }),
    };
    this.keep({});
  }

  receive(data: unknown): void {
    const message = asCompareHostMessage(data);
    if (!message)
      vscode.postMessage({ kind: 'trouble', message: 'A message of the host was not understood.' });
    else if (message.kind === 'failed') this.fail(message.message);
    else this.show(message);
  }

  private fail(message: string): void {
    this.parts = [];
    this.root.replaceChildren(
      el('p', { class: 'failed', role: 'alert' }, `${this.strings.failed}: ${message}`),
    );
    this.root.removeAttribute('aria-busy');
  }

  private show({
    names,
    curves,
    comparison,
  }: Extract<CompareHostMessage, { kind: 'comparison' }>): void {
    const rows = moduleRows(comparison);
    const kept = this.kept();
    const shown = shownQuantities(rows).map(({ id }) => id);
    const wanted = QUANTITY_IDS.find((id) => id === kept?.quantity);
    const column = COLUMNS.find((own) => own === kept?.sort) ?? 'path';
    this.view = {
      names,
      curves,
      data: comparison,
      rows,
      quantity: wanted && shown.includes(wanted) ? wanted : firstOf(shown),
      selected: rows.find(({ path }) => path === kept?.selected)?.path ?? rows[0]?.path ?? '',
      sorting: { column: column satisfies Column, descending: kept?.descending ?? false },
      filter: kept?.filter ?? '',
    };
    this.draw();
  }

  private choose(choice: Choice): void {
    if (!this.view) return;
    this.view = { ...this.view, ...choice };
    const { quantity, selected, sorting, filter } = this.view;
    this.keep({ quantity, selected, sort: sorting.column, descending: sorting.descending, filter });
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.frame = undefined;
    if (!this.view) return;
    if (this.parts.length === 0) {
      const [top, map, lines, table] = [
        summary(this.context),
        heatMap(this.context),
        spectrum(this.context),
        moduleTable(this.context),
      ];
      this.parts = [top, map, lines, table];
      this.root.replaceChildren(
        top.root,
        el('div', { class: 'pair' }, map.root, lines.root),
        table.root,
      );
      this.root.removeAttribute('aria-busy');
    }
    for (const part of this.parts) part.update(this.view);
  }

  private kept(): ComparePageState | undefined {
    const state = asComparePageState(vscode.getState());
    return state?.a === this.pair[0] && state.b === this.pair[1] ? state : undefined;
  }

  private keep(change: Omit<Partial<ComparePageState>, 'a' | 'b'>): void {
    vscode.setState({ ...this.kept(), ...change, a: this.pair[0], b: this.pair[1] });
  }
}

/** What the first adapter does, unless it does nothing. */
const firstOf = (shown: readonly QuantityId[]): QuantityId => shown[0] ?? 'norm_a';
