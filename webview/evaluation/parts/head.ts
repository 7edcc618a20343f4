import { nothing, type TemplateResult } from 'lit-html';
import type { Evaluation } from '../../../src/shared/evaluation/result';
import { EXPORT_FORMATS } from '../../../src/shared/pages/evaluation/protocol';
import { html } from '../../shared/html';
import { secondaryButton } from '../../shared/templates';
import type { EvaluationPage, EvaluationState } from '../state';

/** What was evaluated, when, and what can be done with it. */
export function headView(
  page: EvaluationPage,
  { name, said }: EvaluationState,
  { rows, created, base, columns }: Evaluation,
): TemplateResult {
  const { t, format, post } = page;
  return html`<header>
      <div class="title">
        <h1>${t('title', name)}</h1>
        <p class="hint">${t('summary', format.count(rows), format.time(created))}</p>
        ${base === null ? nothing : html`<p class="hint">${t('summary.base', base)}</p>`}
      </div>
      <div class="bar">
        ${
          columns.length > 1
            ? html`<vscode-button @click=${() => post({ kind: 'startVoting' })}
                >${t('vote')}</vscode-button
              >`
            : nothing
        }
        ${secondaryButton(t('again'), () => post({ kind: 'again' }))}
        ${EXPORT_FORMATS.map((own) =>
          secondaryButton(t(`export.${own}`), () => post({ kind: 'export', format: own })),
        )}
      </div>
    </header>
    <p class="said ${said?.isError ? 'error' : ''}" role="status">${said?.message ?? ''}</p>`;
}
