import { nothing, type TemplateResult } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';
import { asRunScore } from '../../../src/shared/evaluation/result';
import type { NextStep, PageMessage } from '../../../src/shared/pages/dashboard/protocol';
import type { StringKey } from '../../../src/shared/pages/dashboard/strings';
import type { RunState } from '../../../src/shared/run';
import { writesText } from '../../../src/shared/task';
import { html } from '../../shared/html';
import { icon } from '../../shared/templates';
import { headFacts } from '../model/headFacts';
import { lastCheckpointStep } from '../model/summary';
import {
  currentStep,
  hasEnded,
  isAway,
  totalSteps,
  type DashboardPage,
  type DashboardState,
} from '../state';

const STATE_ICONS: Readonly<Record<RunState, string>> = {
  preparing: 'loading',
  running: 'play-circle',
  paused: 'debug-pause',
  stopped: 'debug-stop',
  completed: 'pass',
  failed: 'error',
  interrupted: 'debug-disconnect',
};

/** Name and state of the run, its progress, and what can be done with it. */
export function headerView(page: DashboardPage, state: DashboardState): TemplateResult {
  const { t } = page;
  const buttons = ACTIONS.map((action) => actionButton(page, state, action));
  return html`<header class="head">
    <div class="title">
      <h1>${state.labels.name ?? state.run?.name ?? folderName(state.choices.runDir)}</h1>
      ${stateBadge(page, state)} ${targetName(state)}
      <div class="actions" role="group" aria-label=${t('actions')}>${buttons}</div>
    </div>
    ${progressBar(page, state)}
    <p class="facts">${headFacts(page, state).map((text) => html`<span>${text}</span>`)}</p>
  </header>`;
}

const folderName = (runDir: string): string => runDir.split(/[\\/]/).at(-1) ?? runDir;

function targetName({ labels: { remote } }: DashboardState) {
  if (!remote) return nothing;
  return html`<span class="target" title=${remote.place}>${icon('remote')}${remote.target}</span>`;
}

function stateBadge({ t }: DashboardPage, page: DashboardState): TemplateResult {
  const { state } = page.status;
  if (isAway(page))
    return html`<span role="status" class="state">${icon('plug')}${t('remote.away')}</span>`;
  const ring = html`<vscode-progress-ring aria-hidden="true"></vscode-progress-ring>`;
  const isBusy = state === 'running' || state === 'preparing';
  return html`<span role="status" class="state state-${state}"
    >${isBusy ? ring : nothing}${icon(STATE_ICONS[state])}${t(`state.${state}`)}</span
  >`;
}

function progressBar({ t, format }: DashboardPage, state: DashboardState): TemplateResult {
  const share = shareDone(state);
  const isUnknown = share === null && !hasEnded(state);
  const scale = (element: Element | undefined) => {
    if (element instanceof HTMLElement) element.style.transform = `scaleX(${share ?? 0})`;
  };
  return html`<div
    class="progress ${isUnknown ? 'unknown' : ''}"
    role="progressbar"
    aria-label=${t('head.progress')}
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${share === null ? nothing : Math.round(share * 100)}
    aria-valuetext=${share === null ? nothing : format.percent(share)}
  >
    <div class="fill" ${ref(scale)}></div>
  </div>`;
}

/** Of the training; while the engine prepares, of the preparation. */
function shareDone(state: DashboardState): number | null {
  if (state.status.state === 'preparing') return state.progress?.fraction ?? null;
  const total = totalSteps(state);
  return total ? Math.min(1, currentStep(state) / total) : null;
}

interface Action {
  readonly text: StringKey;
  readonly icon: string;
  readonly isPrimary?: (state: DashboardState) => boolean;
  /** Shown by its icon alone. */
  readonly isSmall?: boolean;
  /** Its text, if the button has none of its own. */
  readonly title?: (page: DashboardPage) => string;
  /** Requests need an engine that answers, and one is sent at a time. */
  readonly does: PageMessage;
  readonly isShown: (state: DashboardState) => boolean;
}

const always = () => true;
const next = (what: NextStep): PageMessage => ({ kind: 'next', what });
const hasAdapter = (state: DashboardState): boolean =>
  hasEnded(state) && typeof state.run?.result.adapter === 'string';
const hasModel = (state: DashboardState): boolean =>
  hasEnded(state) && typeof state.run?.result.model === 'string';
const isTextModel = ({ run }: DashboardState): boolean =>
  run?.recipe.task === undefined || writesText(run.recipe.task);

