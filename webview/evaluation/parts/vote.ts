import { nothing, type TemplateResult } from 'lit-html';
import type { Ballot, VoteChoice } from '../../../src/shared/pages/evaluation/protocol';
import { html } from '../../shared/html';
import { secondaryButton } from '../../shared/templates';
import type { EvaluationPage } from '../state';
import { turnsView } from './opened';

const KEYS: Readonly<Record<string, VoteChoice>> = { '1': 'left', '2': 'right', '0': 'tie' };

/** Votes by keys while two answers are shown. */
export function votingKeys(page: EvaluationPage): void {
  window.addEventListener('keydown', (event) => {
    const { ballot } = page.state;
    if (!ballot || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    const choice = KEYS[event.key];
    if (choice) vote(page, ballot, choice);
    else if (event.key.toLowerCase() === 'u' && ballot.canUndo) page.post({ kind: 'undoVote' });
    else return;
    event.preventDefault();
  });
}

/** The ballot that a vote was sent for last: a second key before the answer is not for the next. */
let voted: Ballot | undefined;

function vote(page: EvaluationPage, ballot: Ballot, choice: VoteChoice): void {
  if (voted === ballot) return;
  voted = ballot;
  page.post({ kind: 'vote', id: ballot.id, choice });
}

/** Two answers without names. */
export function ballotView(page: EvaluationPage, ballot: Ballot): TemplateResult {
  const { t, format, post } = page;
  const { id, done, total, turns, expected, left, right, canUndo } = ballot;
  const choose = (choice: VoteChoice) =>
    html`<vscode-button data-choice=${choice} @click=${() => vote(page, ballot, choice)}
      >${t(`vote.${choice}`)}</vscode-button
    >`;
  return html`<section class="vote" aria-labelledby="vote-title">
    <header class="bar">
      <h1 id="vote-title">${t('vote.title')}</h1>
      <span class="hint" role="status"
        >${t('vote.progress', format.count(done + 1), format.count(total))}</span
      >
      <progress max=${total} .value=${done} aria-labelledby="vote-title"></progress>
    </header>
    <p class="hint">${t('vote.words')}</p>
    <div class="bar">
      ${choose('left')} ${choose('right')} ${choose('tie')}
      ${secondaryButton(t('vote.skip'), () => post({ kind: 'skip', id }))}
      ${canUndo ? secondaryButton(t('vote.undo'), () => post({ kind: 'undoVote' })) : nothing}
      ${secondaryButton(t('vote.end'), () => post({ kind: 'endVoting' }))}
    </div>
    ${turnsView(page, turns)}
    <div class="answers">
      ${answerView(t('vote.leftAnswer'), left)} ${answerView(t('vote.rightAnswer'), right)}
    </div>
    ${
      expected === ''
        ? nothing
        : html`<details>
            <summary>${t('vote.expected')}</summary>
            <p class="text" dir="auto">${expected}</p>
          </details>`
    }
  </section>`;
}

const answerView = (name: string, text: string): TemplateResult =>
  html`<article class="card" aria-label=${name}>
    <h2>${name}</h2>
    <p class="text" tabindex="0" role="region" aria-label=${name} dir="auto">${text}</p>
  </article>`;
