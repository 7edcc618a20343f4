import type { TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { html } from '../../shared/html';
import { lookOf } from '../model/look';
import type { OverlayRun } from '../model/runs';
import { choose } from '../../shared/page';
import type { OverlayPage, OverlayState } from '../state';

/** A key for each run with its value at the cursor; pressing it hides or shows the run. */
export function legendView(
  page: OverlayPage,
  { runs, choices }: OverlayState,
  valueOf: (run: OverlayRun) => string,
): TemplateResult {
  const { hidden } = choices;
  return html`<div class="key" role="group" aria-label=${page.t('legend')}>
    ${repeat(
      runs ?? [],
      ({ dir }) => dir,
      (run, index) => {
        const isHidden = hidden.includes(run.dir);
        return html`<button
          type="button"
          class="key-entry"
          aria-pressed=${!isHidden}
          @click=${() => toggle(page, run.dir)}
        >
          ${swatch(index)}<span class="name">${run.name}</span
          ><span class="value">${isHidden ? '' : valueOf(run)}</span>
        </button>`;
      },
    )}
  </div>`;
}

function toggle(page: OverlayPage, dir: string): void {
  const { hidden } = page.state.choices;
  const others = hidden.filter((own) => own !== dir);
  choose(page, { hidden: hidden.includes(dir) ? others : [...hidden, dir] });
}

/** A piece of the curve as it is drawn. */
export function swatch(index: number): TemplateResult {
  const { color, dash } = lookOf(index);
  return html`<svg width="28" height="8" aria-hidden="true" class="line-${color}">
    <line x1="0" y1="4" x2="28" y2="4" stroke-dasharray=${dash.join(' ') || 'none'}></line>
  </svg>`;
}
