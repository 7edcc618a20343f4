import { nothing, type TemplateResult } from 'lit-html';
import { guard } from 'lit-html/directives/guard.js';
import { zeroUpdates } from '../../../src/shared/pages/compare/zeroUpdates';
import { html } from '../../shared/html';
import { secondaryButton } from '../../shared/templates';
import { adapterRanks, agreement } from '../model/agreement';
import { orNone, type ComparePage, type ShownComparison } from '../state';

/** How the two adapters relate, in words and key numbers. */
export const summary = (page: ComparePage, shown: ShownComparison): TemplateResult =>
  html`<header class="summary">
    ${guard(
      [shown.data],
      () =>
        html`${title(page, shown)}
          <p class="words">${sentences(page, shown).join(' ')}</p>
          ${tiles(page, shown)}${settings(page, shown)}`,
    )}
  </header>`;

function title({ t, post }: ComparePage, { names, curves }: ShownComparison): TemplateResult {
  const overlay = secondaryButton(t('curves'), () => post({ kind: 'curves' }));
  return html`<div class="title">
    <h1>${t('title', ...names)}</h1>
    <span class="actions">
      ${secondaryButton(t('try'), () => post({ kind: 'try' }))} ${curves ? overlay : nothing}
      ${secondaryButton(t('openDiff'), () => post({ kind: 'openDiff' }))}
    </span>
  </div>`;
}

function sentences(page: ComparePage, shown: ShownComparison): string[] {
  const { t, format } = page;
  const { names, data } = shown;
  const result = data.equal ? [t('words.equal')] : differences(page, shown);
  for (const [i, alone] of [data.only_a, data.only_b].entries())
    if (alone.length > 0) result.push(t('words.only', names[i]!, format.count(alone.length)));
  const intruders =
    data.layers?.flatMap((layer) => (layer.intruders ? [layer.intruders] : [])) ?? [];
  if (intruders.length > 0) {
    const count = (which: 'a' | 'b') =>
      format.count(intruders.reduce((sum, own) => sum + (own[which]?.count ?? 0), 0));
    result.push(t('words.intruders', count('a'), names[0], count('b'), names[1]));
  }
  result.push(...magnitudes(page, shown));
  for (const { name, norm_of_difference } of data.trained)
    result.push(`${t('trained', name)} (${trainedText(page, norm_of_difference)})`);
  return result;
}

function differences({ t, format }: ComparePage, { names, data: { total } }: ShownComparison) {
  const number = (value: number) => format.digits(value, 4);
  const [normA, normB] = [number(total.norm_a), number(total.norm_b)];
  const gap = number(total.norm_of_difference);
  const share = format.percent(shareOfLarger(total));
  return [
    t('words.different', names[0], normA, names[1], normB, gap, share),
    ...(total.cosine === null ? [] : [t(agreement(total.cosine), format.digits(total.cosine, 3))]),
  ];
}

/** DoRA's magnitudes, and updates that are zero. */
function magnitudes({ t, format }: ComparePage, { names, data }: ShownComparison): string[] {
  const { magnitudes: all } = data;
  const zero = zeroUpdates(data, names).map((name) => t('words.zero', name));
  if (all.length === 0) return zero;
  if (all.some(({ difference }) => difference === null)) return [...zero, t('words.oneDora')];
  const largest = Math.max(...all.map(({ difference }) => difference ?? 0));
  const text = largest === 0 ? t('words.sameDora') : t('words.dora', format.percent(largest));
  return [...zero, text];
}

function trainedText({ t, format }: ComparePage, difference: number | null): string {
  if (difference === null) return t('trained.other');
  return difference === 0 ? t('trained.same') : t('trained.differs', format.digits(difference, 4));
}

/** ‖dW(A) - dW(B)‖ as a share of the larger norm. */
const shareOfLarger = (total: ShownComparison['data']['total']): number =>
  total.norm_of_difference / Math.max(total.norm_a, total.norm_b, Number.MIN_VALUE);

function tiles(page: ComparePage, { names, data: { total }, rows }: ShownComparison) {
  const { t, format } = page;
  const tile = (label: string, value: string, sub: string) =>
    html`<div class="tile">
      <dt>${label}</dt>
      <dd class="value">${value}</dd>
      <dd class="sub">${sub}</dd>
    </div>`;
  const adapter = (which: 'a' | 'b', name: string, norm: number) => {
    const ranks = adapterRanks(rows, which);
    return tile(
      t(`tile.${which}`, name),
      t('tile.norm', format.digits(norm, 4)),
      ranks ? t('tile.rank', format.count(ranks.highest), format.digits(ranks.effective, 3)) : '',
    );
  };
  const cosine = total.cosine === null ? t('none') : format.digits(total.cosine, 3);
  return html`<section aria-label=${t('tiles')}>
    <dl class="tiles">
      ${adapter('a', names[0], total.norm_a)} ${adapter('b', names[1], total.norm_b)}
      ${tile(t('tile.cosine'), cosine, '')}
      ${tile(
        t('tile.difference'),
        orNone(page, total.norm_of_difference),
        t('tile.share', format.percent(shareOfLarger(total))),
      )}
    </dl>
  </section>`;
}

function settings({ t }: ComparePage, { names, data: { config } }: ShownComparison) {
  if (config.length === 0) return html`<p class="caption">${t('config.same')}</p>`;
  return html`<details ?open=${config.length <= 6}>
    <summary>${t('config')} (${config.length})</summary>
    <table class="settings">
      <thead>
        <tr>
          ${[t('config.key'), ...names].map((text) => html`<th scope="col">${text}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${config.map(
          ({ key, a, b }) =>
            html`<tr>
              <th scope="row">${key}</th>
              <td>${settingText(a)}</td>
              <td>${settingText(b)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </details>`;
}

function settingText(value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(', ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
