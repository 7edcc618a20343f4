import { nothing, type TemplateResult } from 'lit-html';
import { ENDED_STATES } from '../../../src/shared/run';
import { html } from '../../shared/html';
import { markdownHeading, markdownTable } from '../../shared/markdown';
import { secondaryButton } from '../../shared/templates';
import {
  CLOSE_ENOUGH,
  isFinished,
  lowestRank,
  OVERLAY_COLUMNS,
  rowCells,
  type LowestRank,
  type OverlayRow,
} from '../model/rows';
import type { OverlayPage, OverlayState } from '../state';

/** What the page is about; for a sweep, how low the rank can go. */
export function headView(
  page: OverlayPage,
  { title, sweep, waiting }: OverlayState,
  rows: readonly OverlayRow[],
): TemplateResult {
  const { t, post } = page;
  const copy = () => post({ kind: 'copyText', text: markdownOf(page, title, rows) });
  return html`<header class="head">
    <div class="title">
      <h1>${title}</h1>
      ${secondaryButton(t('copyMarkdown'), copy)}
    </div>
    <p class="words" role="status" ?hidden=${!sweep}>
      ${sweep ? sweepText(page, rows, waiting) : nothing}
    </p>
    <p class="caption" ?hidden=${waiting === 0}>${t('waiting', waiting)}</p>
  </header>`;
}

function sweepText(page: OverlayPage, rows: readonly OverlayRow[], waiting: number): string {
  const { t } = page;
  const found = lowestRank(rows);
  if (!found) return `${t('sweep.words')} ${t('sweep.early')}`;
  const answer = answerText(page, rows, found);
  const ended = rows.filter(({ state }) => ENDED_STATES.has(state));
  if (waiting > 0 || ended.length < rows.length) {
    const finished = rows.filter(isFinished).length;
    return t('sweep.so_far', finished, rows.length + waiting, answer);
  }
  const others = ended.filter((row) => !isFinished(row)).map(({ name }) => name);
  return others.length === 0 ? answer : `${answer} ${t('sweep.left_out', others.join(', '))}`;
}

function answerText(
  { t, format }: OverlayPage,
  rows: readonly OverlayRow[],
  found: LowestRank,
): string {
  const { enough, best } = found;
  const margin = format.percent(CLOSE_ENOUGH);
  const lowest = format.value(best.validation);
  const higherRanksHelp = enough === best && rows.some((row) => isFinished(row) && row.r < best.r);
  return higherRanksHelp
    ? t('sweep.more', best.r, lowest, margin)
    : t('sweep.enough', enough.r, format.value(enough.validation), margin, lowest, best.r);
}

function markdownOf({ t, format }: OverlayPage, title: string, rows: readonly OverlayRow[]) {
  const table = markdownTable(
    OVERLAY_COLUMNS.map((column) => t(`column.${column}`)),
    rows.map((row) => [row.name, ...rowCells(row, format, t(`state.${row.state}`))]),
  );
  return `${markdownHeading(title)}${table}`;
}
