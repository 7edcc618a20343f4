import { nothing, type TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import {
  formatPlace,
  withoutOptions,
  type Place,
  type Problem,
  type SerializedError,
} from '../../../src/shared/errors';
import type { AdvisedKey, RuntimeWait } from '../../../src/shared/pages/dashboard/protocol';
import { html } from '../../shared/html';
import { icon, secondaryButton } from '../../shared/templates';
import {
  healthNotes,
  settingsOf,
  severityOf,
  type HealthNote,
  type NoteSeverity,
} from '../model/health';
import { lastCheckpointStep } from '../model/summary';
import { currentStep, isAway, type DashboardPage, type DashboardState } from '../state';

const MOST_PROBLEMS = 50;

/** What the user should know before the numbers: the error of the run, and notes on its health. */
export function noticesView(page: DashboardPage, state: DashboardState): TemplateResult {
  const { t } = page;
  const error = state.status.error ?? state.run?.error ?? null;
  const title = t(state.status.state === 'failed' ? 'error.title' : 'error.trouble');
  const notes = allNotes(page, state);
  return html`<div class="notices">
    ${state.wait === null ? nothing : waitView(page, state.wait)} ${awayView(page, state)}
    <section class="error" role="alert" ?hidden=${error === null}>
      ${guard([JSON.stringify(error), title], () =>
        error ? errorView(page, error, title) : nothing,
      )}
    </section>
    <ul class="notes" aria-label=${t('notes')} ?hidden=${notes.length === 0}>
      ${notes.map(
        (note) =>
          html`<li class="note note-${note.severity}">
            ${icon(note.severity)}<span>${note.text}${settingLinks(page, note)}</span>
          </li>`,
      )}
    </ul>
  </div>`;
}

/** What the run waits for, with a button where the user must decide. */
function waitView({ t, post }: DashboardPage, wait: RuntimeWait): TemplateResult {
  const install = () => post({ kind: 'runtime', what: 'install' });
  const buttons = html`<div class="actions">
    <vscode-button appearance="primary" @click=${install}>${t('wait.install')}</vscode-button>
    ${secondaryButton(t('wait.ask'), () => post({ kind: 'runtime', what: 'ask' }))}
  </div>`;
  return html`<section class="wait" role="status">
    <h2>${icon('cloud-download')}${t('wait.title')}</h2>
    <p>${t(`wait.${wait}`)}</p>
    ${wait === 'answer' ? buttons : nothing}
  </section>`;
}

/** That the run continues on a target that is not connected, and how to see more of it. */
function awayView({ t, post }: DashboardPage, state: DashboardState) {
  const { remote } = state.labels;
  if (!remote || !isAway(state)) return nothing;
  const reconnect = html`<div class="actions">
    ${secondaryButton(t('remote.reconnect'), () => post({ kind: 'reconnect' }))}
  </div>`;
  return html`<section class="wait" role="status">
    <h2>${icon('plug')}${t('remote.away')}</h2>
    <p>${remote.away}</p>
    ${remote.can_reconnect ? reconnect : nothing}
  </section>`;
}

function errorView(page: DashboardPage, error: SerializedError, title: string): TemplateResult {
  const { t, post } = page;
  const problems = error.problems ?? [];
  const shown = problems.slice(0, MOST_PROBLEMS);
  const more = problems.length - shown.length;
  const list = html`<ul class="problems">
    ${shown.map((problem) => problemItem(page, problem))}
  </ul>`;
  const openRecipe = secondaryButton(t('openRecipe'), () => post({ kind: 'open', what: 'recipe' }));
  return html`<h2>${icon('error')}${title}</h2>
    <p class="message">${error.message}${placeLink(page, error.place)}</p>
    ${shown.length > 0 ? list : nothing}
    ${more > 0 ? html`<p>${t('error.more', more)}</p>` : nothing}
    ${error.fix ? html`<p class="fix">${icon('lightbulb')}<span>${withoutOptions(error.fix)}</span></p>` : nothing}
    ${error.detail ? technicalDetails(page, error.detail) : nothing}
    <div class="actions">
      ${error.area === 'recipe' ? openRecipe : nothing}
      ${secondaryButton(t('showLog'), () => post({ kind: 'open', what: 'log' }))}
      ${secondaryButton(t('copyError'), () => post({ kind: 'copyError' }))}
    </div>`;
}

const technicalDetails = ({ t }: DashboardPage, detail: string) =>
  html`<details>
    <summary>${t('error.detail')}</summary>
    <pre tabindex="0">${detail}</pre>
  </details>`;

const problemItem = (page: DashboardPage, { severity, message, place }: Problem) =>
  html`<li>${icon(severity)}<span>${message}${placeLink(page, place)}</span></li>`;

function placeLink({ post }: DashboardPage, place: Place | undefined) {
  if (!place) return nothing;
  const open = () => post({ kind: 'openPlace', place });
  return html` <button class="link" type="button" @click=${open}>${formatPlace(place)}</button>`;
}

interface Note {
  readonly severity: NoteSeverity;
  readonly text: string;
  /** Keys of the recipe that it advises to change. */
  readonly settings?: readonly AdvisedKey[];
}

/** Open the recipe at the keys. */
const settingLinks = ({ t, post }: DashboardPage, { settings = [] }: Note) =>
  settings.map((key) => {
    const open = () => post({ kind: 'openSetting', key });
    const title = t('notes.setting', key);
    return html` <button class="link" type="button" title=${title} @click=${open}>${key}</button>`;
  });

function allNotes(page: DashboardPage, state: DashboardState): Note[] {
  return [
    ...interruptionNote(page, state),
    ...linkNote(page, state),
    ...(state.history.isOutline ? [] : healthNotes(state.history, state.run)).map((note) => ({
      severity: severityOf(note),
      text: healthText(page, note),
      settings: settingsOf(note),
    })),
  ];
}

/** Why the run is only followed by its folder; during preparation there may be no engine yet. */
function linkNote({ t }: DashboardPage, state: DashboardState): Note[] {
  const { link, status } = state;
  if (link === 'untrusted') return [{ severity: 'info', text: t('link.untrusted') }];
  if (isAway(state)) return [];
  return link === 'folder' && status.state !== 'preparing'
    ? [{ severity: 'info', text: t('link.folder') }]
    : [];
}

function interruptionNote({ t, format }: DashboardPage, state: DashboardState): Note[] {
  if (state.status.state !== 'interrupted') return [];
  const checkpoint = lastCheckpointStep(state.history);
  const step = format.count(currentStep(state));
  const text =
    checkpoint === null
      ? t('interrupted.none', step)
      : t('interrupted.words', step, format.count(checkpoint));
  return [{ severity: 'warning', text }];
}

function healthText({ t, format }: DashboardPage, note: HealthNote): string {
  switch (note.kind) {
    case 'nan':
    case 'zeroRate':
    case 'rising':
      return t(`health.${note.kind}`, format.count(note.step));
    case 'exploding': {
      const { step, norm, usual } = note;
      return t('health.exploding', format.count(step), format.value(norm), format.value(usual));
    }
    case 'climbing': {
      const { step, lowest, loss } = note;
      return t('health.climbing', format.count(step), format.value(lowest), format.value(loss));
    }
    case 'unlabelled':
      return t('health.unlabelled', format.count(note.steps), format.count(note.step));
    case 'worse':
      return t('health.worse', format.value(note.loss), format.value(note.base));
    case 'forgets': {
      const advice = note.advice.map((own) => t(`forgets.${own}`)).join('; ');
      return t('health.forgets', format.value(note.base), format.value(note.loss), advice);
    }
    case 'bothFall':
      return t(
        'health.bothFall',
        ...[...note.chosen, ...note.rejected].map((value) => format.value(value)),
      );
    case 'clipped':
      return t('health.clipped', note.steps, format.value(note.limit));
    case 'skippedRows':
      return t('health.skippedRows', format.count(note.rows));
    case 'noValidation':
      return t('health.noValidation');
  }
}
