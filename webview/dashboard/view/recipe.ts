import { nothing, type TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { html } from '../../shared/html';
import type { OpenTarget } from '../../../src/shared/pages/dashboard/protocol';
import { iconButton, secondaryButton } from '../../shared/templates';
import { runFacts } from '../model/runFacts';
import type { DashboardPage, DashboardState } from '../state';

/** The recipe as the engine read it, and what it was run with: base, data, runtime. */
export function recipeView(page: DashboardPage, { run, labels }: DashboardState): TemplateResult {
  const { t } = page;
  if (!run) return html`<div class="recipe"><p class="empty">${t('recipe.wait')}</p></div>`;
  // The record changes with each result; this part, which may be scrolled or selected, rarely does.
  const shown = JSON.stringify({ ...run, state: '', ended: '', result: '' });
  return html`<div class="recipe">
    ${guard([shown, labels], () => {
      const facts = runFacts(page, run).map(
        ([name, value]) =>
          html`<dt>${name}</dt>
            <dd>${value}</dd>`,
      );
      const recipe = JSON.stringify(run.recipe, null, 2);
      return html`<dl class="facts-list">${facts}</dl>
        ${originView(page, labels)}
        <h3>${t('recipe.text')}</h3>
        <pre tabindex="0" aria-label=${t('recipe.text')}>${recipe}</pre>`;
    })}
  </div>`;
}

/** The commit and the changes that the run started from, and the command that repeats it. */
function originView({ t, post, format }: DashboardPage, labels: DashboardState['labels']) {
  const { changed_files, commit_page, command } = labels;
  const open = (what: OpenTarget) => () => post({ kind: 'open', what });
  return html`<div class="origin actions">
      ${commit_page ? secondaryButton(t('recipe.openCommit'), open('commit')) : nothing}
      ${
        changed_files
          ? secondaryButton(t('recipe.changes', format.count(changed_files)), open('changes'))
          : nothing
      }
    </div>
    ${command === '' ? nothing : repeatView({ t, post }, command)}`;
}

const repeatView = ({ t, post }: Pick<DashboardPage, 't' | 'post'>, command: string) =>
  html`<h3>${t('recipe.repeat')}</h3>
    <div class="repeat">
      <pre tabindex="0" aria-label=${t('recipe.repeat')}>${command}</pre>
      ${iconButton('copy', t('recipe.copyCommand'), () => post({ kind: 'copyText', text: command }))}
    </div>`;
