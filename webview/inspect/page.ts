import { nothing, type TemplateResult } from 'lit-html';
import {
  InspectHostMessageSchema,
  type InspectHostMessage,
  type InspectPageMessage,
  type TensorRow,
} from '../../src/shared/pages/inspect/protocol';
import type { InspectStringKey } from '../../src/shared/pages/inspect/strings';
import { html } from '../shared/html';
import { nextSorting } from '../shared/sorting';
import { startPage } from '../shared/startPage';
import { failedView, searchField, sortHead } from '../shared/templates';
import './inspect.css';
import {
  INITIAL_STATE,
  reduceInspect,
  type FileMessage,
  type InspectPage,
  type InspectState,
} from './state';
import { numbersIn, sortedTensors, TENSOR_COLUMNS, type TensorColumn } from './tensors';
import { valuesView } from './values';

/** More rows at once make a page slow; the filter finds the others. */
const MOST_ROWS = 2_000;

const FORMAT_NAMES = { safetensors: 'safetensors', gguf: 'GGUF' } as const;

startPage<InspectState, InspectHostMessage, InspectPageMessage, InspectStringKey>({
  schema: InspectHostMessageSchema,
  initial: () => INITIAL_STATE,
  reduce: reduceInspect,
  received: (message, { state, post }) => {
    if (message.kind === 'file' && state.chosen !== null)
      post({ kind: 'measure', tensor: state.chosen });
  },
  view: (page) => (state) => {
    if (state.fault !== null) return failedView(page.t('fault'), state.fault);
    return state.file && fileView(page, state, state.file);
  },
});

/** Up to so many entries, the metadata is shown from the start. */
const OPEN_ENTRIES = 14;

/** What a file of tensors holds: metadata, tensors, and the values of the chosen one. */
function fileView(page: InspectPage, state: InspectState, file: FileMessage): TemplateResult {
  const { t, format } = page;
  const numbers = file.tensors.reduce((sum, tensor) => sum + numbersIn(tensor), 0);
  const summary = t(
    'summary',
    FORMAT_NAMES[file.format],
    format.count(file.tensors.length),
    format.compact(numbers),
    format.bytes(file.bytes),
  );
  return html`<header>
      <h1>${file.name}</h1>
      <p class="hint">${summary}</p>
    </header>
    ${findingsList(page, state)} ${file.metadata.length > 0 ? metadataTable(page, file) : nothing}
    <div class="columns">
      ${tensorTable(page, state, file)}
      <section class="card" aria-labelledby="values-title">
        <h2 id="values-title">${valuesTitle(page, state)}</h2>
        <div class="values" aria-live="polite">${valuesView(page, state)}</div>
      </section>
    </div>`;
}

const valuesTitle = ({ t }: InspectPage, { chosen }: InspectState) =>
  chosen === null ? t('values') : t('values.of', chosen);

const findingsList = ({ t }: InspectPage, { findings }: InspectState) =>
  html`<ul
    class="findings"
    aria-live="polite"
    aria-label=${t('findings')}
    ?hidden=${findings.length === 0}
  >
    ${findings.map((finding) => html`<li>${finding}</li>`)}
  </ul>`;

const metadataTable = ({ t }: InspectPage, { metadata }: FileMessage) =>
  html`<details ?open=${metadata.length <= OPEN_ENTRIES}>
    <summary>${t('metadata', metadata.length)}</summary>
    <table class="metadata">
      <thead>
        <tr>
          <th scope="col">${t('key')}</th>
          <th scope="col">${t('value')}</th>
        </tr>
      </thead>
      <tbody>
        ${metadata.map(
          ({ key, value }) =>
            html`<tr>
              <th scope="row">${key}</th>
              <td>${value}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </details>`;

function tensorTable(page: InspectPage, state: InspectState, { tensors }: FileMessage) {
  const { t, format, change } = page;
  const { sorting, filter } = state;
  const rows = sortedTensors(tensors, sorting, filter);
  const sort = (column: TensorColumn) => {
    const largestFirst = column === 'numbers' || column === 'bytes';
    change({ sorting: nextSorting(page.state.sorting, column, largestFirst) });
  };
  return html`<section class="tensors" aria-labelledby="tensors-title">
    <div class="bar">
      <h2 id="tensors-title">${t('tensors')}</h2>
      <span class="hint" role="status"
        >${t('count', format.count(rows.length), format.count(tensors.length))}</span
      >
      ${searchField(filter, t('filter'), (text) => change({ filter: text }))}
    </div>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="tensors-title">
      <table class="sortable">
        <thead>
          <tr>
            ${TENSOR_COLUMNS.map((column) => sortHead(column, t(`column.${column}`), sorting, sort))}
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, MOST_ROWS).map((tensor) => tensorRow(page, tensor, state.chosen))}
        </tbody>
      </table>
    </div>
    <p class="hint" ?hidden=${rows.length <= MOST_ROWS}>${t('more', format.count(MOST_ROWS))}</p>
  </section>`;
}

function tensorRow(page: InspectPage, tensor: TensorRow, chosen: string | null): TemplateResult {
  const { format } = page;
  const { name, dtype, shape, bytes } = tensor;
  const choose = () => {
    page.change({ chosen: name, measured: { kind: 'reading' } });
    page.post({ kind: 'measure', tensor: name });
  };
  return html`<tr data-name=${name} aria-current=${name === chosen ? 'true' : nothing}>
    <th scope="row"><button type="button" class="link" @click=${choose}>${name}</button></th>
    <td>${dtype}</td>
    <td>${shape.length === 0 ? '1' : shape.join(' × ')}</td>
    <td>${format.count(numbersIn(tensor))}</td>
    <td>${format.bytes(bytes)}</td>
  </tr>`;
}
