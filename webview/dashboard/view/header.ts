import { nothing, type TemplateResult } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';
import type { OpenTarget, RunRequest } from '../../../src/shared/pages/dashboard/protocol';
import type { StringKey } from '../../../src/shared/pages/dashboard/strings';
import type { RunState } from '../../../src/shared/run';
import { html } from '../../shared/html';
import { icon } from '../../shared/templates';
import { headFacts } from '../model/headFacts';
import { lastCheckpointStep } from '../model/summary';
import {
  currentStep,
  hasEnded,
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
      <h1>${state.run?.name ?? folderName(state.choices.runDir)}</h1>
      ${stateBadge(page, state)}
      <div class="actions" role="group" aria-label=${t('actions')}>${buttons}</div>
    </div>
    ${progressBar(page, state)}
    <p class="facts">${headFacts(page, state).map((text) => html`<span>${text}</span>`)}</p>
  </header>`;
}

const folderName = (runDir: string): string => runDir.split(/[\\/]/).at(-1) ?? runDir;

function stateBadge({ t }: DashboardPage, { status: { state } }: DashboardState): TemplateResult {
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
  readonly isPrimary?: boolean;
  /** Its text, if the button has none of its own. */
  readonly title?: StringKey;
  /** A request to the engine: it needs one that answers, and one is sent at a time. */
  readonly request?: RunRequest;
  readonly opens?: OpenTarget;
  readonly isShown: (state: DashboardState) => boolean;
}

/** The button without a request or a target continues a run that has ended. */
const ACTIONS: readonly Action[] = [
  {
    text: 'pause',
    icon: 'debug-pause',
    isPrimary: true,
    request: 'pause',
    isShown: ({ status }) => status.state === 'running',
  },
  {
    text: 'resume',
    icon: 'play',
    isPrimary: true,
    request: 'resume',
    isShown: ({ status }) => status.state === 'paused',
  },
  {
    text: 'stop',
    icon: 'debug-stop',
    title: 'stopHint',
    request: 'stop',
    isShown: (state) => !hasEnded(state),
  },
  { text: 'continue', icon: 'debug-continue', isPrimary: true, isShown: canContinue },
  { text: 'openRecipe', icon: 'json', opens: 'recipe', isShown: ({ run }) => run !== null },
  {
    text: 'revealAdapter',
    icon: 'folder-opened',
    opens: 'adapter',
    isShown: (state) => hasEnded(state) && typeof state.run?.result.adapter === 'string',
  },
  {
    text: 'revealModel',
    icon: 'folder-opened',
    opens: 'model',
    isShown: (state) => hasEnded(state) && typeof state.run?.result.model === 'string',
  },
  { text: 'showLog', icon: 'output', opens: 'log', isShown: () => true },
];

function canContinue({ status: { state }, history }: DashboardState): boolean {
  if (state === 'interrupted') return true;
  return (state === 'stopped' || state === 'failed') && lastCheckpointStep(history) !== null;
}

function actionButton(page: DashboardPage, state: DashboardState, action: Action): TemplateResult {
  const { t } = page;
  const isIdle = state.link !== 'engine' || state.pending !== null;
  return html`<vscode-button
    appearance=${action.isPrimary ? 'primary' : 'secondary'}
    title=${t(action.title ?? action.text)}
    ?hidden=${!action.isShown(state)}
    ?disabled=${action.request !== undefined && isIdle}
    @click=${() => act(page, action)}
    ><span slot="start" class="codicon codicon-${action.icon}" aria-hidden="true"></span>${t(
      action.text,
    )}</vscode-button
  >`;
}

function act({ change, post }: DashboardPage, { request, opens }: Action): void {
  if (request) {
    change({ pending: request });
    post({ kind: 'request', request });
  } else if (opens) {
    post({ kind: 'open', what: opens });
  } else {
    post({ kind: 'continue' });
  }
}
