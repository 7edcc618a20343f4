import type { TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { html } from '../../shared/html';
import type { DataGridColumn } from '../../shared/toolkit';
import { eventsOf, type TimelineEvent } from '../model/events';
import { historyKey, type DashboardPage, type DashboardState } from '../state';

/** Checkpoints, resumes, the best evaluation, warnings, start and end: the newest first. */
export function eventsView(page: DashboardPage, state: DashboardState): TemplateResult {
  const { run, history, log } = state;
  return html`<div class="events">
    ${guard([run, ...historyKey(history), log], () => eventsGrid(page, eventsOf(run, history, log)))}
  </div>`;
}

function eventsGrid(page: DashboardPage, events: readonly TimelineEvent[]): TemplateResult {
  const { t, format } = page;
  if (events.length === 0) return html`<p class="empty">${t('event.none')}</p>`;
  const columns: DataGridColumn[] = (['step', 'what', 'detail'] as const).map((column) => ({
    columnDataKey: column,
    title: t(`event.${column}`),
  }));
  const rows = events.map((event) => ({
    step: event.step === null ? '' : format.count(event.step),
    what: eventName(page, event),
    detail: eventDetail(page, event),
  }));
  return html`<vscode-data-grid
    aria-label=${t('tab.events')}
    grid-template-columns="1fr 3fr 5fr"
    .columnDefinitions=${columns}
    .rowsData=${rows}
  ></vscode-data-grid>`;
}

function eventName({ t }: DashboardPage, event: TimelineEvent): string {
  if (event.kind === 'ended') return t(`state.${event.state}`);
  return event.kind === 'best' && event.metric !== 'loss'
    ? t('event.best.metric', t(`series.${event.metric}`))
    : t(`event.${event.kind}`);
}

function eventDetail({ t, format }: DashboardPage, event: TimelineEvent): string {
  switch (event.kind) {
    case 'created':
    case 'started':
    case 'ended':
      return format.time(event.time);
    case 'checkpoint':
      return event.path;
    case 'resume':
      return t('event.resume.detail');
    case 'best':
      return format.value(event.value);
    case 'warn':
    case 'error':
      return event.message;
  }
}
