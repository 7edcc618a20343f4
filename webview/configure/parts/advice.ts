import { nothing, type TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { secondaryButton } from '../../shared/templates';
import type { ConfigurePage, ShownRecipe } from '../state';

/** What to change and why, with a button if the page can do it. */
export const adviceView = ({ t, post }: ConfigurePage, { advice }: ShownRecipe): TemplateResult =>
  html`<section class="card advice" aria-labelledby="advice-title" ?hidden=${advice.length === 0}>
    <h2 id="advice-title">${t('advice')}</h2>
    <ul class="lines" aria-live="polite">
      ${advice.map(({ text, button }) => {
        const act = () => button && post({ kind: 'act', act: button.act });
        return html`<li>
          <p>${text}</p>
          ${button ? secondaryButton(button.label, act) : nothing}
        </li>`;
      })}
    </ul>
  </section>`;
