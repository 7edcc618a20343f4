import {
  asOverlaySubject,
  OverlayHostMessageSchema,
  type OverlayHostMessage,
  type OverlayPageMessage,
} from '../../src/shared/pages/overlay/protocol';
import type { OverlayStringKey } from '../../src/shared/pages/overlay/strings';
import { nothing } from 'lit-html';
import { html } from '../shared/html';
import { startPage } from '../shared/startPage';
import { button, defineElements } from '../shared/toolkit';
import { overlayRows } from './model/rows';
import './overlay.css';
import { OverlayChart } from './parts/chart';
import { headView } from './parts/head';
import { rangeChartView } from './parts/rangeChart';
import { sweepChartView } from './parts/sweepChart';
import { tableView } from './parts/table';
import { initialOverlay, reduceOverlay, type OverlayState } from './state';

/** Least time between two drawings while values come in, in ms: it keeps many runs smooth. */
const DRAW_INTERVAL = 200;

defineElements(button());

startPage<OverlayState, OverlayHostMessage, OverlayPageMessage, OverlayStringKey>({
  schema: OverlayHostMessageSchema,
  initial: ({ kept, fact }) => initialOverlay(kept, asOverlaySubject(JSON.parse(fact('subject')))!),
  reduce: reduceOverlay,
  kept: ({ choices }) => choices,
  interval: (message) =>
    message.kind === 'of' && message.message.kind === 'append' ? DRAW_INTERVAL : 0,
  view: (page) => {
    const chart = new OverlayChart(page);
    return (state) => {
      if (!state.runs) return null;
      const rows = overlayRows(state.runs, state.sweep?.keys ?? null);
      const content =
        rows.length > 0
          ? html`${state.sweep?.tune ? rangeChartView(page, state.sweep.tune) : nothing}
            ${state.sweep ? sweepChartView(page, rows, state.sweep.keys) : nothing}
            ${chart.view(state)}${tableView(page, state, rows)}`
          : html`<p class="empty">${page.t('empty')}</p>`;
      return html`${headView(page, state, rows)}${content}`;
    };
  },
});
