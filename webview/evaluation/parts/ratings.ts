import { nothing, type TemplateResult } from 'lit-html';
import type { Evaluation } from '../../../src/shared/evaluation/result';
import type { VoteRatings } from '../../../src/shared/pages/evaluation/protocol';
import { html } from '../../shared/html';
import type { EvaluationPage } from '../state';

const HEADS = ['model', 'rating', 'interval', 'wins', 'ties', 'losses'] as const;

/** What the votes come to: ratings of the models, and how often the judge agrees. */
export function ratingsView(
  page: EvaluationPage,
  { columns }: Evaluation,
  { votes, pairs, equal, ratings, agreement }: VoteRatings,
): TemplateResult {
  const { t, format } = page;
  const sorted = ratings.toSorted((a, b) => b.rating - a.rating);
  const whole = (value: number) => format.count(Math.round(value));
  return html`<section class="ratings" aria-labelledby="ratings-title">
    <h2 id="ratings-title">${t('ratings')}</h2>
    <p class="hint">
      ${t('ratings.words', format.count(votes), format.count(pairs))}
      ${equal > 0 ? t('ratings.equal', format.count(equal)) : nothing}
    </p>
    <table class="scores">
      <thead>
        <tr>
          ${HEADS.map((head) => html`<th scope="col">${t(`ratings.${head}`)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${sorted.map(
          ({ column, rating, low, high, wins, ties, losses }) =>
            html`<tr>
              <th scope="row">${columns[column]?.name ?? t('none')}</th>
              <td class="value">${whole(rating)}</td>
              <td>${t('scores.interval', whole(low), whole(high))}</td>
              ${[wins, ties, losses].map((count) => html`<td>${format.count(count)}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
    ${agreement ? html`<p>${t('ratings.agreement', agreement.agreed, agreement.votes)}</p>` : nothing}
  </section>`;
}
