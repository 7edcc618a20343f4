import { nothing, type TemplateResult } from 'lit-html';
import type { ShownSweep } from '../../../src/shared/pages/overlay/protocol';
import { ENDED_STATES } from '../../../src/shared/run';
import { html } from '../../shared/html';
import { markdownHeading, markdownTable } from '../../shared/markdown';
import { secondaryButton } from '../../shared/templates';
import { overlayColumns, sortingOf, sortRows } from '../model/columns';
import {
  bestOfTune,
  bestRuns,
  CLOSE_ENOUGH,
  isFinished,
  lowestRank,
  type OverlayRow,
} from '../model/rows';
import { describeValues, isOfRanks } from '../model/sweep';
import type { OverlayPage, OverlayState } from '../state';

/** What the page is about; for a sweep, which values do best. */
export function headView(
  page: OverlayPage,
  { title, sweep, waiting }: OverlayState,
  rows: readonly OverlayRow[],
): TemplateResult {
  const { t, post } = page;
  const keys = sweep?.keys ?? null;
  const copy = () => post({ kind: 'copyText', text: markdownOf(page, { title, keys, rows }) });
  return html`<header class="head">
    <div class="title">
      <h1>${title}</h1>
      ${secondaryButton(t('copyMarkdown'), copy)}
    </div>
    <p class="words" role="status" ?hidden=${!sweep}>
      ${sweep ? sweepText(page, rows, { ...sweep, waiting }) : nothing}
    </p>
    <p class="caption" ?hidden=${waiting === 0}>${t('waiting', waiting)}</p>
    <p class="caption" ?hidden=${!sweep || sweep.missing === 0}>
      ${t('sweep.missing', sweep?.missing ?? 0)}
    </p>
  </header>`;
}

function sweepText(
  page: OverlayPage,
  rows: readonly OverlayRow[],
  { keys, missing, waiting }: ShownSweep & { readonly waiting: number },
): string {
  const { t } = page;
  if (page.state.sweep?.tune) return tuneText(page, rows, keys);
  const answer = isOfRanks(keys) ? rankAnswer(page, rows) : bestAnswer(page, rows, keys);
  if (answer === null)
    return `${t(isOfRanks(keys) ? 'sweep.words' : 'sweep.question')} ${t('sweep.early')}`;
  const open = waiting + missing;
  const ended = rows.filter(({ state }) => ENDED_STATES.has(state));
  if (open > 0 || ended.length < rows.length) {
    const finished = rows.filter(isFinished).length;
    return t('sweep.so_far', finished, rows.length + open, answer);
  }
  const others = ended.filter((row) => !isFinished(row)).map(({ name }) => name);
  return others.length === 0 ? answer : `${answer} ${t('sweep.left_out', others.join(', '))}`;
}

/** The best of a tune so far. */
function tuneText(
  { t, format }: OverlayPage,
  rows: readonly OverlayRow[],
  keys: readonly string[],
): string {
  const best = bestOfTune(rows);
  const answer = best
    ? t('tune.best', describeValues(keys, best.values), format.value(best.best), best.rung)
    : t('tune.question');
  return `${answer} ${t('tune.rungs')}`;
}

/** How low the rank can go; null before two ranks can be compared. */
function rankAnswer({ t, format }: OverlayPage, rows: readonly OverlayRow[]): string | null {
  const found = lowestRank(rows);
  if (!found) return null;
  const { enough, best } = found;
  const margin = format.percent(CLOSE_ENOUGH);
  const most = format.value(best.best);
  const higherRanksHelp = enough === best && rows.some((row) => isFinished(row) && row.r < best.r);
  const { metric } = best;
  if (metric !== 'loss') {
    const score = t(`series.${metric}`);
    return higherRanksHelp
      ? t('sweep.more.score', best.r, most, margin, score)
      : t('sweep.enough.score', enough.r, format.value(enough.best), margin, most, best.r, score);
  }
  return higherRanksHelp
    ? t('sweep.more', best.r, most, margin)
    : t('sweep.enough', enough.r, format.value(enough.best), margin, most, best.r);
}

const MOST_NAMED = 4;

/** The values with the best loss or score, and those that come close. */
function bestAnswer(
  { t, format }: OverlayPage,
  rows: readonly OverlayRow[],
  keys: readonly string[],
): string | null {
  const found = bestRuns(rows);
  if (!found) return null;
  const nameOf = ({ values }: OverlayRow) => describeValues(keys, values);
  const { best, metric } = found.best;
  const first = [nameOf(found.best), format.value(best)] as const;
  const lowest =
    metric === 'loss'
      ? t('sweep.lowest', ...first)
      : t('sweep.best', ...first, t(`series.${metric}`));
  if (found.near.length === 0) return lowest;
  const named = found.near.slice(0, MOST_NAMED).map(nameOf).join('; ');
  const more = found.near.length > MOST_NAMED ? '; …' : '';
  return `${lowest} ${t('sweep.near', format.percent(CLOSE_ENOUGH), named + more)}`;
}

interface ShownTable {
  readonly title: string;
  readonly keys: readonly string[] | null;
  readonly rows: readonly OverlayRow[];
}

function markdownOf(page: OverlayPage, { title, keys, rows }: ShownTable): string {
  const columns = overlayColumns(page, keys, rows);
  const sorted = sortRows(rows, columns, sortingOf(page.state.choices.sorting, keys));
  const table = markdownTable(
    [page.t('column.run'), ...columns.map(({ label }) => label)],
    sorted.map((row) => [row.name, ...columns.map(({ cell }) => cell(row))]),
  );
  return `${markdownHeading(title)}${table}`;
}
