import { nothing, type TemplateResult } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';
import type { Evaluation } from '../../../src/shared/evaluation/result';
import type { BriefRow } from '../../../src/shared/pages/evaluation/protocol';
import { html } from '../../shared/html';
import {
  barHeight,
  placeAfterKey,
  scrolledTo,
  scrollingAt,
  type Extent,
  type RowRange,
} from '../../shared/scroll';
import { openPlace, type EvaluationPage, type EvaluationState } from '../state';
import { markView, outcomeView } from './marks';

/** As in evaluation.css. */
const ROW_HEIGHT = 46;
const HEAD_HEIGHT = 28;
/** Rows that are drawn beyond the visible ones. */
const BEYOND = 3;

const extentOf = ({ listed, visible }: EvaluationState): Extent => ({
  whole: Math.max(visible, ROW_HEIGHT * listed.length),
  visible,
});

function drawnRows({ scrolling, visible, listed }: EvaluationState): RowRange {
  const from = Math.max(0, Math.floor(scrolling.top / ROW_HEIGHT) - BEYOND);
  const end = Math.ceil((scrolling.top + visible) / ROW_HEIGHT) + BEYOND;
  return { from, count: Math.max(0, Math.min(listed.length, end) - from) };
}

/** The rows with the beginning of each answer; those that are visible are in the page. */
export function gridView(page: EvaluationPage, state: EvaluationState, { columns }: Evaluation) {
  const { t } = page;
  const { listed, place, isComplete } = state;
  const { from, count } = drawnRows(state);
  const isDrawn = place >= from && place < from + count;
  return html`<div class="rows">
    <div
      class="grid"
      id="grid"
      role="grid"
      tabindex="0"
      aria-label=${t('rows.grid', state.name)}
      aria-rowcount=${isComplete ? listed.length + 1 : -1}
      aria-colcount=${columns.length + 2}
      aria-activedescendant=${isDrawn ? `row-${place}` : nothing}
      @scroll=${(event: Event) => scrolled(page, event.currentTarget)}
      @scrollend=${() => settle(page)}
      @keydown=${(event: KeyboardEvent) => keyPressed(page, event)}
      ${ref((element) => follow(page, element, columns.length))}
    >
      <div class="head" role="row" aria-rowindex="1">
        <span role="columnheader">${t('column.line')}</span>
        <span role="columnheader">${t('column.question')}</span>
        ${columns.map(({ name }) => html`<span role="columnheader" title=${name}>${name}</span>`)}
      </div>
      <div class="body" role="rowgroup" ${ref((element) => setHeight(element, page.state))}>
        <div class="window" role="none" ${ref((element) => setPlace(element, page.state))}>
          ${listed.slice(from, from + count).map((row, i) => rowView(page, state, row, from + i))}
        </div>
      </div>
    </div>
    <p class="empty" ?hidden=${listed.length > 0 || !isComplete}>${t('rows.none')}</p>
  </div>`;
}

function rowView(
  page: EvaluationPage,
  { place: active, opened }: EvaluationState,
  row: BriefRow,
  place: number,
): TemplateResult {
  return html`<div
    class="row"
    id="row-${place}"
    role="row"
    aria-rowindex=${place + 2}
    aria-selected=${place === active ? 'true' : 'false'}
    aria-current=${row.index === opened?.index ? 'true' : nothing}
    @click=${() => openPlace(page, place)}
  >
    <span role="gridcell" class="number">${page.format.count(row.line)}</span>
    <span role="gridcell" class="question">
      <span class="line" dir="auto">${row.question}</span>
      <small class="line">${row.suite}</small>
    </span>
    ${row.cells.map(
      (cell) =>
        html`<span role="gridcell" class="answer">
          <span class="line"
            >${markView(page, cell)} ${outcomeView(page, cell.outcome, cell.metric)}</span
          >
          <small class="line" dir="auto">${cell.text}</small>
        </span>`,
    )}
  </div>`;
}

/** Follows the height of the grid from its first drawing on. */
let followed: Element | undefined;
function follow(page: EvaluationPage, element: Element | undefined, columns: number): void {
  if (!(element instanceof HTMLElement)) return;
  const { bar } = page.state.scrolling;
  if (Math.abs(element.scrollTop - bar) >= 1) element.scrollTop = bar;
  if (element === followed) return;
  followed = element;
  element.style.setProperty('--models', String(columns));
  new ResizeObserver(() =>
    page.change({ visible: Math.max(0, element.clientHeight - HEAD_HEIGHT) }),
  ).observe(element);
}

function setHeight(element: Element | undefined, state: EvaluationState): void {
  if (element instanceof HTMLElement) element.style.height = `${barHeight(extentOf(state))}px`;
}

function setPlace(element: Element | undefined, state: EvaluationState): void {
  if (!(element instanceof HTMLElement)) return;
  const { top, bar } = state.scrolling;
  const at = drawnRows(state).from * ROW_HEIGHT - top + bar;
  element.style.transform = `translateY(${at}px)`;
}

function scrolled(page: EvaluationPage, target: EventTarget | null): void {
  const { state } = page;
  if (!(target instanceof HTMLElement) || Math.abs(target.scrollTop - state.scrolling.bar) < 1)
    return;
  page.change({ scrolling: scrolledTo(target.scrollTop, state.scrolling, extentOf(state)) });
}

/** Puts the bar where the rows are, which it is not after many small steps. */
function settle(page: EvaluationPage): void {
  const { state } = page;
  page.change({ scrolling: scrollingAt(state.scrolling.top, extentOf(state)) });
}

function keyPressed(page: EvaluationPage, event: KeyboardEvent): void {
  const { state } = page;
  const total = state.listed.length;
  if (total === 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const next = placeAfterKey(event.key, state.place, {
    total,
    page: Math.max(1, Math.floor(state.visible / ROW_HEIGHT) - 1),
  });
  if (next !== null) moveTo(page, next);
  else if (event.key === 'Enter') openPlace(page, state.place);
  else return;
  event.preventDefault();
}

/** Makes a row the active one, and visible. */
export function moveTo(page: EvaluationPage, place: number): void {
  const { scrolling, visible } = page.state;
  const at = place * ROW_HEIGHT;
  const top = Math.min(at, Math.max(scrolling.top, at + ROW_HEIGHT - visible));
  page.change({ place, scrolling: scrollingAt(top, extentOf(page.state)) });
}
