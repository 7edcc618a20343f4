import type { TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { html } from '../../shared/html';
import { runFacts } from '../model/runFacts';
import type { DashboardPage, DashboardState } from '../state';

/** The recipe as the engine read it, and what it was run with: base, data, runtime. */
export function recipeView(page: DashboardPage, { run }: DashboardState): TemplateResult {
  const { t } = page;
  if (!run) return html`<div class="recipe"><p class="empty">${t('recipe.wait')}</p></div>`;
  // The record changes with each result; this part, which may be scrolled or selected, rarely does.
  const shown = JSON.stringify({ ...run, state: '', ended: '', result: '' });
  return html`<div class="recipe">
    ${guard([shown], () => {
      const facts = runFacts(page, run).map(
        ([name, value]) =>
          html`<dt>${name}</dt>
            <dd>${value}</dd>`,
      );
      const recipe = JSON.stringify(run.recipe, null, 2);
      return html`<dl class="facts-list">${facts}</dl>
        <h3>${t('recipe.text')}</h3>
        <pre tabindex="0" aria-label=${t('recipe.text')}>${recipe}</pre>`;
    })}
  </div>`;
}
