import type { TemplateResult } from 'lit-html';
import { html } from '../../shared/html';
import { live } from 'lit-html/directives/live.js';
import { TABLE_GROUPINGS, type TableGrouping } from '../../../src/shared/pages/runs/protocol';
import { RUN_COLUMN_IDS, type RunColumnId } from '../../../src/shared/runColumns';
import { choose } from '../../shared/page';
import { searchField, secondaryButton } from '../../shared/templates';
import type { RunsPage, RunsState } from '../state';

/** The filter, the groups and the columns. `shown`: how many runs the filter leaves. */
export function toolbarView(
  page: RunsPage,
  { choices, rows }: RunsState,
  shown: number,
): TemplateResult {
  const { t } = page;
  const pickGroup = (event: Event) =>
    choose(page, { group: (event.target as HTMLSelectElement).value as TableGrouping });
  return html`<div class="toolbar">
    <div class="filter">
      ${searchField(choices.filter, t('filter.label'), (filter) => choose(page, { filter }))}
    </div>
    <span role="status">${t('filter.count', shown, rows?.length ?? 0)}</span>
    <label
      >${t('group.label')}
      <select id="group" @change=${pickGroup}>
        ${TABLE_GROUPINGS.map(
          (id) =>
            html`<option value=${id} .selected=${live(id === choices.group)}>
              ${t(`group.${id}`)}
            </option>`,
        )}
      </select></label
    >
    ${columnsView(page, choices.columns)}
  </div>`;
}

function columnsView(page: RunsPage, chosen: readonly RunColumnId[]): TemplateResult {
  const { t } = page;
  const toggle = (id: RunColumnId) =>
    choose(page, {
      columns: RUN_COLUMN_IDS.filter((own) => (own === id) !== chosen.includes(own)),
    });
  return html`<details class="columns">
    <summary>${t('columns')}</summary>
    <div class="list">
      ${RUN_COLUMN_IDS.map(
        (id) =>
          html`<label
            ><input
              type="checkbox"
              .checked=${live(chosen.includes(id))}
              @change=${() => toggle(id)}
            />
            ${t(`column.${id}`)}</label
          >`,
      )}
    </div>
  </details>`;
}

/** What can be done with the selected runs. */
export function actionsView(
  { t, post }: RunsPage,
  selected: readonly string[],
  copy: () => void,
): TemplateResult {
  const canOverlay = selected.length > 1;
  return html`<div class="actions">
    <vscode-button
      appearance="secondary"
      title=${canOverlay ? t('overlay') : t('overlay.need')}
      ?disabled=${!canOverlay}
      @click=${() => post({ kind: 'overlay', dirs: [...selected] })}
      >${t('overlay')}</vscode-button
    >
    ${secondaryButton(t('copyMarkdown'), copy)}
  </div>`;
}
