import { el, setAttribute, setText } from '../../shared/dom';
import { gridOf, type Grid, type ModuleRow } from '../model/modules';
import {
  QUANTITIES,
  randomShare,
  scaleOf,
  shownQuantities,
  type Quantity,
  type QuantityId,
} from '../model/quantities';
import { short, type Context, type Part, type View } from '../view';

interface Cell {
  readonly row: ModuleRow;
  readonly root: HTMLElement;
  readonly at: readonly [number, number];
}

/**
 * Layers down, kinds of modules across, a quantity as colour and number in each cell. One cell is
 * in the tab order; arrow keys move.
 */
export function heatMap(context: Context): Part {
  const { t, choose } = context;
  const pick = el('select', {
    id: 'quantity',
    change: (event) =>
      choose({ quantity: (event.target as HTMLSelectElement).value as QuantityId }),
  });
  const about = el('p', { class: 'caption', id: 'map-about' });
  const body = el('div', { class: 'scroll' });
  const legend = el('p', { class: 'legend' });
  const root = el(
    'section',
    { class: 'card map', 'aria-labelledby': 'map-title' },
    el(
      'div',
      { class: 'bar' },
      el('h2', { id: 'map-title' }, t('map')),
      el('label', { for: 'quantity' }, t('map.quantity')),
      pick,
    ),
    about,
    body,
    legend,
    el('p', { class: 'caption' }, t('map.hint')),
  );
  let built: View['data'] | undefined;
  let cells: readonly Cell[] = [];
  let drawn: QuantityId | undefined;
  return {
    root,
    update(view) {
      if (built !== view.data) {
        built = view.data;
        drawn = undefined;
        const grid = gridOf(view.rows);
        pick.replaceChildren(
          ...shownQuantities(view.rows).map(({ id }) =>
            el('option', { value: id }, t(`quantity.${id}`)),
          ),
        );
        cells = build(context, grid, body);
        body.onkeydown = (event) => move(event, cells, context);
      }
      if (drawn !== view.quantity) {
        drawn = view.quantity;
        pick.value = view.quantity;
        paint(context, view, cells, { about, legend });
      }
      mark(view.selected, cells);
    },
  };
}

function build(context: Context, { columns, rows }: Grid, body: HTMLElement): Cell[] {
  const { t, choose } = context;
  const cells: Cell[] = [];
  const cellOf = (row: ModuleRow | null, at: readonly [number, number]) => {
    const root = el(
      'td',
      row
        ? {
            class: 'cell',
            role: 'gridcell',
            tabindex: -1,
            click: () => choose({ selected: row.path }),
          }
        : { class: 'cell absent', role: 'gridcell' },
    );
    if (row) cells.push({ row, root, at });
    return root;
  };
  body.replaceChildren(
    el(
      'table',
      { role: 'grid', 'aria-labelledby': 'map-title', 'aria-describedby': 'map-about' },
      el(
        'thead',
        {},
        el(
          'tr',
          { role: 'row' },
          el('th', { scope: 'col', role: 'columnheader' }, t('map.layer')),
          ...columns.map((kind) => el('th', { scope: 'col', role: 'columnheader' }, kind)),
        ),
      ),
      el(
        'tbody',
        {},
        ...rows.map((row, y) =>
          el(
            'tr',
            { role: 'row' },
            el('th', { scope: 'row', role: 'rowheader' }, row.layer ?? t('map.other')),
            ...row.cells.map((cell, x) => cellOf(cell, [x, y])),
          ),
        ),
      ),
    ),
  );
  return cells;
}

function paint(
  context: Context,
  { rows, quantity: id }: View,
  cells: readonly Cell[],
  { about, legend }: { readonly about: HTMLElement; readonly legend: HTMLElement },
): void {
  const { t, format } = context;
  const quantity = QUANTITIES.find((own) => own.id === id)!;
  const scale = scaleOf(quantity, rows);
  for (const { row, root } of cells) {
    const value = quantity.of(row);
    setText(root, textOf(context, row, quantity));
    setAttribute(
      root,
      'aria-label',
      t(
        'map.cell',
        row.path,
        t(`quantity.${id}`),
        value === null ? t('map.absent') : short(format, value),
      ),
    );
    setAttribute(root, 'title', root.getAttribute('aria-label'));
    setAttribute(root, 'data-level', value === null ? null : String(scale.level(value)));
  }
  const random = randomShare(id, rows);
  setText(about, t(quantity.about, ...(random === null ? [] : [format.digits(random, 2)])));
  const levels = scale.from < 0 ? [-8, -4, 0, 4, 8] : [0, 2, 4, 6, 8];
  legend.replaceChildren(
    el('span', {}, short(format, scale.from)),
    ...levels.map((level) =>
      el('span', { class: 'cell swatch', 'data-level': level, 'aria-hidden': 'true' }),
    ),
    el('span', {}, short(format, scale.to)),
  );
  setAttribute(
    legend,
    'aria-label',
    t('map.scale', short(format, scale.from), short(format, scale.to)),
  );
  setAttribute(legend, 'role', 'img');
}

/** Of a rank also what was paid for. */
function textOf({ t, format }: Context, row: ModuleRow, { id, of }: Quantity): string {
  const value = of(row);
  if (value === null) return t('none');
  const paid = id === 'used_a' ? row.a?.r : id === 'used_b' ? row.b?.r : undefined;
  return paid === undefined ? short(format, value) : `${short(format, value)} / ${paid}`;
}

function mark(selected: string, cells: readonly Cell[]): void {
  const own = cells.find(({ row }) => row.path === selected) ?? cells[0];
  for (const cell of cells) {
    setAttribute(cell.root, 'aria-selected', String(cell === own));
    setAttribute(cell.root, 'tabindex', cell === own ? '0' : '-1');
  }
}

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** To the nearest cell in that direction; Home and End to the ends of the row. */
function move(event: KeyboardEvent, cells: readonly Cell[], { choose }: Context): void {
  const from = cells.find(({ root }) => root === event.target);
  const to = from && targetOf(event.key, from, cells);
  if (!to) return;
  event.preventDefault();
  to.root.focus();
  choose({ selected: to.row.path });
}

function targetOf(key: string, { at: [x, y] }: Cell, cells: readonly Cell[]): Cell | undefined {
  const inRow = cells.filter((cell) => cell.at[1] === y);
  if (key === 'Home') return inRow[0];
  if (key === 'End') return inRow.at(-1);
  const step = STEPS[key];
  if (!step) return undefined;
  const ahead = cells.filter(({ at }) =>
    step[0] === 0
      ? at[0] === x && (at[1] - y) * step[1] > 0
      : at[1] === y && (at[0] - x) * step[0] > 0,
  );
  const far = ({ at }: Cell) => Math.abs(at[0] - x) + Math.abs(at[1] - y);
  return ahead.reduce<Cell | undefined>(
    (best, cell) => (best && far(best) <= far(cell) ? best : cell),
    undefined,
  );
}
