import { nothing, type TemplateResult } from 'lit-html';
import type {
  ColumnValue,
  Evaluation,
  EvaluationScore,
  JudgeReport,
  Verdict,
} from '../../../src/shared/evaluation/result';
import { html } from '../../shared/html';
import { icon } from '../../shared/templates';
import { differenceText, intervalText, scoreText } from '../model/words';
import type { EvaluationPage } from '../state';

/** The scores of each suite and model, with intervals, and differences in words. */
export function scoresView(page: EvaluationPage, evaluation: Evaluation): TemplateResult {
  const { t } = page;
  const { columns, scores, judge } = evaluation;
  return html`<section aria-labelledby="scores-title">
    <h2 id="scores-title">${t('scores')}</h2>
    <p class="hint">${words(page, evaluation)}</p>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="scores-title">
      <table class="scores">
        <thead>
          <tr>
            <th scope="col">${t('scores.suite')}</th>
            ${columns.map(
              ({ name, kind }) =>
                html`<th scope="col">
                  <span class="name">${name}</span> <small>${t(`kind.${kind}`)}</small>
                </th>`,
            )}
          </tr>
        </thead>
        <tbody>
          ${scores.map(
            (score) =>
              html`<tr class=${score.suite === null ? 'total' : nothing}>
                <th scope="row">${rowHead(page, score)}</th>
                ${score.columns.map((value, column) => valueCell(page, score, value, column))}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${judge ? judgeView(page, judge) : nothing}
  </section>`;
}

function words({ t, format }: EvaluationPage, { columns, settings }: Evaluation): string {
  const confidence = format.percent(settings.confidence);
  const [first, second] = columns;
  return first && second ? t('scores.words', first.name, confidence) : t('scores.only', confidence);
}

function rowHead({ t }: EvaluationPage, { suite, metric }: EvaluationScore) {
  const name = suite ?? t('scores.total');
  return html`<span class="name">${name}</span>
    ${metric === null ? nothing : html`<small>${t(`metric.${metric}`)}</small>`}`;
}

function valueCell(
  page: EvaluationPage,
  { metric, differences }: EvaluationScore,
  { value, interval, rows, errors }: ColumnValue,
  column: number,
): TemplateResult {
  const { t, format } = page;
  const difference = differences.find((own) => own.column === column);
  return html`<td>
    <span class="value">${value === null ? t('none') : scoreText(page, metric, value)}</span>
    ${interval ? html`<small>${intervalText(page, metric, interval)}</small>` : nothing}
    ${
      difference
        ? html`<span class="verdict ${difference.verdict}"
              >${verdictText(page, difference.verdict)}</span
            >
            <small>${differenceText(page, metric, difference)}</small>
            <small>${t('scores.counts', ...counts(page, difference))}</small>`
        : html`<small>${t('scores.rows', format.count(rows))}</small>`
    }
    ${
      errors > 0
        ? html`<small class="bad"
            >${icon('warning')}${t('scores.errors', format.count(errors))}</small
          >`
        : nothing
    }
  </td>`;
}

const verdictText = ({ t }: EvaluationPage, verdict: Verdict) => [
  verdict === 'better' ? icon('arrow-up') : nothing,
  verdict === 'worse' ? icon('arrow-down') : nothing,
  t(`verdict.${verdict}`),
];

const counts = (
  { format }: EvaluationPage,
  { wins, losses, ties }: EvaluationScore['differences'][number],
): readonly string[] => [wins, losses, ties].map((count) => format.count(count));

function judgeView({ t, format }: EvaluationPage, judge: JudgeReport): TemplateResult {
  const { model, pairs, flipped, nonsense } = judge;
  return html`<p class="hint">
    ${t('judge', model)} ${t('judge.pairs', format.count(pairs), format.count(flipped))}
    ${nonsense > 0 ? t('judge.nonsense', format.count(nonsense)) : nothing}
  </p>`;
}
