import { nothing, type TemplateResult } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';
import type { Evaluation } from '../../../src/shared/evaluation/result';
import type { BriefRow } from '../../../src/shared/pages/evaluation/protocol';
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
import { openPlace, type EvaluationPage, type EvaluationState } from '../state';
import { markView, outcomeView } from './marks';

/** The page's list as a grid. */
export const gridOf = (page: EvaluationPage): RowGrid => ({
  place: () => page.state,
  total: () => page.state.listed.length,
  change: (part) => page.change(part),
  moved: () => undefined,
});

/** The rows with the beginning of each answer; those that are visible are in the page. */
export function gridView(page: EvaluationPage, state: EvaluationState, { columns }: Evaluation) {
  const { t } = page;
  const { listed, place, isComplete } = state;
  const grid = gridOf(page);
  const range = drawnRows(state, listed.length);
  const { from, count } = range;
  return html`<div class="rows">
    <div
      class="grid"
      id="grid"
      role="grid"
      tabindex="0"
      aria-label=${t('rows.grid', state.name)}
      aria-rowcount=${isComplete ? listed.length + 1 : -1}
      aria-colcount=${columns.length + 2}
      aria-activedescendant=${isDrawn(place, range) ? `row-${place}` : nothing}
      @scroll=${(event: Event) => scrolled(grid, event.currentTarget)}
      @scrollend=${() => settle(grid)}
      @keydown=${(event: KeyboardEvent) => keyPressed(page, event)}
      ${ref((element) => follow(grid, element, columns.length))}
    >
      <div class="head" role="row" aria-rowindex="1">
        <span role="columnheader">${t('column.line')}</span>
        <span role="columnheader">${t('column.question')}</span>
        ${columns.map(({ name }) => html`<span role="columnheader" title=${name}>${name}</span>`)}
      </div>
      <div class="body" role="rowgroup" ${ref((element) => setHeight(grid, element))}>
        <div class="window" role="none" ${ref((element) => setPlace(grid, element))}>
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

function follow(grid: RowGrid, element: Element | undefined, columns: number): void {
  followGrid(grid, element);
  if (element instanceof HTMLElement) element.style.setProperty('--models', String(columns));
}

function keyPressed(page: EvaluationPage, event: KeyboardEvent): void {
  const { state } = page;
  if (state.listed.length === 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'Enter') openPlace(page, state.place);
  else if (!movedByKey(gridOf(page), event.key)) return;
  event.preventDefault();
}
