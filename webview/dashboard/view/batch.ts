import type { TemplateResult } from 'lit-html';
import type { BatchLine } from '../../../src/shared/metrics/lines';
import { html } from '../../shared/html';
import { markedPieces } from '../../shared/pieces';
import type { DashboardPage, DashboardState } from '../state';

/** The first batch as text with the labelled tokens marked, to check the labels before training. */
export function batchView(page: DashboardPage, { history }: DashboardState): TemplateResult {
  const { t } = page;
  const line = history.lines.find((own) => own.kind === 'batch');
  if (!line) return html`<div class="batch"><p class="empty">${t('batch.none')}</p></div>`;
  return html`<div class="batch">
    <p class="caption">${t('batch.words')}</p>
    ${line.rows.map((row) => batchRow(page, row))}
  </div>`;
}

function batchRow(
  { t, format }: DashboardPage,
  { line, pieces }: BatchLine['rows'][number],
): TemplateResult {
  const title = t('batch.line', format.count(line));
  const marked = markedPieces(
    pieces.map(({ text, labelled }) => ({ text, kind: labelled ? 'learnt' : 'context' })),
  );
  return html`<article class="card row" aria-label=${title}>
    <h4>${title}</h4>
    <p>${marked}</p>
  </article>`;
}
