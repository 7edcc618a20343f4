import type { TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import {
  DataHostMessageSchema,
  type DataHostMessage,
  type DataPageMessage,
} from '../../src/shared/pages/data/protocol';
import type { DataStringKey } from '../../src/shared/pages/data/strings';
import { html } from '../shared/html';
import { startPage } from '../shared/startPage';
import { failedView } from '../shared/templates';
import { button, defineElements } from '../shared/toolkit';
import './data.css';
import { close, detailView } from './parts/detail';
import { askForRows, gridView } from './parts/grid';
import { draftsView, statisticsView } from './parts/statistics';
import { headView, toolbarView } from './parts/toolbar';
import {
  initialData,
  reduceData,
  type DataPage,
  type DataState,
  type DatasetMessage,
} from './state';

defineElements(button());

startPage<DataState, DataHostMessage, DataPageMessage, DataStringKey>({
  schema: DataHostMessageSchema,
  initial: ({ fact }) =>
    initialData({
      file: fact('file'),
      source: fact('source') || null,
      recipe: fact('recipe') || null,
      base: fact('base') || null,
    }),
  reduce: reduceData,
  kept: ({ kept }) => kept,
  received: (message, page) => {
    askForRows(page);
    if (message.kind === 'detail' && message.detail) showDetail();
  },
  view: (page) => (state) => {
    if (state.fault !== null) return failedView(page.t('fault'), state.fault);
    return state.dataset && datasetView(page, state, state.dataset);
  },
});

function datasetView(page: DataPage, state: DataState, dataset: DatasetMessage): TemplateResult {
  const { detail, thumbnails, editing, progress, wanted, said } = state;
  const { statistics, leaks, drafts, isWriting } = state;
  return html`${guard([dataset, progress, wanted, said], () => [
      headView(page, state, dataset),
      toolbarView(page, state, dataset),
    ])}
    <div class="columns">
      ${gridView(page, state, dataset)}
      <aside
        class="side"
        tabindex="0"
        aria-label=${detail ? page.t('detail.raw') : page.t('statistics')}
        @keydown=${(event: KeyboardEvent) => {
          if (event.key === 'Escape' && page.state.detail && !page.state.editing) close(page);
        }}
      >
        ${guard(
          [detail, thumbnails, editing, dataset, statistics, leaks, drafts, isWriting],
          () => [
            draftsView(page, state),
            detail ? detailView(page, state, dataset) : statisticsView(page, state),
          ],
        )}
      </aside>
    </div>`;
}

/** After Enter in the grid, the focus is at the row that it opened. */
function showDetail(): void {
  requestAnimationFrame(() =>
    requestAnimationFrame(() => document.querySelector('.side')?.scrollTo({ top: 0 })),
  );
}
