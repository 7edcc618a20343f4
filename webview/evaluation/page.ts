import { nothing, type TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import type { Evaluation } from '../../src/shared/evaluation/result';
import {
  asEvaluationPageState,
  EvaluationHostMessageSchema,
  type EvaluationHostMessage,
  type EvaluationPageMessage,
} from '../../src/shared/pages/evaluation/protocol';
import type { EvaluationStringKey } from '../../src/shared/pages/evaluation/strings';
import { html } from '../shared/html';
import { startPage } from '../shared/startPage';
import { failedView } from '../shared/templates';
import { button, defineElements } from '../shared/toolkit';
import './evaluation.css';
import { gridView } from './parts/grid';
import { headView } from './parts/head';
import { closeRow, openedView } from './parts/opened';
import { ratingsView } from './parts/ratings';
import { scoresView } from './parts/scores';
import { toolbarView } from './parts/toolbar';
import { ballotView, votingKeys } from './parts/vote';
import {
  initialEvaluation,
  reduceEvaluation,
  type EvaluationPage,
  type EvaluationState,
} from './state';

defineElements(button());

startPage<EvaluationState, EvaluationHostMessage, EvaluationPageMessage, EvaluationStringKey>({
  schema: EvaluationHostMessageSchema,
  initial: ({ kept, fact }) => {
    const folder = fact('folder');
    const stored = asEvaluationPageState(kept);
    return initialEvaluation(
      stored?.folder === folder ? stored : asEvaluationPageState({ folder })!,
    );
  },
  reduce: reduceEvaluation,
  kept: ({ kept }) => kept,
  received: (message) => {
    if (message.kind === 'row') whenDrawn(() => toTop('.side'));
    if (message.kind === 'ballot') whenDrawn(() => showBallot(message.ballot !== null));
  },
  view: (page) => {
    votingKeys(page);
    return (state) => {
      if (state.fault !== null) return failedView(page.t('fault'), state.fault);
      if (!state.evaluation) return null;
      return state.ballot
        ? ballotView(page, state.ballot)
        : evaluationView(page, state, state.evaluation);
    };
  },
});

function evaluationView(
  page: EvaluationPage,
  state: EvaluationState,
  evaluation: Evaluation,
): TemplateResult {
  const { opened, ratings, rows, said, kept, search, listed, isComplete } = state;
  return html`<div class="top" tabindex="0" role="region" aria-label=${page.t('scores')}>
      ${guard([evaluation, ratings, rows, said], () => [
        headView(page, state, evaluation),
        scoresView(page, evaluation),
        ratings ? ratingsView(page, evaluation, ratings) : nothing,
      ])}
    </div>
    ${guard([kept, rows, search, listed, isComplete], () => toolbarView(page, state, evaluation))}
    <div class="columns ${opened ? 'split' : ''}">
      ${gridView(page, state, evaluation)}
      ${guard([opened, evaluation], () => (opened ? sideView(page, opened, evaluation) : nothing))}
    </div>`;
}

const sideView = (
  page: EvaluationPage,
  opened: NonNullable<EvaluationState['opened']>,
  evaluation: Evaluation,
): TemplateResult =>
  html`<aside
    class="side"
    tabindex="0"
    aria-labelledby="row-title"
    @keydown=${(event: KeyboardEvent) => {
      if (event.key === 'Escape') closeRow(page);
    }}
  >
    ${openedView(page, opened, evaluation)}
  </aside>`;

const whenDrawn = (then: () => void): void => {
  requestAnimationFrame(() => requestAnimationFrame(then));
};

const toTop = (selector: string): void => document.querySelector(selector)?.scrollTo({ top: 0 });

/** Shows the next pair from its beginning, or what the votes come to. */
function showBallot(isOpen: boolean): void {
  if (isOpen) toTop('main');
  else document.getElementById('ratings-title')?.scrollIntoView();
}
