import type { TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { OVERLAY_COLUMNS, rowCells, type OverlayRow } from '../model/rows';
import { keepFocus } from '../../shared/keepFocus';
import type { OverlayPage } from '../state';

/** The runs in numbers; a name opens its dashboard. */
export function tableView(page: OverlayPage, rows: readonly OverlayRow[]): TemplateResult {
  const { t } = page;
  keepFocus(rows.map(({ dir }) => dir));
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
