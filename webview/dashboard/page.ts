import type { TemplateResult } from 'lit-html';
import { keyed } from 'lit-html/directives/keyed.js';
import { DashboardHostMessageSchema } from '../../src/shared/pages/dashboard/guards';
import type { HostMessage, PageMessage } from '../../src/shared/pages/dashboard/protocol';
import type { StringKey } from '../../src/shared/pages/dashboard/strings';
import { html } from '../shared/html';
import { startPage } from '../shared/startPage';
import * as toolkit from '../shared/toolkit';
import { ChartBoard } from './charts/board';
import './dashboard.css';
import { asChoices } from './model/choices';
import { KeyNumbers } from './model/keyNumbers';
import { choose } from '../shared/page';
import { initialDashboard, reduceDashboard, type DashboardState } from './state';
import { endView } from './view/end';
import { headerView } from './view/header';
import { noticesView } from './view/notices';
import { samplesView } from './view/samples';
import { summaryMarkdown } from './view/summaryMarkdown';
import { tabsView } from './view/tabs';
import { tilesView } from './view/tiles';

toolkit.defineElements(
  toolkit.button(),
  toolkit.dataGrid(),
  toolkit.dataGridCell(),
  toolkit.dataGridRow(),
  toolkit.panels(),
  toolkit.panelTab(),
  toolkit.panelView(),
  toolkit.progressRing(),
);

startPage<DashboardState, HostMessage, PageMessage, StringKey>({
  schema: DashboardHostMessageSchema,
  initial: ({ kept, fact }) => initialDashboard(asChoices(kept, fact('run-dir'))),
  reduce: reduceDashboard,
  received: (message, page) => {
    if (message.kind === 'snapshot') page.post({ kind: 'shown', run_dir: message.run_dir });
  },
  kept: ({ choices }) => choices,
  view: (page) => {
    const numbers = new KeyNumbers(page);
    const board = new ChartBoard(page, (state) => summaryMarkdown(page, numbers, state));
    return (state) => {
      if (!state.loaded) return null;
      // what is unfolded and scrolled there belongs to one run; the charts are used again
      const ofRun = (content: TemplateResult) => keyed(state.choices.runDir, content);
      const top = html`${headerView(page, state)} ${endView(page, numbers, state)}
      ${noticesView(page, state)} ${tilesView(page, numbers, state)}`;
      return html`${ofRun(top)} ${board.view(state, ofRun(samplesView(page, state)))}
      ${ofRun(tabsView(page, state))}`;
    };
  },
  shown: (page) => {
    window.scrollTo(0, page.state.choices.scroll);
    const remember = () => choose(page, { scroll: window.scrollY });
    window.addEventListener('scroll', remember, { passive: true });
  },
});
