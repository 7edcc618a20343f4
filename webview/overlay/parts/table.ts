import type { TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { OVERLAY_COLUMNS, rowCells, type OverlayRow } from '../model/rows';
import type { OverlayPage } from '../state';

/** The runs in numbers; a name opens its dashboard. */
export function tableView(page: OverlayPage, rows: readonly OverlayRow[]): TemplateResult {
  const { t } = page;
  keepFocus(rows);
  return html`<section class="card runs" aria-labelledby="table-title">
    <h2 id="table-title">${t('table')}</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="table-title">
      <table>
        <thead>
          <tr>
            ${OVERLAY_COLUMNS.map((column) => html`<th scope="col">${t(`column.${column}`)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map((row) => runRow(page, row))}
        </tbody>
      </table>
    </div>
  </section>`;
}

function runRow({ t, format, post }: OverlayPage, row: OverlayRow): TemplateResult {
  const { dir, name, state } = row;
  const open = () => post({ kind: 'open', dir });
  return html`<tr>
    <th scope="row">
      <button type="button" class="link" data-dir=${dir} @click=${open}>${name}</button>
    </th>
    ${rowCells(row, format, t(`state.${state}`)).map((cell) => html`<td>${cell}</td>`)}
  </tr>`;
}

/** The focus stays with its run when the rows are drawn in another order. */
function keepFocus(rows: readonly OverlayRow[]): void {
  const dir = (document.activeElement as HTMLElement | null)?.dataset['dir'];
  if (dir === undefined) return;
  queueMicrotask(() => {
    const index = rows.findIndex((row) => row.dir === dir);
    document.querySelectorAll<HTMLElement>('button[data-dir]')[index]?.focus();
  });
}
