import { nothing, type TemplateResult } from 'lit-html';
import { TAB_IDS, type TabId } from '../../../src/shared/pages/dashboard/protocol';
import { html } from '../../shared/html';
import { eventsOf } from '../model/events';
import { choose } from '../../shared/page';
import type { DashboardPage, DashboardState } from '../state';
import { batchView } from './batch';
import { eventsView } from './events';
import { recipeView } from './recipe';
import { sourcesView } from './sources';

type TabView = (page: DashboardPage, state: DashboardState) => TemplateResult;

const TABS: Readonly<Record<TabId, TabView>> = {
  batch: batchView,
  sources: sourcesView,
  events: eventsView,
  recipe: recipeView,
};

/** How many items a tab holds; null for tabs without a number. */
function countOf(id: TabId, { run, history, log }: DashboardState): number | null {
  return id === 'events' ? eventsOf(run, history, log).length : null;
}

/** The details under the charts, one at a time. */
export function tabsView(page: DashboardPage, state: DashboardState): TemplateResult {
  const { t } = page;
  const pick = (event: Event) => {
    const { activeid } = event.currentTarget as HTMLElement & { readonly activeid: string };
    const id = TAB_IDS.find((tab) => tab === activeid);
    if (id && id !== page.state.choices.tab) choose(page, { tab: id });
  };
  return html`<section class="details" aria-label=${t('details')}>
    <vscode-panels aria-label=${t('details')} .activeid=${state.choices.tab} @change=${pick}>
      ${TAB_IDS.map((id) => tabHead(page, id, countOf(id, state)))}
      ${TAB_IDS.map(
        (id) =>
          html`<vscode-panel-view id="view-${id}">${TABS[id](page, state)}</vscode-panel-view>`,
      )}
    </vscode-panels>
  </section>`;
}

function tabHead({ t, format }: DashboardPage, id: TabId, count: number | null): TemplateResult {
  const name = t(`tab.${id}`);
  const number = count ? format.count(count) : '';
  const badge = html` <span class="badge" ?hidden=${number === ''}>${number}</span>`;
  // The toolkit takes the first text of a tab for its label, which leaves the number out.
  return html`<vscode-panel-tab id=${id} aria-label=${`${name} ${number}`.trim()}
    >${name}${count === null ? nothing : badge}</vscode-panel-tab
  >`;
}
