import { nothing, type TemplateResult } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';
import type { DataRow } from '../../../src/shared/pages/data/protocol';
import { html } from '../../shared/html';
import {
  barHeight,
  placeAfterKey,
  scrolledTo,
  scrollingAt,
  type Extent,
  type RowRange,
} from '../../shared/scroll';
import { missingRows } from '../model/rows';
import type { DataPage, DataState, DatasetMessage } from '../state';

/** As in data.css. */
export const ROW_HEIGHT = 46;
const HEAD_HEIGHT = 28;
/** Rows that are drawn beyond the visible ones. */
const BEYOND = 3;

const extentOf = ({ progress, visible }: DataState): Extent => ({
  whole: Math.max(visible, ROW_HEIGHT * (progress?.total ?? 0)),
  visible,
});

function visibleRows({ scrolling, visible, progress }: DataState): RowRange {
  const from = Math.max(0, Math.floor(scrolling.top / ROW_HEIGHT) - BEYOND);
  const end = Math.ceil((scrolling.top + visible) / ROW_HEIGHT) + BEYOND;
  return { from, count: Math.max(0, Math.min(progress?.total ?? 0, end) - from) };
}

/** Asks the host for what is visible and not known, one question at a time. */
export function askForRows(page: DataPage): void {
  const { state } = page;
  if (!state.progress || state.asked) return;
  const missing = missingRows(state.rows, visibleRows(state), state.progress.total);
  if (!missing) return;
  page.change({ asked: missing });
  page.post({ kind: 'rows', view: state.progress.view, ...missing });
}

/** The rows of the dataset, of which those that are visible are in the page. */
export function gridView(page: DataPage, state: DataState, dataset: DatasetMessage) {
  const { t, format } = page;
  const range = visibleRows(state);
  const total = state.progress?.total ?? 0;
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
      @scroll=${(event: Event) => scrolled(page, event.currentTarget)}
      @scrollend=${() => settle(page)}
      @keydown=${(event: KeyboardEvent) => keyPressed(page, event)}
      ${ref((element) => follow(page, element))}
    >
      <div class="head" role="row" aria-rowindex="1">
        <span role="columnheader">${t(`column.${dataset.unit}`)}</span>
        <span role="columnheader">${t('column.chat')}</span>
        <span role="columnheader">${t('column.marks')}</span>
        <span role="columnheader">${t(isTokens ? 'column.tokens' : 'column.characters')}</span>
      </div>
      <div class="body" role="rowgroup" ${ref((element) => setHeight(element, page.state))}>
        <div class="window" role="none" ${ref((element) => setPlace(element, page.state))}>
          ${Array.from({ length: range.count }, (_, i) => rowView(page, state, range.from + i))}
        </div>
      </div>
    </div>
    <p class="empty" ?hidden=${total > 0 || !state.progress?.isComplete}>${t('rows.none')}</p>
    <p class="sr-only" role="status">${total === 0 ? '' : t('rows.count', format.count(total))}</p>
  </div>`;
}

const isDrawn = (place: number, { from, count }: RowRange): boolean =>
  place >= from && place < from + count;

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

/** Follows the height of the grid from its first drawing on. */
let followed: Element | undefined;
function follow(page: DataPage, element: Element | undefined): void {
  if (!(element instanceof HTMLElement)) return;
  const { bar } = page.state.scrolling;
  if (Math.abs(element.scrollTop - bar) >= 1) element.scrollTop = bar;
  if (element === followed) return;
  followed = element;
  new ResizeObserver(() => {
    page.change({ visible: Math.max(0, element.clientHeight - HEAD_HEIGHT) });
    askForRows(page);
  }).observe(element);
}

function setHeight(element: Element | undefined, state: DataState): void {
  if (element instanceof HTMLElement) element.style.height = `${barHeight(extentOf(state))}px`;
}

function setPlace(element: Element | undefined, state: DataState): void {
  if (!(element instanceof HTMLElement)) return;
  const { top, bar } = state.scrolling;
  const at = visibleRows(state).from * ROW_HEIGHT - top + bar;
  element.style.transform = `translateY(${at}px)`;
}

function scrolled(page: DataPage, target: EventTarget | null): void {
  const { state } = page;
  if (!(target instanceof HTMLElement) || Math.abs(target.scrollTop - state.scrolling.bar) < 1)
    return;
  page.change({ scrolling: scrolledTo(target.scrollTop, state.scrolling, extentOf(state)) });
  askForRows(page);
}

/** Puts the bar where the rows are, which it is not after many small steps. */
function settle(page: DataPage): void {
  const { state } = page;
  page.change({ scrolling: scrollingAt(state.scrolling.top, extentOf(state)) });
}

function keyPressed(page: DataPage, event: KeyboardEvent): void {
  const { state } = page;
  const total = state.progress?.total ?? 0;
  if (total === 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const row = state.rows.get(state.place);
  const next = placeAfterKey(event.key, state.place, {
    total,
    page: Math.max(1, Math.floor(state.visible / ROW_HEIGHT) - 1),
  });
  if (next !== null) moveTo(page, next);
  else if (event.key === 'Enter' && row) page.post({ kind: 'open', row: row.row });
  else if (event.key === 'Delete' && row)
    page.post({ kind: 'exclude', row: row.row, isExcluded: !row.isExcluded });
  else return;
  event.preventDefault();
}

/** Makes a row the active one, and visible. */
function moveTo(page: DataPage, place: number): void {
  const { scrolling, visible } = page.state;
  const at = place * ROW_HEIGHT;
  const top = Math.min(at, Math.max(scrolling.top, at + ROW_HEIGHT - visible));
  page.change({ place, scrolling: scrollingAt(top, extentOf(page.state)) });
  askForRows(page);
}
