import type { TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { html } from '../../shared/html';
import type { DataGridColumn } from '../../shared/toolkit';
import { sourcesOf, type SourceFacts } from '../model/sources';
import { historyKey, type DashboardPage, type DashboardState } from '../state';

/** What is drawn of each source of the training set, and how well its rows are predicted. */
export function sourcesView(page: DashboardPage, { run, history }: DashboardState): TemplateResult {
  return html`<div class="sources">
    ${guard([run?.data, ...historyKey(history)], () => sourcesGrid(page, sourcesOf(run, history)))}
  </div>`;
}

const COLUMNS = ['name', 'share', 'drawn', 'examples', 'tokens', 'labelled'] as const;
const LOSSES = ['first', 'last'] as const;

function sourcesGrid(page: DashboardPage, sources: readonly SourceFacts[]): TemplateResult {
  const { t } = page;
  if (sources.length === 0) return html`<p class="empty">${t('sources.none')}</p>`;
  const hasLosses = sources.some(({ last }) => last !== null);
  const columns: DataGridColumn[] = [...COLUMNS, ...(hasLosses ? LOSSES : [])].map((column) => ({
    columnDataKey: column,
    title: t(`sources.${column}`),
  }));
  return html`<p class="caption">${t('sources.words')}</p>
    <vscode-data-grid
      aria-label=${t('tab.sources')}
      grid-template-columns="${['4fr', ...columns.slice(1).map(() => '1fr')].join(' ')}"
      .columnDefinitions=${columns}
      .rowsData=${sources.map((source) => rowOf(page, source))}
    ></vscode-data-grid>`;
}

function rowOf(
  { t, format }: DashboardPage,
  { name, share, drawn, examples, tokens, labelled_tokens, first, last }: SourceFacts,
) {
  const lossText = (loss: number | null) => (loss === null ? t('none') : format.value(loss));
  return {
    name,
    share: format.percent(share),
    drawn: format.count(drawn),
    examples: format.count(examples),
    tokens: format.count(tokens),
    labelled: format.count(labelled_tokens),
    first: lossText(first),
    last: lossText(last),
  };
}
