import { nothing, type TemplateResult } from 'lit-html';
import type { PlaygroundServerState } from '../../../src/shared/pages/playground/protocol';
import type { RowQuestion } from '../../../src/shared/serveProtocol';
import { html } from '../../shared/html';
import { iconButton } from '../../shared/templates';
import { keep, showRow, type PlaygroundPage, type PlaygroundState } from '../state';

/** Steps through the rows of the run, and shows what stands before the row's question. */
export function rowView(
  page: PlaygroundPage,
  state: PlaygroundState,
  server: PlaygroundServerState,
): TemplateResult | typeof nothing {
  const { t } = page;
  if (!server.rows || server.phase.kind !== 'ready') return nothing;
  const { row, rowFault, rowWanted, kept } = state;
  const shown = kept.settings.row === null ? null : row;
  return html`<section class="row" aria-label=${t('row.hint')} title=${t('row.hint')}>
    <div class="bar">
      <span class="steps">
        ${stepper(page, state, -1)}
        <span role="status">${shown ? rowText(page, shown) : nothing}</span>
        ${stepper(page, state, 1)}
        ${shown ? iconButton('close', t('row.leave'), () => leave(page)) : nothing}
      </span>
      ${rowWanted && !row ? html`<span class="hint">${t('row.loading')}</span>` : nothing}
      ${shown?.changed ? html`<span class="hint">${t('row.changed')}</span>` : nothing}
    </div>
    <p class="failure" role="alert" ?hidden=${rowFault === ''}>${rowFault}</p>
    ${shown && shown.before.length > 0 ? messagesBefore(page, shown) : nothing}
  </section>`;
}

const rowText = ({ t, format }: PlaygroundPage, { index, count, line }: RowQuestion): string =>
  t('row', format.count(index + 1), format.count(count), format.count(line));

/** A button to the row before or after; without a row, to the first. */
function stepper(page: PlaygroundPage, { row, kept, rowWanted }: PlaygroundState, by: 1 | -1) {
  const { t } = page;
  const { row: at } = kept.settings;
  const index = at === null ? 0 : at + by;
  const isThere = at === null ? by > 0 : index >= 0 && index < (row?.count ?? 0);
  const label = t(by > 0 ? 'row.next' : 'row.previous');
  return html`<vscode-button
    appearance="icon"
    title=${label}
    aria-label=${label}
    ?disabled=${!isThere || rowWanted !== null}
    @click=${() => showRow(page, index)}
    ><span class="codicon codicon-arrow-${by > 0 ? 'right' : 'left'}" aria-hidden="true"></span
  ></vscode-button>`;
}

function leave(page: PlaygroundPage): void {
  keep(page, { settings: { ...page.state.kept.settings, row: null } });
}

const messagesBefore = ({ t }: PlaygroundPage, { before }: RowQuestion) =>
  html`<dl class="before" aria-label=${t('row.before')}>
    ${before.map(
      ({ role, text }) =>
        html`<dt>${role}</dt>
          <dd>${text}</dd>`,
    )}
  </dl>`;
