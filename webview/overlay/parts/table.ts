import { el } from '../../shared/dom';
import { byRank, rowOf, type RunRow } from '../model/rows';
import type { Context, Part } from '../view';

export const COLUMNS = [
  'run',
  'r',
  'parameters',
  'validation',
  'at',
  'loss',
  'time',
  'speed',
  'memory',
  'state',
] as const;

/** A row's cells behind its name. */
export const cellsOf = (row: RunRow, { t, format }: Context): string[] => [
  format.count(row.r),
  format.count(row.parameters),
  format.value(row.validation),
  format.count(row.at),
  format.value(row.loss),
  format.duration(row.time),
  format.speed(row.speed),
  format.bytes(row.memory),
  t(`state.${row.state}`),
];

/** The runs in numbers; a name opens its dashboard. */
export function table(context: Context): Part {
  const { t } = context;
  const body = el('tbody');
  let drawn = '';
  return {
    root: el(
      'section',
      { class: 'card runs', 'aria-labelledby': 'table-title' },
      el('h2', { id: 'table-title' }, t('table')),
      el(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-labelledby': 'table-title' },
        el(
          'table',
          {},
          el(
            'thead',
            {},
            el(
              'tr',
              {},
              ...COLUMNS.map((column) => el('th', { scope: 'col' }, t(`column.${column}`))),
            ),
          ),
          body,
        ),
      ),
    ),
    update({ runs, sweep }) {
      const rows = sweep ? runs.map(rowOf).sort(byRank) : runs.map(rowOf);
      const cells = rows.map((row) => [row.dir, row.name, ...cellsOf(row, context)]);
      const now = JSON.stringify(cells);
      if (now === drawn) return;
      drawn = now;
      const focused = (document.activeElement as HTMLElement | null)?.dataset['dir'];
      body.replaceChildren(
        ...cells.map(([dir, name, ...others]) => lineOf(context, dir!, name!, others)),
      );
      if (focused !== undefined)
        [...body.querySelectorAll('button')]
          .find((button) => button.dataset['dir'] === focused)
          ?.focus();
    },
  };
}

const lineOf = (
  { post }: Context,
  dir: string,
  name: string,
  cells: readonly string[],
): HTMLElement =>
  el(
    'tr',
    {},
    el(
      'th',
      { scope: 'row' },
      el(
        'button',
        {
          type: 'button',
          class: 'link',
          'data-dir': dir,
          click: () => post({ kind: 'open', dir }),
        },
        name,
      ),
    ),
    ...cells.map((cell) => el('td', {}, cell)),
  );
