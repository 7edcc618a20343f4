import { nothing, type TemplateResult } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';
import type { DataStatistics } from '../../../src/shared/pages/data/protocol';
import { html } from '../../shared/html';
import { secondaryButton } from '../../shared/templates';
import type { DataPage, DataState, LeaksMessage } from '../state';

/** What there is to say of all rows, and of those that are in the validation file, too. */
export function statisticsView(page: DataPage, state: DataState): TemplateResult {
  const { t } = page;
  const { statistics, leaks } = state;
  return html`<h2>${t('statistics')}</h2>
    ${leaks ? leaksView(page, leaks) : nothing}
    ${
      statistics
        ? tablesView(page, statistics)
        : html`<p class="hint">${t('statistics.reading')}</p>`
    }`;
}

function tablesView(page: DataPage, statistics: DataStatistics): TemplateResult {
  const { t, format } = page;
  const { lengths, lengthUnit, median, longest, roles, scripts, faults } = statistics;
  const lengthRows = lengths.map(({ from, to, rows }) => ({
    name: `${format.count(from)}–${format.count(to)}`,
    count: rows,
  }));
  const scriptRows = scripts.map(({ name, count }) => ({
    name: name === 'none' || name === 'other' ? t(`script.${name}`) : name,
    count,
  }));
  return html`<p class="hint">
      ${t('statistics.length', format.count(median), format.count(longest))}
    </p>
    ${barTable(page, t(`statistics.lengths.${lengthUnit}`), lengthRows)}
    ${barTable(page, t('statistics.roles'), roles)}
    ${barTable(page, t('statistics.scripts'), scriptRows)}
    ${barTable(page, t('statistics.faults'), faults, 'bars sentences')}`;
}

interface Counted {
  readonly name: string;
  readonly count: number;
}

/** Counts with bars; nothing where there are none. */
function barTable(
  { format }: DataPage,
  title: string,
  rows: readonly Counted[],
  classes: 'bars' | 'bars sentences' = 'bars',
) {
  if (rows.length === 0) return nothing;
  const most = Math.max(...rows.map(({ count }) => count), 1);
  return html`<table class=${classes}>
    <caption>
      ${title}
    </caption>
    <tbody>
      ${rows.map(
        ({ name, count }) =>
          html`<tr>
            <th scope="row">${name}</th>
            <td class="part"><span ${ref((element) => setWidth(element, count / most))}></span></td>
            <td>${format.count(count)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function setWidth(element: Element | undefined, part: number): void {
  if (!(element instanceof HTMLElement)) return;
  element.style.width = `${100 * part}%`;
  element.hidden = part === 0;
}

function leaksView({ t, format }: DataPage, { file, rows, equal, near, listed }: LeaksMessage) {
  const counts = [rows, equal, near].map((own) => format.count(own));
  return html`<section class="leaks">
    <h3>${t('leaks.title', file)}</h3>
    <p>${equal + near === 0 ? t('leaks.none', ...counts) : t('leaks.some', ...counts)}</p>
    <ul>
      ${listed.map(({ number, like, likeness }) => {
        const at = [format.count(number), format.count(like)] as const;
        return html`<li>
          ${
            likeness === 1
              ? t('leaks.equal', ...at)
              : t('leaks.near', ...at, format.percent(likeness))
          }
        </li>`;
      })}
    </ul>
  </section>`;
}

/** Rows that a chat model has written, each to be kept or not. */
export function draftsView(page: DataPage, { drafts, isWriting }: DataState) {
  if (drafts.length === 0 && !isWriting) return nothing;
  const { t, post } = page;
  return html`<section class="drafts card" aria-labelledby="drafts-title">
    <h2 id="drafts-title">${t('drafts.title')}</h2>
    <p class="hint">${t('drafts.words')}</p>
    <p role="status">${isWriting ? t('drafts.writing') : ''}</p>
    ${isWriting ? secondaryButton(t('drafts.stop'), () => post({ kind: 'stopDraft' })) : nothing}
    <ul>
      ${drafts.map(
        ({ id, turns, fault }) =>
          html`<li>
            ${turns.map(({ role, text }) => html`<p dir="auto"><b>${role}</b> ${text}</p>`)}
            <p class="error" ?hidden=${fault === null}>${fault ?? ''}</p>
            <div class="bar">
              ${
                fault === null
                  ? secondaryButton(t('drafts.keep'), () =>
                      post({ kind: 'keepDraft', id, isKept: true }),
                    )
                  : nothing
              }
              ${secondaryButton(t('drafts.discard'), () =>
                post({ kind: 'keepDraft', id, isKept: false }),
              )}
            </div>
          </li>`,
      )}
    </ul>
  </section>`;
}
