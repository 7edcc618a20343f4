import {
  asInspectHostMessage,
  type InspectHostMessage,
  type TensorRow,
  type Values,
} from '../../src/shared/pages/inspect/protocol';
import type { InspectStringKey, InspectStrings } from '../../src/shared/pages/inspect/strings';
import { fill } from '../../src/shared/fill';
import { sparkline } from '../../src/shared/sparkline';
import { el, setAttribute, setText, show } from '../shared/dom';
import { Formatter } from '../shared/format';
import { COLUMNS, numbersOf, shownTensors, type Column, type Sorting } from './tensors';
import { vscode } from './vscodeApi';

type FileMessage = Extract<InspectHostMessage, { kind: 'file' }>;

/** More rows at once make a page slow; the filter finds the others. */
const MOST_ROWS = 2_000;

/** What a file of tensors holds: metadata, tensors, and the values of the one that is chosen. */
export class Page {
  private readonly format: Formatter;
  private file: FileMessage | undefined;
  private sorting: Sorting = { column: null, descending: false };
  private filter = '';
  private chosen: string | undefined;
  private readonly body = el('tbody');
  private readonly count = el('span', { class: 'hint', role: 'status' });
  private readonly more = el('p', { class: 'hint' });
  private readonly values = el('div', { class: 'values', 'aria-live': 'polite' });
  private readonly heads: readonly { readonly column: Column; readonly root: HTMLElement }[];

  constructor(
    private readonly root: HTMLElement,
    private readonly strings: InspectStrings,
  ) {
    this.format = new Formatter(document.documentElement.lang, strings.none);
    this.heads = COLUMNS.map((column) => ({
      column,
      root: el(
        'th',
        { scope: 'col' },
        el(
          'button',
          { type: 'button', class: 'sort', click: () => this.sort(column) },
          strings[`column.${column}`],
        ),
      ),
    }));
  }

  receive(data: unknown): void {
    const message = asInspectHostMessage(data);
    switch (message?.kind) {
      case 'file':
        this.show(message);
        break;
      case 'values':
        if (message.tensor === this.chosen) this.showValues(message.values);
        break;
      case 'noValues':
        if (message.tensor === this.chosen) this.values.replaceChildren(el('p', {}, message.why));
        break;
      case 'fault':
        this.root.replaceChildren(
          el(
            'div',
            { class: 'failed', role: 'alert' },
            el('h1', {}, this.strings.fault),
            el('p', {}, message.message),
          ),
        );
        break;
      default:
        vscode.postMessage({
          kind: 'trouble',
          message: 'A message of the host was not understood.',
        });
    }
    if (message?.kind === 'file' || message?.kind === 'fault')
      this.root.removeAttribute('aria-busy');
  }

  private t(key: InspectStringKey, ...values: readonly (string | number)[]): string {
    return fill(this.strings[key], values);
  }

  private show(file: FileMessage): void {
    this.file = file;
    const { format } = this;
    const numbers = file.tensors.reduce((sum, tensor) => sum + numbersOf(tensor), 0);
    const filter = el('input', {
      type: 'search',
      value: this.filter,
      placeholder: this.t('filter'),
      'aria-label': this.t('filter'),
      input: () => {
        this.filter = filter.value;
        this.draw();
      },
    });
    this.root.replaceChildren(
      el(
        'header',
        {},
        el('h1', {}, file.name),
        el(
          'p',
          { class: 'hint' },
          this.t(
            'summary',
            file.format,
            format.count(file.tensors.length),
            format.compact(numbers),
            format.bytes(file.bytes),
          ),
        ),
      ),
      ...(file.metadata.length === 0 ? [] : [this.metadata(file)]),
      el(
        'div',
        { class: 'columns' },
        el(
          'section',
          { class: 'tensors', 'aria-labelledby': 'tensors-title' },
          el(
            'div',
            { class: 'bar' },
            el('h2', { id: 'tensors-title' }, this.t('tensors')),
            this.count,
            filter,
          ),
          el(
            'div',
            { class: 'scroll', tabindex: 0, role: 'region', 'aria-labelledby': 'tensors-title' },
            el(
              'table',
              {},
              el('thead', {}, el('tr', {}, ...this.heads.map(({ root }) => root))),
              this.body,
            ),
          ),
          this.more,
        ),
        el(
          'section',
          { class: 'card', 'aria-labelledby': 'values-title' },
          el('h2', { id: 'values-title' }, this.t('values', this.strings.none)),
          this.values,
        ),
      ),
    );
    if (!file.tensors.some(({ name }) => name === this.chosen)) this.chosen = undefined;
    this.draw();
    this.choose(this.chosen);
  }

