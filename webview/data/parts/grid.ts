import { nothing, type TemplateResult } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';
import type { DataRow } from '../../../src/shared/pages/data/protocol';
import { html } from '../../shared/html';
import {
  drawnRows,
  followGrid,
  isDrawn,
  movedByKey,
  scrolled,
  setHeight,
  setPlace,
  settle,
  type RowGrid,
} from '../../shared/rowGrid';
import { missingRows } from '../model/rows';
import type { DataPage, DataState, DatasetMessage } from '../state';

const totalOf = ({ progress }: DataState): number => progress?.total ?? 0;

const gridOf = (page: DataPage): RowGrid => ({
  place: () => page.state,
  total: () => totalOf(page.state),
  change: (part) => page.change(part),
  moved: () => askForRows(page),
});

/** Asks the host for what is visible and not known, one question at a time. */
export function askForRows(page: DataPage): void {
  const { state } = page;
  if (!state.progress || state.asked) return;
  const missing = missingRows(
    state.rows,
    drawnRows(state, state.progress.total),
    state.progress.total,
  );
  if (!missing) return;
  page.change({ asked: missing });
  page.post({ kind: 'rows', view: state.progress.view, ...missing });
}

/** The rows of the dataset, of which those that are visible are in the page. */
export function gridView(page: DataPage, state: DataState, dataset: DatasetMessage) {
  const { t, format } = page;
  const grid = gridOf(page);
  const total = totalOf(state);
  const range = drawnRows(state, total);
  const isTokens = dataset.base !== null;
  return html`<div class="rows">
    <div
      class="grid"
      id="grid"
      role="grid"
      tabindex="0"
      aria-label=${t('grid', dataset.name)}
      aria-rowcount=${state.progress?.isComplete ? total + 1 : -1}
      aria-colcount="4"
      aria-activedescendant=${isDrawn(state.place, range) ? `row-${state.place}` : nothing}
      @scroll=${(event: Event) => scrolled(grid, event.currentTarget)}
      @scrollend=${() => settle(grid)}
      @keydown=${(event: KeyboardEvent) => keyPressed(page, event)}
      ${ref((element) => followGrid(grid, element))}
    >
      <div class="head" role="row" aria-rowindex="1">
        <span role="columnheader">${t(`column.${dataset.unit}`)}</span>
        <span role="columnheader">${t('column.chat')}</span>
        <span role="columnheader">${t('column.marks')}</span>
        <span role="columnheader">${t(isTokens ? 'column.tokens' : 'column.characters')}</span>
      </div>
      <div class="body" role="rowgroup" ${ref((element) => setHeight(grid, element))}>
        <div class="window" role="none" ${ref((element) => setPlace(grid, element))}>
          ${Array.from({ length: range.count }, (_, i) => rowView(page, state, range.from + i))}
        </div>
      </div>
    </div>
    <p class="empty" ?hidden=${total > 0 || !state.progress?.isComplete}>${t('rows.none')}</p>
    <p class="sr-only" role="status">${total === 0 ? '' : t('rows.count', format.count(total))}</p>
  </div>`;
}

function rowView(page: DataPage, state: DataState, place: number): TemplateResult {
  const { t } = page;
  const row = state.rows.get(place) ?? state.stale.get(place);
  const isActive = place === state.place;
  const isOpen = row !== undefined && row.row === state.detail?.row;
  const classes = `row${row?.isExcluded ? ' excluded' : ''}`;
  const choose = () => {
    page.change({ place });
    if (row) page.post({ kind: 'open', row: row.row });
  };
  return html`<div
    class=${classes}
    id="row-${place}"
    role="row"
    aria-rowindex=${place + 2}
    aria-selected=${isActive ? 'true' : 'false'}
    aria-current=${isOpen ? 'true' : nothing}
    @click=${choose}
  >
    ${row ? cells(page, row) : html`<span role="gridcell" class="wait">${t('row.reading')}</span>`}
  </div>`;
}

function cells(page: DataPage, row: DataRow): TemplateResult {
  const { t, format } = page;
  const more = row.messages > row.turns.length ? t('row.messages', row.messages) : '';
  return html`<span role="gridcell" class="number">${format.count(row.number)}</span>
    <span role="gridcell" class="turns">
      ${row.turns.map(
        ({ role, text }) =>
          html`<span class="turn"><b>${role}</b> <span dir="auto">${text}</span></span>`,
      )}
    </span>
    <span role="gridcell" class="marks">${marks(page, row)}</span>
    <span role="gridcell" class="length">${lengthText(page, row)}<small>${more}</small></span>`;
}

/** In tokens where there is a model: one that is not counted yet is no number of characters. */
function lengthText({ t, format, state }: DataPage, { tokens, length, fault }: DataRow): string {
  const isCounted = typeof state.dataset?.base === 'string';
  if (!isCounted) return format.count(length);
  if (tokens !== null) return format.count(tokens);
  return fault === null ? '…' : t('none');
}

function marks({ t, format }: DataPage, row: DataRow): TemplateResult[] {
  const { fault, isCut, twin, like, isExcluded } = row;
  const mark = (kind: string, label: string, title = '') =>
    html`<span class="mark ${kind}" title=${title === '' ? nothing : title}>${label}</span>`;
  return [
    ...(isExcluded ? [mark('off', t('mark.excluded'))] : []),
    ...(fault === null ? [] : [mark('bad', t('mark.fault'), fault)]),
    ...(isCut ? [mark('warn', t('mark.cut'))] : []),
    ...(twin === null ? [] : [mark('warn', t('mark.twin', format.count(twin)))]),
    ...(like === null ? [] : [mark('', t('mark.like', format.count(like)))]),
  ];
}

function keyPressed(page: DataPage, event: KeyboardEvent): void {
  const { state } = page;
  if (totalOf(state) === 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const row = state.rows.get(state.place);
  if (event.key === 'Enter' && row) page.post({ kind: 'open', row: row.row });
  else if (event.key === 'Delete' && row)
    page.post({ kind: 'exclude', row: row.row, isExcluded: !row.isExcluded });
  else if (!movedByKey(gridOf(page), event.key)) return;
  event.preventDefault();
}
