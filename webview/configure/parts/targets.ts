import { nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import { repeat } from 'lit-html/directives/repeat.js';
import { html } from '../../shared/html';
import { icon } from '../../shared/templates';
import { chosenIn, groupsOf, withGroup, type GroupBy, type ModuleGroup } from '../model/groups';
import { applyChoice, type ConfigurePage, type ConfigureState, type ShownRecipe } from '../state';

/** The modules as a tree of kinds and layers; the box of a group is on, off or mixed. */
export function targetsView(
  page: ConfigurePage,
  { kept }: ConfigureState,
  recipe: ShownRecipe,
): TemplateResult {
  const { t, format, change } = page;
  const { modules, chosen } = recipe;
  const by = kept.by ?? 'kind';
  const group = (event: Event) => {
    const { value } = event.target as HTMLSelectElement;
    change({ kept: { ...page.state.kept, by: value as GroupBy } });
  };
  return html`<section class="card targets" aria-labelledby="targets-title">
    <div class="bar">
      <h2 id="targets-title">${t('targets')}</h2>
      <span class="hint" role="status"
        >${t('targets.count', format.count(chosen.size), format.count(modules.length))}</span
      >
      <label for="by">${t('targets.by')}</label>
      <select id="by" @change=${group}>
        <option value="kind" .selected=${live(by === 'kind')}>${t('targets.kind')}</option>
        <option value="layer" .selected=${live(by === 'layer')}>${t('targets.layer')}</option>
      </select>
    </div>
    <p class="warning" role="alert" ?hidden=${chosen.size > 0}>${t('targets.none')}</p>
    <ul class="tree">
      ${repeat(
        groupsOf(modules, by),
        ({ name }) => groupKey(by, name),
        (own) => groupView(page, recipe, own),
      )}
    </ul>
  </section>`;
}

/** How the kept state names an open group. */
const groupKey = (by: GroupBy, name: string): string => `${by} ${name}`;

function groupView(page: ConfigurePage, recipe: ShownRecipe, group: ModuleGroup): TemplateResult {
  const { t } = page;
  const { by, items } = group;
  const { chosen } = recipe;
  const count = chosenIn(group, chosen);
  const name = groupName(page, group);
  const key = groupKey(by, group.name);
  const isOpen = page.state.kept.open?.includes(key) ?? false;
  const toggle = () => {
    const { kept } = page.state;
    const open = kept.open ?? [];
    const now = open.includes(key) ? open.filter((own) => own !== key) : [...open, key];
    page.change({ kept: { ...kept, by, open: now } });
  };
  return html`<li>
    <div class="group">
      <button
        type="button"
        class="fold"
        ?disabled=${items.length === 1}
        aria-label=${t('targets.unfold', name)}
        aria-expanded=${isOpen}
        @click=${toggle}
      >
        ${icon('chevron-right')}
      </button>
      <label
        ><input
          type="checkbox"
          .checked=${live(count === items.length)}
          .indeterminate=${live(count > 0 && count < items.length)}
          @change=${(event: Event) => chooseGroup(page, group, event)}
        />${name}</label
      >
      <span class="hint">${t('targets.count', count, items.length)}</span>
    </div>
    <ul class="items by-${by}" ?hidden=${!isOpen}>
      ${isOpen ? items.map((item) => moduleItem(page, recipe, group, item)) : nothing}
    </ul>
  </li>`;
}

function groupName({ t }: ConfigurePage, { name, by }: ModuleGroup): string {
  if (name === '') return t('targets.other');
  return by === 'layer' ? t('targets.layerName', name) : name;
}

function moduleItem(
  page: ConfigurePage,
  { modules, chosen }: ShownRecipe,
  group: ModuleGroup,
  item: ModuleGroup['items'][number],
): TemplateResult {
  const { index, label } = item;
  return html`<li>
    <label title=${modules[index]!.path}
      ><input
        type="checkbox"
        .checked=${live(chosen.has(index))}
        @change=${(event: Event) => chooseGroup(page, { ...group, items: [item] }, event)}
      />${label}</label
    >
  </li>`;
}

/** Takes the modules of a group in or out, as its box says. */
function chooseGroup(page: ConfigurePage, group: ModuleGroup, event: Event): void {
  const { recipe } = page.state;
  const { checked } = event.target as HTMLInputElement;
  if (recipe) applyChoice(page, { chosen: withGroup(recipe.chosen, group, checked) });
}
