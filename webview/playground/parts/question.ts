import { nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import type {
  PlaygroundPageState,
  PlaygroundServerState,
} from '../../../src/shared/pages/playground/protocol';
import { editable } from '../../shared/editable';
import { html } from '../../shared/html';
import { markdownTable } from '../../shared/markdown';
import { secondaryButton } from '../../shared/templates';
import { isBusy } from '../model/columns';
import { dragOver, drop, imagesView, isOutsideChat, paste } from './images';
import { rowView } from './row';
import { toolsField } from './tools';
import { ask, keep, stopColumns, type PlaygroundPage, type PlaygroundState } from '../state';

type Settings = PlaygroundPageState['settings'];

/** The prompt and how it is answered: template, temperature, seed, length. */
export function questionView(
  page: PlaygroundPage,
  state: PlaygroundState,
  server: PlaygroundServerState,
): TemplateResult {
  const { t } = page;
  const { prompt } = state.kept.settings;
  const press = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    ask(page);
  };
  return html`<section
    class="question"
    @dragover=${(event: DragEvent) => dragOver(page, event)}
    @drop=${(event: DragEvent) => drop(page, event)}
  >
    ${head(page, server)} ${rowView(page, state, server)}
    <div class="bar">
      <label for="prompt">${t('prompt')}</label>
      <span class="hint">${t('prompt.hint')}</span>
      ${recentPrompts(page, server)}
    </div>
    <textarea
      id="prompt"
      rows="4"
      .value=${live(prompt)}
      @input=${(event: Event) => set(page, { prompt: textOf(event) })}
      @keydown=${press}
      @paste=${(event: ClipboardEvent) => paste(page, event)}
    ></textarea>
    ${imagesView(page, state)} ${systemField(page, state)} ${toolsField(page, state)}
    <div class="bar">
      ${chatBox(page, state, server)} ${numberFields(page, state)} ${actions(page, state, server)}
    </div>
  </section>`;
}

function head(page: PlaygroundPage, { base, phase }: PlaygroundServerState): TemplateResult {
  const { t, post } = page;
  const failed = phase.kind === 'failed';
  return html`<div class="title">
      <h1>${t('title', base)}</h1>
      <span class="caption" role="status">${phaseText(page, phase)}</span>
      ${failed ? secondaryButton(t('reload'), () => post({ kind: 'reload' })) : nothing}
    </div>
    <p class="failure" role="alert" ?hidden=${!failed}>${failed ? phase.message : ''}</p>`;
}

function phaseText({ t, format }: PlaygroundPage, phase: PlaygroundServerState['phase']): string {
  switch (phase.kind) {
    case 'loading':
      return t('phase.loading', format.percent(phase.fraction));
    case 'ready':
      return t('phase.ready', phase.device);
    case 'failed':
      return t('phase.failed');
  }
}

const LONGEST_SHOWN = 80;

function recentPrompts(page: PlaygroundPage, { prompts }: PlaygroundServerState): TemplateResult {
  const { t } = page;
  const pick = (event: Event) => {
    const select = event.target as HTMLSelectElement;
    set(page, { prompt: prompts[Number(select.value)] ?? '' });
    select.value = '';
  };
  const shortened = (text: string) =>
    text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
  return html`<select aria-label=${t('recent')} ?hidden=${prompts.length === 0} @change=${pick}>
    <option value="">${t('recent.choose')}</option>
    ${prompts.map((text, i) => html`<option value=${i}>${shortened(text)}</option>`)}
  </select>`;
}

/** System messages of rows may have several lines. */
function systemField(page: PlaygroundPage, { kept: { settings } }: PlaygroundState) {
  const { t } = page;
  const lines = settings.system.split('\n').length;
  return html`<label class="system"
    >${t('system')}<textarea
      id="system"
      rows=${Math.min(6, lines)}
      placeholder=${t('system.hint')}
      .value=${live(settings.system)}
      ?disabled=${!settings.chat}
      @input=${(event: Event) => set(page, { system: textOf(event) })}
    ></textarea>
  </label>`;
}

function chatBox(page: PlaygroundPage, state: PlaygroundState, { phase }: PlaygroundServerState) {
  const { t } = page;
  const impossible = phase.kind === 'ready' && !phase.has_chat_template;
  const change = (event: Event) => set(page, { chat: (event.target as HTMLInputElement).checked });
  return html`<label title=${t('chat.hint')}
    ><input
      type="checkbox"
      id="chat"
      ?disabled=${impossible}
      .checked=${live(state.kept.settings.chat && !impossible)}
      @change=${change}
    />
    ${t('chat')}</label
  >`;
}

const NUMBER_FIELDS = [
  { key: 'temperature', min: 0, max: 5, step: 0.1 },
  { key: 'seed', min: 0, max: undefined, step: 1 },
  { key: 'max_new_tokens', min: 1, max: 4096, step: 1 },
] as const;

const numberFields = (page: PlaygroundPage, state: PlaygroundState) =>
  NUMBER_FIELDS.map((field) => numberField(page, state, field));

/** A number that the field does not allow is replaced by the one in use. */
function numberField(
  page: PlaygroundPage,
  { kept: { settings } }: PlaygroundState,
  { key, min, max, step }: (typeof NUMBER_FIELDS)[number],
): TemplateResult {
  const { t } = page;
  const change = (event: Event) => {
    const input = event.target as HTMLInputElement;
    if (input.validity.valid && input.value !== '') set(page, { [key]: Number(input.value) });
    else page.change({});
  };
  return html`<label
    >${t(key)}
    <input
      type="number"
      id=${key}
      min=${min}
      max=${max ?? nothing}
      step=${step}
      title=${key === 'temperature' ? t('temperature.hint') : nothing}
      .value=${editable(String(settings[key]))}
      @change=${change}
  /></label>`;
}

function actions(page: PlaygroundPage, state: PlaygroundState, { phase }: PlaygroundServerState) {
  const { t, post } = page;
  const { columns, kept } = state;
  const isAnswering = columns.some(isBusy);
  const canAsk =
    phase.kind === 'ready' &&
    !isAnswering &&
    kept.settings.prompt.trim() !== '' &&
    !isOutsideChat(kept.settings);
  return html`<span class="push actions">
    <vscode-button id="ask" ?disabled=${!canAsk} @click=${() => ask(page)}
      >${t('ask')}</vscode-button
    >
    <vscode-button
      id="stop"
      appearance="secondary"
      ?disabled=${!isAnswering}
      @click=${() => stopColumns(page, page.state.columns)}
      >${t('stop')}</vscode-button
    >
    ${secondaryButton(t('addAdapter'), () => post({ kind: 'addAdapter' }))}
    ${secondaryButton(t('copyMarkdown'), () => copy(page))}
  </span>`;
}

function copy({ t, post, state: { columns, kept } }: PlaygroundPage): void {
  const text = markdownTable(
    [t('prompt'), kept.settings.prompt],
    columns.map((column) => [column.name, column.text]),
  );
  post({ kind: 'copyText', text });
}

/** Changes what is asked, and how. */
export const set = (page: PlaygroundPage, change: Partial<Settings>): void =>
  keep(page, { settings: { ...page.state.kept.settings, ...change } });

const textOf = (event: Event): string =>
  (event.target as HTMLInputElement | HTMLTextAreaElement).value;