/** Nothing is left to train. */
const isDone = (state: DashboardState): boolean =>
  state.status.state !== 'failed' && !canContinue(state);

const ACTIONS: readonly Action[] = [
  {
    text: 'pause',
    icon: 'debug-pause',
    isPrimary: always,
    does: { kind: 'request', request: 'pause' },
    isShown: ({ status }) => status.state === 'running',
  },
  {
    text: 'resume',
    icon: 'play',
    isPrimary: always,
    does: { kind: 'request', request: 'resume' },
    isShown: ({ status }) => status.state === 'paused',
  },
  {
    text: 'stop',
    icon: 'debug-stop',
    title: ({ t }) => t('stopHint'),
    does: { kind: 'request', request: 'stop' },
    isShown: (state) => !hasEnded(state),
  },
  {
    text: 'continue',
    icon: 'debug-continue',
    isPrimary: always,
    does: { kind: 'continue' },
    isShown: canContinue,
  },
  {
    text: 'tryAdapter',
    icon: 'beaker',
    isPrimary: isDone,
    does: next('tryAdapter'),
    isShown: (state) => hasAdapter(state) && isTextModel(state),
  },
  {
    text: 'tryModel',
    icon: 'beaker',
    isPrimary: isDone,
    does: next('tryModel'),
    isShown: (state) => hasModel(state) && isTextModel(state),
  },
  { text: 'merge', icon: 'git-merge', does: next('merge'), isShown: hasAdapter },
  { text: 'export', icon: 'export', does: next('export'), isShown: hasAdapter },
  {
    text: 'compare',
    icon: 'diff',
    title: ({ t, state }) => t('compareHint', state.labels.previous ?? ''),
    does: next('compare'),
    isShown: (state) => hasAdapter(state) && state.labels.previous !== null,
  },
  { text: 'evaluate', icon: 'checklist', does: next('evaluate'), isShown: hasAdapter },
  {
    text: 'openEvaluation',
    icon: 'graph',
    does: next('openEvaluation'),
    isShown: (state) => hasEnded(state) && asRunScore(state.run?.result.evaluation) !== undefined,
  },
  {
    text: 'runAgain',
    icon: 'refresh',
    isPrimary: (state) => state.status.state === 'failed' && !canContinue(state),
    does: next('runAgain'),
    isShown: (state) => hasEnded(state) && state.run !== null,
  },
  {
    text: 'openRecipe',
    icon: 'json',
    isSmall: true,
    does: { kind: 'open', what: 'recipe' },
    isShown: ({ run }) => run !== null,
  },
  {
    text: 'revealAdapter',
    icon: 'folder-opened',
    isSmall: true,
    does: { kind: 'open', what: 'adapter' },
    isShown: hasAdapter,
  },
  {
    text: 'revealModel',
    icon: 'folder-opened',
    isSmall: true,
    does: { kind: 'open', what: 'model' },
    isShown: hasModel,
  },
  {
    text: 'showLog',
    icon: 'output',
    isSmall: true,
    does: { kind: 'open', what: 'log' },
    isShown: always,
  },
];

function canContinue({ status: { state }, history }: DashboardState): boolean {
  if (state === 'interrupted') return true;
  return (state === 'stopped' || state === 'failed') && lastCheckpointStep(history) !== null;
}

function actionButton(page: DashboardPage, state: DashboardState, action: Action): TemplateResult {
  const { t } = page;
  const { text, isPrimary, isSmall = false, does, isShown } = action;
  const isIdle = state.link !== 'engine' || state.pending !== null || isAway(state);
  const image = html`<span
    slot=${isSmall ? nothing : 'start'}
    class="codicon codicon-${action.icon}"
    aria-hidden="true"
  ></span>`;
  return html`<vscode-button
    class=${isSmall ? 'small' : nothing}
    appearance=${isPrimary?.(state) === true ? 'primary' : 'secondary'}
    title=${action.title?.(page) ?? t(text)}
    aria-label=${isSmall ? t(text) : nothing}
    ?hidden=${!isShown(state)}
    ?disabled=${does.kind === 'request' && isIdle}
    @click=${() => act(page, does)}
    >${image}${isSmall ? nothing : t(text)}</vscode-button
  >`;
}

function act({ change, post }: DashboardPage, does: PageMessage): void {
  if (does.kind === 'request') change({ pending: does.request });
  post(does);
}
