import { nothing, type TemplateResult } from 'lit-html';
import {
  ROW_FILTERS,
  type RowFilter,
  type WantedRows,
} from '../../../src/shared/pages/data/protocol';
import { html } from '../../shared/html';
import { secondaryButton } from '../../shared/templates';
import type { DataPage, DataState, DatasetMessage } from '../state';

/** Name, format and size of the file, and whose tokens are counted. */
export function headView(page: DataPage, state: DataState, dataset: DatasetMessage) {
  const { t, format } = page;
  const { name, readOnly, base, maxLength } = dataset;
  const tokens =
    base === null || maxLength === null
      ? t('summary.noBase')
      : t('summary.base', base, format.count(maxLength));
  return html`<header>
    <div class="title">
      <h1>${name}</h1>
      <p class="hint">${t('summary', dataset.format, format.bytes(dataset.bytes))}</p>
      <p class="hint" role="status">${rowsText(page, state)}</p>
    </div>
    <p class="hint base">
      ${tokens}
      <button type="button" class="link" @click=${() => page.post({ kind: 'chooseBase' })}>
        ${t('base.choose')}
      </button>
    </p>
    ${readOnly === null ? nothing : html`<p class="hint">${t('readOnly', readOnly)}</p>`}
  </header>`;
}

function rowsText({ t, format }: DataPage, { progress, wanted }: DataState): string {
  if (!progress) return '';
  const { total, counts, isComplete } = progress;
  const all = counts.all ?? total;
  if (!isAll(wanted)) return t('rows.found', format.count(total), format.count(all));
  return t(isComplete ? 'rows.count' : 'rows.reading', format.count(all));
}

const isAll = ({ filter, text }: WantedRows): boolean => filter === 'all' && text === '';

/** Search and filter, and what can be done with all rows or those that are found. */
export function toolbarView(page: DataPage, state: DataState, dataset: DatasetMessage) {
  const { t } = page;
  return html`<div class="bar" role="toolbar" aria-label=${t('toolbar')}>
      ${searchView(page, state)} ${filterView(page, state)} ${excludeView(page, state)}
    </div>
    <div class="bar actions">${actionsView(page, state, dataset)}</div>
    ${jobsView(page, state)} ${saidView(state)}`;
}

function find(page: DataPage, change: Partial<WantedRows>): void {
  const wanted = { ...page.state.wanted, ...change };
  page.change({ wanted, said: null });
  page.post({ kind: 'find', wanted });
}

/** How long nothing is typed before the rows are searched, in ms. */
const TYPING = 300;
let typing: number | undefined;

function searchView(page: DataPage, { wanted }: DataState): TemplateResult {
  const { t } = page;
  const typed = (event: Event) => {
    const { value } = event.target as HTMLInputElement;
    window.clearTimeout(typing);
    typing = window.setTimeout(() => find(page, { text: value }), TYPING);
  };
  const toggle = (key: 'isPattern' | 'matchCase', sign: string, label: string) =>
    html`<button
      type="button"
      class="toggle"
      title=${label}
      aria-label=${label}
      aria-pressed=${wanted[key] ? 'true' : 'false'}
      @click=${() => find(page, { [key]: !page.state.wanted[key] })}
    >
      ${sign}
    </button>`;
  return html`<span class="search">
    <input
      type="search"
      placeholder=${t('search')}
      aria-label=${t('search')}
      @input=${typed}
      @search=${typed}
    />
    ${toggle('matchCase', 'Aa', t('search.case'))} ${toggle('isPattern', '.*', t('search.pattern'))}
  </span>`;
}

function filterView(page: DataPage, { wanted, progress }: DataState): TemplateResult {
  const { t, format } = page;
  const label = (filter: RowFilter) => {
    const count = progress?.counts[filter] ?? null;
    const name = t(`filter.${filter}`);
    return count === null ? name : t('filter.count', name, format.count(count));
  };
  const chosen = (event: Event) => {
    const { value } = event.target as HTMLSelectElement;
    const filter = ROW_FILTERS.find((own) => own === value);
    if (filter) find(page, { filter });
  };
  return html`<select aria-label=${t('filter.label')} @change=${chosen}>
    ${ROW_FILTERS.map(
      (filter) =>
        html`<option value=${filter} ?selected=${filter === wanted.filter}>
          ${label(filter)}
        </option>`,
    )}
  </select>`;
}

/** Found rows can be excluded together; those that are, included again. */
function excludeView(page: DataPage, { wanted, progress }: DataState) {
  const { t, format, post } = page;
  const total = progress?.total ?? 0;
  if (isAll(wanted) || total === 0) return nothing;
  const isExcluded = wanted.filter !== 'excluded';
  const label = t(isExcluded ? 'exclude.shown' : 'include.shown', format.count(total));
  return secondaryButton(label, () => post({ kind: 'excludeShown', isExcluded }));
}

function actionsView(page: DataPage, state: DataState, dataset: DatasetMessage) {
  const { t, post } = page;
  const { progress } = state;
  const isRunning = (job: string) => progress?.jobs.some((own) => own.job === job) ?? false;
  const start = (job: 'tokens' | 'near' | 'leaks' | 'split', label: string) =>
    isRunning(job) ? nothing : secondaryButton(label, () => post({ kind: 'start', job }));
  return html`${
    (progress?.undo ?? 0) > 0 ? secondaryButton(t('undo'), () => post({ kind: 'undo' })) : nothing
  }
  ${dataset.base === null ? nothing : start('tokens', t('tokens'))} ${start('near', t('near'))}
  ${start('split', t('split'))} ${start('leaks', t('leaks'))}
  ${
    dataset.canDraft && dataset.readOnly === null
      ? secondaryButton(t('draft'), () => post({ kind: 'draft' }))
      : nothing
  }
  ${secondaryButton(t('train'), () => post({ kind: 'train' }))}`;
}

function jobsView(page: DataPage, { progress }: DataState): TemplateResult {
  const { t, format, post } = page;
  return html`<ul class="jobs" ?hidden=${(progress?.jobs.length ?? 0) === 0}>
    ${(progress?.jobs ?? []).map(
      ({ job, done }) =>
        html`<li>
          <span>${t(`job.${job}`)}</span>
          <progress max="1" .value=${done} aria-label=${t(`job.${job}`)}></progress>
          <span>${format.percent(done)}</span>
          ${
            job === 'count' || job === 'facts'
              ? nothing
              : html`<button type="button" class="link" @click=${() => post({ kind: 'stop', job })}>
                  ${t('job.stop')}
                </button>`
          }
        </li>`,
    )}
  </ul>`;
}

const saidView = ({ said }: DataState): TemplateResult =>
  html`<p class="said ${said?.isError ? 'error' : ''}" role="status">${said?.message ?? ''}</p>`;
