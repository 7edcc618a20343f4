import { el, setAttribute, setText } from '../../shared/dom';
import type { ModuleRow } from '../model/modules';
import { COLUMNS, shownRows, valueOf, type Column } from '../model/table';
import { orNone, type Context, type Part } from '../view';

/**
 * All modules with their numbers: sorted by any column, filtered by name; a row's button chooses
 * the module.
 */
export function moduleTable(context: Context): Part {
  const { t, format, now, choose } = context;
  const filter = el('input', {
    type: 'search',
    placeholder: t('filter'),
    'aria-label': t('filter'),
    input: (event) => choose({ filter: (event.target as HTMLInputElement).value }),
  });
  const count = el('span', { class: 'caption', role: 'status' });
  const headers = COLUMNS.map((column) => {
    const sort = () => {
      const { sorting } = now();
      choose({
        sorting: {
          column,
          descending: sorting.column === column ? !sorting.descending : column !== 'path',
        },
      });
    };
    return {
      column,
      root: el(
        'th',
        { scope: 'col' },
        el('button', { type: 'button', class: 'sort', click: sort }, t(`column.${column}`)),
      ),
    };
  });
  const body = el('tbody');
  const root = el(
    'section',
    { class: 'card modules', 'aria-labelledby': 'table-title' },
    el('div', { class: 'bar' }, el('h2', { id: 'table-title' }, t('table')), filter, count),
    el(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-labelledby': 'table-title' },
      el('table', {}, el('thead', {}, el('tr', {}, ...headers.map((own) => own.root))), body),
    ),
  );
  let drawn: readonly unknown[] = [];
  let lines: ReadonlyMap<string, HTMLElement> = new Map();
  return {
    root,
    update(view) {
      const wanted = [view.data, view.sorting, view.filter];
      if (wanted.some((own, i) => own !== drawn[i])) {
        drawn = wanted;
        const rows = shownRows(view.rows, view.sorting, view.filter);
        lines = new Map(rows.map((row) => [row.path, lineOf(context, row)]));
        body.replaceChildren(...lines.values());
        for (const { column, root: own } of headers)
          setAttribute(
            own,
            'aria-sort',
            column !== view.sorting.column
              ? null
              : view.sorting.descending
                ? 'descending'
                : 'ascending',
          );
        setText(count, t('table.count', format.count(rows.length), format.count(view.rows.length)));
        if (filter.value !== view.filter) filter.value = view.filter;
      }
      for (const [path, line] of lines)
        setAttribute(line, 'aria-current', path === view.selected ? 'true' : null);
    },
  };
}

function lineOf(context: Context, row: ModuleRow): HTMLElement {
  const rank = [row.a?.r, row.b?.r].map((r) => (r === undefined ? context.t('none') : String(r)));
  const text = (column: Exclude<Column, 'path'>) =>
    column === 'rank' ? rank.join(' | ') : orNone(context, valueOf(row, column));
  return el(
    'tr',
    {},
    el(
      'th',
      { scope: 'row' },
      el(
        'button',
        { type: 'button', class: 'link', click: () => context.choose({ selected: row.path }) },
        row.path,
      ),
    ),
    ...COLUMNS.filter((column) => column !== 'path').map((column) => el('td', {}, text(column))),
  );
}
