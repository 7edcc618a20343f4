import { nothing, type TemplateResult } from 'lit-html';
import {
  asConfigurePageState,
  ConfigureHostMessageSchema,
  type ConfigureHostMessage,
  type ConfigurePageMessage,
  type Figures,
} from '../../src/shared/pages/configure/protocol';
import type { ConfigureStringKey } from '../../src/shared/pages/configure/strings';
import { html } from '../shared/html';
import { startPage } from '../shared/startPage';
import { failedView, secondaryButton } from '../shared/templates';
import { button, defineElements } from '../shared/toolkit';
import './configure.css';
import { adviceView } from './parts/advice';
import { costsView } from './parts/costs';
import { rankView } from './parts/rank';
import { sizesView } from './parts/sizes';
import { targetsView } from './parts/targets';
import {
  reduceConfigure,
  type ConfigurePage,
  type ConfigureState,
  type ShownRecipe,
} from './state';

defineElements(button());

startPage<ConfigureState, ConfigureHostMessage, ConfigurePageMessage, ConfigureStringKey>({
  schema: ConfigureHostMessageSchema,
  initial: ({ kept, fact }) => {
    const recipe = fact('recipe');
    const stored = asConfigurePageState(kept);
    return {
      kept: stored?.recipe === recipe ? stored : { recipe },
      recipe: null,
      sizes: null,
      fault: null,
      isBaseMissing: false,
      follow: true,
      applied: 0,
    };
  },
  reduce: reduceConfigure,
  kept: ({ kept }) => kept,
  view: (page) => (state) => {
    if (state.fault !== null) return failedRecipe(page, state.fault, state.isBaseMissing);
    return state.recipe && recipeView(page, state, state.recipe);
  },
});

const failedRecipe = (page: ConfigurePage, message: string, isBaseMissing: boolean) =>
  isBaseMissing ? missingBase(page, message) : unreadable(page, message);

const missingBase = ({ t, post }: ConfigurePage, message: string) =>
  failedView(
    t('missingBase'),
    message,
    html`<vscode-button @click=${() => post({ kind: 'chooseBase' })}
        >${t('chooseBase')}</vscode-button
      >
      ${secondaryButton(t('downloadBase'), () => post({ kind: 'downloadBase' }))}
      ${secondaryButton(t('openRecipe'), () => post({ kind: 'openRecipe' }))}`,
  );

const unreadable = ({ t, post }: ConfigurePage, message: string) =>
  failedView(
    t('fault'),
    message,
    html`<vscode-button @click=${() => post({ kind: 'openRecipe' })}
      >${t('openRecipe')}</vscode-button
    >`,
  );

const recipeView = (page: ConfigurePage, state: ConfigureState, recipe: ShownRecipe) =>
  html`${head(page, recipe)}
    <div class="columns">
      <div class="choices">${rankView(page, recipe)}${targetsView(page, state, recipe)}</div>
      <div class="results">${adviceView(page, recipe)}${costsView(page, recipe)}</div>
    </div>
    ${state.sizes ? sizesView(page, state.sizes) : nothing}`;

function head(page: ConfigurePage, recipe: ShownRecipe): TemplateResult {
  const { t, format, post } = page;
  const { file, base, figures } = recipe;
  return html`<header class="head">
    <div class="title">
      <h1>${t('title', file)}</h1>
      ${recipe.dirty ? unsaved(page) : nothing}
      <vscode-button @click=${() => post({ kind: 'run' })}>${t('run')}</vscode-button>
      ${secondaryButton(t('sweep'), () => post({ kind: 'sweep' }))}
      ${secondaryButton(t('openRecipe'), () => post({ kind: 'openRecipe' }))}
      ${secondaryButton(t('openGuide'), () => post({ kind: 'openGuide' }))}
    </div>
    <p class="caption">
      ${[t('base', base, format.count(figures.parameters)), ...timeText(page, figures)].join(' · ')}
    </p>
  </header>`;
}

const unsaved = ({ t, post }: ConfigurePage) =>
  html`<span class="unsaved" role="status"
    >${t('unsaved')}
    <button type="button" class="link" @click=${() => post({ kind: 'save' })}>
      ${t('save')}
    </button></span
  >`;

/** "3 epochs, 114 steps, about 1 min", once the rows are counted. */
function timeText({ t, format }: ConfigurePage, { forecast }: Figures): string[] {
  if (!forecast) return [];
  const counts = [format.digits(forecast.epochs, 3), format.count(forecast.steps)] as const;
  if (forecast.seconds === null) return [t('time.steps', ...counts)];
  const seconds = Math.max(10, 10 * Math.round(forecast.seconds / 10));
  return [t('time', ...counts, format.duration(seconds))];
}
