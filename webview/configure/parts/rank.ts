import type { TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import type { RankSettings } from '../../../src/shared/pages/configure/protocol';
import { withRank } from '../../../src/shared/pages/configure/withRank';
import { editable } from '../../shared/editable';
import { html } from '../../shared/html';
import { MAX_RANK, STOPS, stopOf } from '../model/ranks';
import { applyChoice, type ConfigurePage, type ShownRecipe } from '../state';

/** r by slider and number, lora_alpha, rsLoRA, DoRA. */
export function rankView(page: ConfigurePage, { settings, figures }: ShownRecipe): TemplateResult {
  const { t, format, change } = page;
  const setAlpha = (event: Event) => {
    const lora_alpha = Number(valueOf(event));
    if (lora_alpha > 0) setSettings(page, { lora_alpha });
    else showAgain(page);
  };
  return html`<section class="card rank" aria-labelledby="rank-title">
    <h2 id="rank-title">${t('rank')}</h2>
    ${rankField(page, settings.r)}
    <p id="r-hint" class="hint">${t('r.hint')}</p>
    <div class="field">
      <label for="alpha">${t('alpha')}</label>
      <input
        id="alpha"
        type="number"
        min="0"
        step="any"
        aria-describedby="alpha-hint"
        .value=${editable(String(settings.lora_alpha))}
        @change=${setAlpha}
      />
      <span id="alpha-hint" class="hint"
        >${t('alpha.hint', format.digits(figures.scaling, 4))}</span
      >
    </div>
    <div class="checks">
      ${check(t('follow'), page.state.follow, (on) => change({ follow: on }))}
      ${check(t('rslora'), settings.use_rslora, (on) => setSettings(page, { use_rslora: on }))}
      ${check(t('dora'), settings.use_dora, (on) => setSettings(page, { use_dora: on }))}
    </div>
  </section>`;
}

function rankField(page: ConfigurePage, r: number): TemplateResult {
  const { t } = page;
  const slide = (event: Event, finished: boolean) =>
    setRank(page, STOPS[Number(valueOf(event))]!, finished);
  return html`<div class="field">
    <label id="r-label" for="r">${t('r')}</label>
    <input
      id="r-slider"
      type="range"
      min="0"
      max=${STOPS.length - 1}
      step="1"
      aria-labelledby="r-label"
      aria-valuetext="r = ${r}"
      .value=${editable(String(stopOf(r)))}
      @input=${(event: Event) => slide(event, false)}
      @change=${(event: Event) => slide(event, true)}
    />
    <input
      id="r"
      type="number"
      min="1"
      max=${MAX_RANK}
      step="1"
      aria-labelledby="r-label"
      aria-describedby="r-hint"
      .value=${editable(String(r))}
      @change=${(event: Event) => setRank(page, Number(valueOf(event)), true)}
    />
  </div>`;
}

/** A checkbox with its label. */
const check = (label: string, isOn: boolean, set: (on: boolean) => void): TemplateResult =>
  html`<label
    ><input
      type="checkbox"
      .checked=${live(isOn)}
      @change=${(event: Event) => set((event.target as HTMLInputElement).checked)}
    /><span>${label}</span></label
  >`;

const valueOf = (event: Event): string => (event.target as HTMLInputElement).value;

function setSettings(page: ConfigurePage, change: Partial<RankSettings>): void {
  const { recipe } = page.state;
  if (recipe) applyChoice(page, { settings: { ...recipe.settings, ...change } });
}

function setRank(page: ConfigurePage, r: number, finished: boolean): void {
  const { recipe, follow } = page.state;
  if (!recipe) return;
  if (!Number.isInteger(r) || r < 1 || r > MAX_RANK) {
    showAgain(page);
    return;
  }
  const settings = follow ? withRank(recipe.settings, r) : { ...recipe.settings, r };
  applyChoice(page, { settings }, finished);
}

/** Puts the values of the recipe back into the fields, in place of one that it cannot have. */
const showAgain = ({ change }: ConfigurePage): void => change({});