  private metadata({ metadata }: FileMessage): HTMLElement {
    return el(
      'details',
      { open: metadata.length <= 6 },
      el('summary', {}, this.t('metadata', metadata.length)),
      el(
        'table',
        { class: 'metadata' },
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            el('th', { scope: 'col' }, this.t('key')),
            el('th', { scope: 'col' }, this.t('value')),
          ),
        ),
        el(
          'tbody',
          {},
          ...metadata.map(({ key, value }) =>
            el('tr', {}, el('th', { scope: 'row' }, key), el('td', {}, value)),
          ),
        ),
      ),
    );
  }

  private sort(column: Column): void {
    const same = this.sorting.column === column;
    this.sorting = {
      column,
      descending: same ? !this.sorting.descending : column === 'numbers' || column === 'bytes',
    };
    this.draw();
  }

  private draw(): void {
    const { tensors } = this.file!;
    const rows = shownTensors(tensors, this.sorting, this.filter);
    this.body.replaceChildren(...rows.slice(0, MOST_ROWS).map((tensor) => this.row(tensor)));
    for (const { column, root } of this.heads)
      setAttribute(
        root,
        'aria-sort',
        column !== this.sorting.column
          ? null
          : this.sorting.descending
            ? 'descending'
            : 'ascending',
      );
    setText(
      this.count,
      this.t('count', this.format.count(rows.length), this.format.count(tensors.length)),
    );
    show(this.more, rows.length > MOST_ROWS);
    setText(this.more, this.t('more', this.format.count(MOST_ROWS)));
    this.mark();
  }

  private row(tensor: TensorRow): HTMLElement {
    const { format } = this;
    const cells = [
      tensor.dtype,
      tensor.shape.length === 0 ? '1' : tensor.shape.join(' × '),
      format.count(numbersOf(tensor)),
      format.bytes(tensor.bytes),
    ];
    return el(
      'tr',
      { 'data-name': tensor.name },
      el(
        'th',
        { scope: 'row' },
        el(
          'button',
          { type: 'button', class: 'link', click: () => this.choose(tensor.name) },
          tensor.name,
        ),
      ),
      ...cells.map((cell) => el('td', {}, cell)),
    );
  }

  private choose(name: string | undefined): void {
    this.chosen = name;
    this.mark();
    setText(document.querySelector('#values-title')!, this.t('values', name ?? this.strings.none));
    this.values.replaceChildren(
      el('p', { class: 'hint' }, this.t(name === undefined ? 'choose' : 'measuring')),
    );
    if (name !== undefined) vscode.postMessage({ kind: 'measure', tensor: name });
  }

  private mark(): void {
    for (const row of this.body.children)
      setAttribute(
        row,
        'aria-current',
        row.getAttribute('data-name') === this.chosen ? 'true' : null,
      );
  }

  private showValues(values: Values): void {
    const { format } = this;
    const shares = (part: number) =>
      `${format.count(part)} (${format.percent(part / Math.max(1, values.count))})`;
    const facts: readonly (readonly [InspectStringKey, string])[] = [
      ['min', format.value(values.min)],
      ['max', format.value(values.max)],
      ['mean', format.value(values.mean)],
      ['deviation', format.value(values.deviation)],
      ['norm', format.value(values.norm)],
      ['zeros', shares(values.zeros)],
      ['notNumbers', shares(values.notNumbers)],
    ];
    const most = values.histogram.indexOf(Math.max(...values.histogram));
    const middle =
      values.min +
      ((most + 0.5) * (values.max - values.min)) / Math.max(1, values.histogram.length);
    this.values.replaceChildren(
      el(
        'dl',
        {},
        ...facts.flatMap(([key, value]) => [el('dt', {}, this.t(key)), el('dd', {}, value)]),
      ),
      ...(values.histogram.length === 0
        ? []
        : [
            el('h3', {}, this.t('histogram')),
            el(
              'p',
              {
                class: 'histogram',
                role: 'img',
                'aria-label': this.t(
                  'histogram.alt',
                  format.value(values.min),
                  format.value(values.max),
                  format.value(middle),
                ),
              },
              sparkline(values.histogram, values.histogram.length),
            ),
            el(
              'p',
              { class: 'ends', 'aria-hidden': 'true' },
              el('span', {}, format.value(values.min)),
              el('span', {}, format.value(values.max)),
            ),
          ]),
    );
  }
}
