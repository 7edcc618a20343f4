import { nothing, type TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { html } from '../../shared/html';
import { nextSorting } from '../../shared/sorting';
import { searchField, sortHead } from '../../shared/templates';
import type { ModuleRow } from '../model/modules';
import {
  columnValue,
  MODULE_COLUMNS,
  sortedModules,
  type ModuleColumn,
  type NumberColumn,
} from '../model/table';
import { showChoice, orNone, type ComparePage, type ShownComparison } from '../state';

const NUMBER_COLUMNS = MODULE_COLUMNS.filter((column) => column !== 'path');

/** All modules with their numbers, sorted and filtered; the button of a row chooses the module. */
export function moduleTable(page: ComparePage, shown: ShownComparison): TemplateResult {
  const { t, format } = page;
  const { data, rows, sorting, filter, selected } = shown;
  return html`<section class="card modules" aria-labelledby="table-title">
    ${guard([data, sorting, filter, selected], () => {
      const found = sortedModules(rows, sorting, filter);
      const count = t('table.count', format.count(found.length), format.count(rows.length));
      return html`<div class="bar">
          <h2 id="table-title">${t('table')}</h2>
          ${searchField(filter, t('filter'), (text) => showChoice(page, { filter: text }))}
          <span class="caption" role="status">${count}</span>
        </div>
        <div class="scroll" tabindex="0" role="region" aria-labelledby="table-title">
          <table class="sortable">
            <thead>
              <tr>
                ${MODULE_COLUMNS.map((column) => head(page, shown, column))}
              </tr>
            </thead>
            <tbody>
              ${found.map((row) => moduleLine(page, row, row.path === selected))}
            </tbody>
          </table>
        </div>`;
    })}
  </section>`;
}

function head(page: ComparePage, { sorting }: ShownComparison, column: ModuleColumn) {
  return sortHead(column, page.t(`column.${column}`), sorting, () => {
    const now = page.state.shown?.sorting ?? sorting;
    showChoice(page, { sorting: nextSorting(now, column, column !== 'path') });
  });
}

function moduleLine(page: ComparePage, row: ModuleRow, selected: boolean): TemplateResult {
  const press = () => showChoice(page, { selected: row.path });
  return html`<tr aria-current=${selected ? 'true' : nothing}>
    <th scope="row"><button type="button" class="link" @click=${press}>${row.path}</button></th>
    ${NUMBER_COLUMNS.map((column) => html`<td>${cellText(page, row, column)}</td>`)}
  </tr>`;
}

function cellText(page: ComparePage, row: ModuleRow, column: NumberColumn): string {
  if (column !== 'rank') return orNone(page, columnValue(row, column));
  return [row.a, row.b].map((facts) => (facts ? String(facts.r) : page.t('none'))).join(' | ');
}
