import type { TemplateResult } from 'lit-html';
import { html } from '../shared/html';
import { inModelOrder } from '../../src/shared/modelOrder';
import { nextSorting } from '../shared/sorting';
import { sortHead } from '../shared/templates';
import {
  CHANGE_COLUMNS,
  type CertificateMessage,
  type CertificatePage,
  type CertificateState,
  type ChangeColumn,
} from './state';

type Tensor = CertificateMessage['certificate']['tensors'][number];

/** Every tensor that the merge changed, in the model's order unless sorted. */
export function changesTable(
  page: CertificatePage,
  { sorting }: CertificateState,
  { certificate }: CertificateMessage,
): TemplateResult {
  const { t, format, change } = page;
  const sort = (column: ChangeColumn) => {
    const largestFirst = column !== 'name' && column !== 'dtype';
    change({ sorting: nextSorting(page.state.sorting, column, largestFirst) });
  };
  const sign = sorting.descending ? -1 : 1;
  const rows = certificate.tensors.toSorted(
    (a, b) => sign * compare(a, b, sorting.column ?? 'name'),
  );
  return html`<details class="changes">
    <summary>${t('changes', format.count(rows.length))}</summary>
    <div class="scroll">
      <table class="sortable">
        <thead>
          <tr>
            ${CHANGE_COLUMNS.map((column) => sortHead(column, t(`column.${column}`), sorting, sort))}
          </tr>
        </thead>
        <tbody>
          ${rows.map((tensor) => changeRow(page, tensor))}
        </tbody>
      </table>
    </div>
  </details>`;
}

const changeRow = ({ format }: CertificatePage, tensor: Tensor) =>
  html`<tr>
    <th scope="row">${tensor.name}</th>
    <td>${tensor.dtype}</td>
    <td>${format.value(tensor.delta_norm)}</td>
    <td>${format.value(tensor.rounding_error)}</td>
    <td>${format.percent(lost(tensor))}</td>
  </tr>`;

const lost = ({ unmoved, elements }: Tensor) => unmoved / Math.max(1, elements);

function compare(a: Tensor, b: Tensor, column: ChangeColumn): number {
  switch (column) {
    case 'name':
      return inModelOrder(a.name, b.name);
    case 'dtype':
      return a.dtype < b.dtype ? -1 : Number(a.dtype > b.dtype);
    case 'norm':
      return a.delta_norm - b.delta_norm;
    case 'error':
      return a.rounding_error - b.rounding_error;
    case 'unmoved':
      return lost(a) - lost(b);
  }
}
