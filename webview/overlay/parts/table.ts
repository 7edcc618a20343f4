import type { TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { keepFocus } from '../../shared/keepFocus';
import { choose } from '../../shared/page';
import { nextSorting } from '../../shared/sorting';
import { sortHead } from '../../shared/templates';
import { overlayColumns, sortingOf, sortRows, type OverlayColumn } from '../model/columns';
import type { OverlayRow } from '../model/rows';
import type { OverlayPage, OverlayState } from '../state';

/** The runs in numbers; a name opens its dashboard, a head sorts by its column. */
export function tableView(
  page: OverlayPage,
  { sweep, choices }: OverlayState,
  rows: readonly OverlayRow[],
): TemplateResult {
  const { t } = page;
  const keys = sweep?.keys ?? null;
  const columns = overlayColumns(page, keys, rows);
  const sorting = sortingOf(choices.sorting, keys);
  const sorted = sortRows(rows, columns, sorting);
  const sort = (column: string) => choose(page, { sorting: nextSorting(sorting, column, false) });
  keepFocus(sorted.map(({ dir }) => dir));
  return html`<section class="card runs" aria-labelledby="table-title">
    <h2 id="table-title">${t('table')}</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="table-title">
      <table class="sortable">
        <thead>
          <tr>
            ${[{ id: 'run', label: t('column.run') }, ...columns].map(({ id, label }) =>
              sortHead(id, label, sorting, sort),
            )}
          </tr>
        </thead>
        <tbody>
          ${sorted.map((row) => runRow(page, columns, row))}
        </tbody>
      </table>
    </div>
  </section>`;
}

function runRow(
  page: OverlayPage,
  columns: readonly OverlayColumn[],
  row: OverlayRow,
): TemplateResult {
  const { dir, name } = row;
  const open = () => page.post({ kind: 'open', dir });
  const isBest = page.state.sweep !== null && row.place === 1;
  return html`<tr class=${isBest ? 'best' : ''}>
    <th scope="row">
      <button type="button" class="link" data-dir=${dir} @click=${open}>${name}</button>
    </th>
    ${columns.map(({ id, cell }) => html`<td class=${id.replaceAll('.', '-')}>${cell(row)}</td>`)}
  </tr>`;
}
