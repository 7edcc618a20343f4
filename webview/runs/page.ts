import type { TemplateResult } from 'lit-html';
import { html } from '../shared/html';
import {
  RunsHostMessageSchema,
  type RunsHostMessage,
  type RunsPageMessage,
} from '../../src/shared/pages/runs/protocol';
import type { RunsStringKey } from '../../src/shared/pages/runs/strings';
import { isNumberColumn, RUN_COLUMN_IDS } from '../../src/shared/runColumns';
import { markdownHeading, markdownTable } from '../shared/markdown';
import { choose } from '../shared/page';
import { startPage } from '../shared/startPage';
import { secondaryButton } from '../shared/templates';
import { button, defineElements } from '../shared/toolkit';
import { arrangeTable, type TableGroup } from './model/arrange';
import { cellText } from './model/cells';
import { tableView } from './parts/table';
import { actionsView, toolbarView } from './parts/toolbar';
import './runs.css';
import { initialRuns, reduceRuns, type RunsPage, type RunsState } from './state';

/** Least time between two drawings while runs train, in ms. */
const DRAW_INTERVAL = 500;

defineElements(button());

startPage<RunsState, RunsHostMessage, RunsPageMessage, RunsStringKey>({
  schema: RunsHostMessageSchema,
  initial: ({ kept }) => initialRuns(kept),
  reduce: reduceRuns,
  kept: ({ choices }) => choices,
  interval: () => DRAW_INTERVAL,
  view: (page) => (state) => {
    if (!state.rows) return null;
    const groups = arrangeTable(state.rows, state.choices);
    const dirs = new Set(groups.flatMap(({ rows }) => rows.map(({ dir }) => dir)));
    const copy = () => page.post({ kind: 'copyText', text: markdownOf(page, state, groups) });
    return html`<header class="head">
        <h1>${page.t('title')}</h1>
        ${actionsView(page, state.selected, copy)}
      </header>
      ${toolbarView(page, state, dirs.size)} ${contentView(page, state, groups)}`;
  },
});

function contentView(
  page: RunsPage,
  state: RunsState,
  groups: readonly TableGroup[],
): TemplateResult {
  const { t } = page;
  if (groups.some(({ rows }) => rows.length > 0)) return tableView(page, state, groups);
  if (state.rows?.length === 0) return html`<p class="empty">${t('empty')}</p>`;
  const names = RUN_COLUMN_IDS.filter((id) => id !== 'started' && isNumberColumn(id));
  return html`<div class="empty">
    <p>${t('empty.filter', state.choices.filter)}</p>
    <p>${t('filter.names', names.join(', '))}</p>
    ${secondaryButton(t('filter.clear'), () => choose(page, { filter: '' }))}
  </div>`;
}

function markdownOf(
  { t, format }: RunsPage,
  { choices: { columns } }: RunsState,
  groups: readonly TableGroup[],
): string {
  const rows = [...new Set(groups.flatMap((group) => group.rows))];
  const table = markdownTable(
    [t('column.name'), ...columns.map((id) => t(`column.${id}`))],
    rows.map((row) => [row.name, ...columns.map((id) => cellText(row, id, format))]),
  );
  return `${markdownHeading(t('title'))}${table}`;
}
