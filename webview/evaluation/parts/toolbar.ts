import { nothing, type TemplateResult } from 'lit-html';
import type { Evaluation } from '../../../src/shared/evaluation/result';
import { EVALUATION_FILTERS } from '../../../src/shared/pages/evaluation/protocol';
import { html } from '../../shared/html';
import { countRows, suitesOf } from '../model/list';
import { search, wantRows, type EvaluationPage, type EvaluationState } from '../state';

/** How long nothing is typed before the rows are searched, in ms. */
const TYPING = 250;
let typing: number | undefined;

/** Which rows are shown: by a search, what became of them, their suite and the model. */
export function toolbarView(
  page: EvaluationPage,
  state: EvaluationState,
  evaluation: Evaluation,
): TemplateResult {
  const { t } = page;
  const typed = (event: Event) => {
    const { value } = event.target as HTMLInputElement;
    window.clearTimeout(typing);
    typing = window.setTimeout(() => search(page, value), TYPING);
  };
  return html`<div class="bar" role="toolbar" aria-label=${t('toolbar')}>
    <h2 id="rows-title">${t('rows')}</h2>
    <input
      type="search"
      placeholder=${t('search')}
      aria-label=${t('search')}
      @input=${typed}
      @search=${typed}
    />
    ${filterView(page, state, evaluation)} ${suiteView(page, state)}
    ${columnView(page, state, evaluation)}
    <span class="hint" role="status">${countText(page, state)}</span>
  </div>`;
}

function countText({ t, format }: EvaluationPage, state: EvaluationState): string {
  if (!state.isComplete) return t('rows.reading');
  const [listed, all] = [state.listed.length, state.rows.length];
  return listed === all
    ? t('rows.count', format.count(all))
    : t('rows.some', format.count(listed), format.count(all));
}

/** An evaluation of one model has no wins and losses. */
function filterView(
  page: EvaluationPage,
  { rows, kept }: EvaluationState,
  { columns }: Evaluation,
) {
  const { t, format } = page;
  const filters =
    columns.length > 1
      ? EVALUATION_FILTERS
      : EVALUATION_FILTERS.filter((own) => own === 'all' || own === 'errors');
  const chosen = (event: Event) => {
    const { value } = event.target as HTMLSelectElement;
    const filter = EVALUATION_FILTERS.find((own) => own === value);
    if (filter) wantRows(page, { filter });
  };
  return html`<select id="filter" aria-label=${t('filter.label')} @change=${chosen}>
    ${filters.map(
      (filter) =>
        html`<option value=${filter} ?selected=${filter === kept.filter}>
          ${t('filter.count', t(`filter.${filter}`), format.count(countRows(rows, filter, kept)))}
        </option>`,
    )}
  </select>`;
}

function suiteView(page: EvaluationPage, { rows, kept }: EvaluationState) {
  const { t } = page;
  const suites = suitesOf(rows);
  if (suites.length < 2) return nothing;
  const chosen = (event: Event) => {
    const at = (event.target as HTMLSelectElement).selectedIndex - 1;
    wantRows(page, { suite: suites[at] ?? null });
  };
  return html`<select id="suite" aria-label=${t('suite.label')} @change=${chosen}>
    <option ?selected=${kept.suite === null}>${t('suite.all')}</option>
    ${suites.map((suite) => html`<option ?selected=${suite === kept.suite}>${suite}</option>`)}
  </select>`;
}

function columnView(page: EvaluationPage, { kept }: EvaluationState, { columns }: Evaluation) {
  const { t } = page;
  if (columns.length < 3) return nothing;
  const chosen = (event: Event) => {
    const at = (event.target as HTMLSelectElement).selectedIndex - 1;
    wantRows(page, { column: at < 0 ? null : at });
  };
  return html`<select id="column" aria-label=${t('model.label')} @change=${chosen}>
    <option ?selected=${kept.column === null}>${t('model.any')}</option>
    ${columns.map(
      ({ name }, column) => html`<option ?selected=${column === kept.column}>${name}</option>`,
    )}
  </select>`;
}
