import { nothing, type TemplateResult } from 'lit-html';
import { metricsOf } from '../../../src/shared/evaluation/metrics';
import type { Evaluation } from '../../../src/shared/evaluation/result';
import type {
  EvaluatedTurn,
  OpenedAnswer,
  OpenedRow,
} from '../../../src/shared/pages/evaluation/protocol';
import { html } from '../../shared/html';
import { moveTo } from '../../shared/rowGrid';
import { icon, iconButton, secondaryButton } from '../../shared/templates';
import { scoreText } from '../model/words';
import { openPlace, type EvaluationPage } from '../state';
import { gridOf } from './grid';
import { markView, outcomeView } from './marks';

/** A row in full: its question, what is expected, and the answers side by side. */
export function openedView(
  page: EvaluationPage,
  row: OpenedRow,
  { columns }: Evaluation,
): TemplateResult {
  const { t, format, post } = page;
  const [metric] = metricsOf(row.kind);
  const check = metric === undefined ? row.kind : t(`metric.${metric}`);
  return html`<div class="bar">
      <h2 id="row-title">${t('row.title', row.suite, format.count(row.line))}</h2>
      <span class="hint">${t('row.check', check)}</span>
      ${iconButton('arrow-up', t('row.previous'), () => step(page, -1))}
      ${iconButton('arrow-down', t('row.next'), () => step(page, 1))}
      ${secondaryButton(t('row.openFile'), () => post({ kind: 'openFile', row: row.index }))}
      ${secondaryButton(t('row.close'), () => closeRow(page))}
    </div>
    ${turnsView(page, row.turns)}
    ${
      row.expected === ''
        ? nothing
        : html`<section class="expected">
            <h3>${t('row.expected')}</h3>
            <p class="text" dir="auto">${row.expected}</p>
          </section>`
    }
    <div class="answers">
      ${columns.map(({ name }, i) => {
        const answer = row.answers[i];
        return answer ? answerCard(page, name, answer, row.kind) : nothing;
      })}
    </div>`;
}

function step(page: EvaluationPage, by: number): void {
  const { place, listed } = page.state;
  const next = Math.max(0, Math.min(listed.length - 1, place + by));
  moveTo(gridOf(page), next);
  openPlace(page, next);
}

/** What was asked: a question, or a conversation. */
export function turnsView({ t }: EvaluationPage, turns: readonly EvaluatedTurn[]): TemplateResult {
  return html`<section class="turns" aria-label=${t('row.question')}>
    ${turns.map(
      ({ role, text }) =>
        html`<div class="message" data-role=${role}>
          <h3>${role}</h3>
          <p dir="auto">${text}</p>
        </div>`,
    )}
  </section>`;
}

function answerCard(
  page: EvaluationPage,
  name: string,
  answer: OpenedAnswer,
  kind: OpenedRow['kind'],
): TemplateResult {
  const { t } = page;
  const { text, calls, error, reason, scores } = answer;
  const [first] = scores;
  const isEmpty = text === '' && calls === '' && error === null && kind !== 'perplexity';
  return html`<article class="card" aria-label=${name}>
    <h3>${name}</h3>
    <p class="marks">
      ${
        first
          ? markView(page, { metric: first.metric, score: first.value, isError: error !== null })
          : nothing
      }
      ${outcomeView(page, answer.outcome, first?.metric)}
      ${scores
        .slice(1)
        .map(
          ({ metric, value }) =>
            html`<small>${t(`metric.${metric}`)} ${scoreText(page, metric, value)}</small>`,
        )}
    </p>
    ${error === null ? nothing : html`<p class="bad">${icon('warning')} ${error}</p>`}
    ${reason === '' ? nothing : html`<p class="hint">${reason}</p>`}
    <p class=${isEmpty ? 'hint' : 'text'} dir="auto">${isEmpty ? t('row.noAnswer') : text}</p>
    ${
      calls === ''
        ? nothing
        : html`<h4>${t('row.calls')}</h4>
            <pre tabindex="0" aria-label=${t('row.calls')}>${calls}</pre>`
    }
  </article>`;
}

/** Back to the list. */
export function closeRow(page: EvaluationPage): void {
  page.change({ opened: null });
  page.post({ kind: 'open', row: null });
  document.getElementById('grid')?.focus();
}
