import { nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import { ref } from 'lit-html/directives/ref.js';
import { repeat } from 'lit-html/directives/repeat.js';
import { MAX_SCALE } from '../../../src/shared/pages/playground/protocol';
import { html } from '../../shared/html';
import { icon, iconButton, secondaryButton } from '../../shared/templates';
import {
  answerParts,
  exampleOf,
  isBusy,
  partsOf,
  worseThan,
  type AnswerColumn,
} from '../model/columns';
import { callView, reasoningView, resultsView, turnsView } from './calls';
import {
  adapterScale,
  append,
  ask,
  askedRow,
  keep,
  prefer,
  toggleSecond,
  type PlaygroundPage,
  type PlaygroundState,
} from '../state';

/** The answers side by side, the base model's first. */
export function answersView(page: PlaygroundPage, state: PlaygroundState): TemplateResult {
  const { t } = page;
  const { columns } = state;
  const hasMarks = columns.length > 1 && columns.some((column) => column.state.kind === 'done');
  return html`<section aria-label=${t('answers')}>
    <div class="answers">
      ${repeat(
        columns,
        ({ adapter, name, sample }) => `${adapter ?? 'base'} ${sample} ${name}`,
        (column) => answerCard(page, state, column),
      )}
      ${expectedCard(page, state)}
    </div>
    <p class="hint" ?hidden=${!hasMarks}>${t('marks')}</p>
    ${appendedView(page, state)}
  </section>`;
}

/** Says that rows were appended to a file. */
function appendedView({ t, format, post }: PlaygroundPage, { appended }: PlaygroundState) {
  return html`<div class="bar">
    <span role="status" class="appended"
      >${appended ? t('appended', format.count(appended.rows), appended.file) : nothing}</span
    >
    ${appended ? secondaryButton(t('otherFile'), () => post({ kind: 'otherFile' })) : nothing}
  </div>`;
}

/** What the row teaches, beside the answers to its question. */
function expectedCard({ t }: PlaygroundPage, state: PlaygroundState) {
  const row = askedRow(state);
  if (!row) return nothing;
  return html`<article class="card expected" aria-label=${t('expected')}>
    <header><h2>${t('expected')}</h2></header>
    <div class="text" tabindex="0" role="region" aria-label=${t('expected')}>
      <span class="written">${row.expected}</span>
    </div>
  </article>`;
}

/** Whether a finished answer is just what the row teaches. */
function isExact(state: PlaygroundState, { text, state: { kind } }: AnswerColumn): boolean {
  const row = askedRow(state);
  return row !== null && kind === 'done' && text.trim() === row.expected.trim();
}

function answerCard(page: PlaygroundPage, state: PlaygroundState, column: AnswerColumn) {
  const { t, post } = page;
  const { adapter, sample } = column;
  const name = nameOf(page, state, column);
  const base = baseAnswer(state, column);
  const remove = () => {
    if (sample === 1) toggleSecond(page, column);
    else if (adapter !== null) post({ kind: 'removeAdapter', adapter });
  };
  const isRemovable = adapter !== null || sample === 1;
  return html`<article class="card" aria-label=${name}>
    <header>
      <h2>${name}</h2>
      ${isRemovable ? iconButton('close', t('remove', name), remove) : nothing}
    </header>
    ${adapter === null || sample === 1 ? nothing : scaleSlider(page, state, { adapter, name })}
    <div
      class="text"
      tabindex="0"
      role="region"
      aria-label=${name}
      aria-busy=${isBusy(column)}
      ${ref((element) => isBusy(column) && scrollToEnd(element))}
    >
      ${turnsView(page, column.turns)}
      <span class="written">${answerContent(page, column, base)}</span>
      ${callsView(page, column)}
    </div>
    ${resultsView(page, column, partsOf(column)?.calls ?? [])}
    <p class="caption" role="status">
      ${
        isExact(state, column)
          ? html`<span class="exact">${icon('pass-filled')}${t('exact')}</span> · `
          : nothing
      }${answerFacts(page, column, base)}
    </p>
    ${cardActions(page, state, column)}
  </article>`;
}

const nameOf = ({ t, format }: PlaygroundPage, { kept }: PlaygroundState, column: AnswerColumn) => {
  const seed = (column.asked?.seed ?? kept.settings.seed) + column.sample;
  return column.sample === 0 ? column.name : t('second.name', column.name, format.count(seed));
};

/** What can be done with a finished answer. */
function cardActions(page: PlaygroundPage, state: PlaygroundState, column: AnswerColumn) {
  if (exampleOf(column) === '') return nothing;
  const { t } = page;
  const action = (key: 'append' | 'better' | 'second', hint: string, click: () => void) =>
    html`<vscode-button class=${key} appearance="secondary" title=${hint} @click=${click}
      >${t(key)}</vscode-button
    >`;
  const isComparable = worseThan(column, state.columns).length > 0;
  const hasSecond = column.sample === 0 && column.turns.length === 0;
  return html`<div class="actions">
    ${isComparable ? action('better', t('better.hint'), () => prefer(page, column)) : nothing}
    ${action('append', t('append.hint'), () => append(page, column))}
    ${hasSecond ? action('second', t('second.hint'), () => toggleSecond(page, column)) : nothing}
  </div>`;
}

/** Reasoning and calls of a finished answer. */
function callsView(page: PlaygroundPage, column: AnswerColumn) {
  const parts = partsOf(column);
  if (!parts) return nothing;
  return html`${reasoningView(page, parts.reasoning)}${parts.calls.map((call) =>
    callView(page, call),
  )}
  ${parts.faulty ? html`<p class="failure">${page.t('call.faulty')}</p>` : nothing}`;
}

/** Whether an answer has more than text, and is shown in parts. */
function inParts(column: AnswerColumn): string | null {
  const parts = partsOf(column);
  const hasMore = parts !== null && (parts.calls.length > 0 || parts.reasoning !== '');
  return hasMore && !parts.faulty ? parts.content : null;
}

/** The base model's answer that an adapter's finished answer is compared with. */
function baseAnswer({ columns }: PlaygroundState, { adapter, state }: AnswerColumn): string | null {
  const base = columns[0]!;
  const comparable = adapter !== null && state.kind === 'done' && base.state.kind === 'done';
  return comparable ? base.text : null;
}

/** Keeps the end of a growing answer in sight, once its new text is there. */
function scrollToEnd(element: Element | undefined): void {
  queueMicrotask(() => {
    if (element) element.scrollTop = element.scrollHeight;
  });
}

function answerContent({ t }: PlaygroundPage, column: AnswerColumn, base: string | null) {
  const { text, state } = column;
  const content = inParts(column);
  if (content !== null) return content;
  if (state.kind === 'failed') return html`<span class="failure">${state.message}</span>`;
  if (text !== '' && base === null) return text;
  if (text !== '')
    return answerParts(text, base ?? '').map((part) =>
      part.own ? html`<mark>${part.text}</mark>` : part.text,
    );
  if (state.kind === 'done') return html`<span class="hint">${t('nothing')}</span>`;
  return state.kind === 'empty' ? html`<span class="hint">${t('empty')}</span>` : nothing;
}

function answerFacts(
  { t, format }: PlaygroundPage,
  { text, state }: AnswerColumn,
  base: string | null,
): string {
  switch (state.kind) {
    case 'waiting':
      return t('waiting');
    case 'writing':
      return t('writing');
    case 'done': {
      const tokens = format.count(state.tokens);
      const facts = state.stopped
        ? t('stopped', tokens)
        : t('facts', tokens, format.speed(state.tokens / state.seconds));
      return text === base ? `${facts} · ${t('same')}` : facts;
    }
    case 'empty':
    case 'failed':
      return '';
  }
}

/** How many times the adapter's update is added; the adapter answers anew when it is let go. */
function scaleSlider(
  page: PlaygroundPage,
  state: PlaygroundState,
  { adapter, name }: { readonly adapter: number; readonly name: string },
): TemplateResult {
  const { t, format } = page;
  const scale = adapterScale(state, adapter);
  const text = format.digits(scale, 3);
  const id = `scale-${adapter}`;
  const slide = (event: Event) => {
    const value = Number((event.target as HTMLInputElement).value);
    const { scales, adapters } = page.state.kept;
    keep(page, { scales: adapters.map((_, i) => (i === adapter ? value : (scales[i] ?? 1))) });
  };
  const letGo = () => {
    if (page.state.columns.some(({ id: asked }) => asked !== null))
      ask(page, (column) => column.adapter === adapter);
  };
  return html`<div class="smoothing">
    <span>${t('scale')}</span>
    <input
      id=${id}
      type="range"
      min="0"
      max=${MAX_SCALE}
      step="0.05"
      aria-label="${t('scale')}: ${name}"
      aria-valuetext=${t('scale.words', text)}
      .value=${live(String(scale))}
      @input=${slide}
      @change=${letGo}
    />
    <output for=${id}>${text}</output>
  </div>`;
}
