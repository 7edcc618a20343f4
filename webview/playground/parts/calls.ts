import { nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import type { AnswerParts, AskedTurn } from '../../../src/shared/serveProtocol';
import { html } from '../../shared/html';
import { turnsAfter, type AnswerColumn } from '../model/columns';
import { goOn, setResult, type PlaygroundPage } from '../state';

type Call = AnswerParts['calls'][number];

/** What was said between the prompt and an answer. */
export const turnsView = (
  page: PlaygroundPage,
  turns: readonly AskedTurn[],
): readonly TemplateResult[] => turns.map((turn) => turnView(page, turn));

function turnView(page: PlaygroundPage, turn: AskedTurn): TemplateResult {
  if (turn.role === 'assistant')
    return html`<div class="turn">
      ${reasoningView(page, turn.reasoning)}
      ${turn.content === '' ? nothing : html`<span class="written">${turn.content}</span>`}
      ${turn.calls.map((call) => callView(page, call))}
    </div>`;
  const label = turn.role === 'tool' ? page.t('result', turn.name) : turn.role;
  return html`<div class="turn">
    <h3>${label}</h3>
    <span class="written">${turn.content}</span>
  </div>`;
}

/** The reasoning of an answer, which is folded away. */
export const reasoningView = ({ t }: PlaygroundPage, reasoning: string) =>
  reasoning === ''
    ? nothing
    : html`<details class="reasoning">
        <summary>${t('reasoning')}</summary>
        <span class="written">${reasoning}</span>
      </details>`;

export const callView = ({ t }: PlaygroundPage, { name, arguments: values }: Call) =>
  html`<div class="call" role="group" aria-label=${t('call', name)}>
    <h3>${t('call', name)}</h3>
    <pre>${values}</pre>
  </div>`;

/** Fields for the results of the calls of an answer, and a button to continue. */
export function resultsView(page: PlaygroundPage, column: AnswerColumn, calls: readonly Call[]) {
  if (calls.length === 0) return nothing;
  const { t } = page;
  const send = () => goOn(page, column);
  const press = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    send();
  };
  return html`<div class="results">
    ${calls.map(
      ({ name }, i) =>
        html`<label
          >${t('result', name)}<textarea
            rows="2"
            title=${t('result.hint')}
            .value=${live(column.results[i] ?? '')}
            @input=${(event: Event) =>
              setResult(page, column.id, i, (event.target as HTMLTextAreaElement).value)}
            @keydown=${press}
          ></textarea>
        </label>`,
    )}
    <vscode-button
      class="goOn"
      appearance="secondary"
      title=${t('result.hint')}
      ?disabled=${turnsAfter(column) === null}
      @click=${send}
      >${t('goOn')}</vscode-button
    >
  </div>`;
}
