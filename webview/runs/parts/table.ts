import { nothing, type TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { live } from 'lit-html/directives/live.js';
import type { TableRow } from '../../../src/shared/pages/runs/protocol';
import { isNumberColumn, type RunColumnId } from '../../../src/shared/runColumns';
import { keepFocus } from '../../shared/keepFocus';
import { choose } from '../../shared/page';
import { nextSorting } from '../../shared/sorting';
import { sortOrder } from '../../shared/templates';
import { bestOf, type TableGroup } from '../model/arrange';
import { cellText, largestFirst } from '../model/cells';
import type { RunsPage, RunsState } from '../state';

/** The runs; a name opens its dashboard. */
export function tableView(
  page: RunsPage,
  state: RunsState,
  groups: readonly TableGroup[],
): TemplateResult {
  const { t } = page;
  const { columns, sorting, group } = state.choices;
  keepFocus(groups.flatMap(({ rows }) => rows.map(({ dir }) => dir)));
  const sort = (column: RunColumnId | 'name') =>
    choose(page, { sorting: nextSorting(sorting, column, largestFirst(column)) });
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('title')}>
    <table class="sortable">
      <thead>
        <tr>
          <th scope="col"><span class="sr-only">${t('selected')}</span></th>
          ${(['name', ...columns] as const).map(
            (id) =>
              html`<th scope="col" class=${kindOf(id)} aria-sort=${sortOrder(id, sorting)}>
                <button type="button" class="sort" @click=${() => sort(id)}>
                  ${t(`column.${id}`)}
                </button>
              </th>`,
          )}
        </tr>
      </thead>
      ${groups.map(
        (own) =>
          html`<tbody>
            ${group === 'none' ? nothing : groupHead(page, own, columns.length + 2)}
            ${own.rows.map((row) => runRow(page, state, row))}
          </tbody>`,
      )}
    </table>
  </div>`;
}

const kindOf = (id: RunColumnId | 'name'): 'number' | 'text' =>
  id !== 'name' && isNumberColumn(id) ? 'number' : 'text';

function groupText({ t, format }: RunsPage, name: string, rows: readonly TableRow[]): string {
  const best = bestOf(rows);
  if (!best) return t('group.head', name, rows.length);
  const value = format.value(best.value);
  return best.metric === 'loss'
    ? t('group.best', name, rows.length, value)
    : t('group.best.score', name, rows.length, best.metric, value);
}

function groupHead(page: RunsPage, { value, rows }: TableGroup, width: number): TemplateResult {
  const name = value === '' ? page.t('group.other') : value;
  return html`<tr class="group">
    <th scope="rowgroup" colspan=${width}>${groupText(page, name, rows)}</th>
  </tr>`;
}

function runRow(page: RunsPage, { selected, choices }: RunsState, row: TableRow): TemplateResult {
  const { t, format, post, change } = page;
  const { dir, name } = row;
  const isSelected = selected.includes(dir);
  const toggle = () =>
    change({ selected: isSelected ? selected.filter((own) => own !== dir) : [...selected, dir] });
  return html`<tr>
    <td>
      <input
        type="checkbox"
        aria-label=${t('select', name)}
        .checked=${live(isSelected)}
        @change=${toggle}
      />
    </td>
    <th scope="row">
      <button
        type="button"
        class="link"
        data-dir=${dir}
        @click=${() => post({ kind: 'open', dir })}
      >
        ${name}
      </button>
    </th>
    ${choices.columns.map((id) => html`<td class=${kindOf(id)}>${cellText(row, id, format)}</td>`)}
  </tr>`;
}
