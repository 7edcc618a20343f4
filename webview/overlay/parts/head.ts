import { el, setText, show } from '../../shared/dom';
import { markdownTable } from '../../shared/markdown';
import { byRank, CLOSE_ENOUGH, lowestRank, rowOf, type RunRow } from '../model/rows';
import { cellsOf, COLUMNS } from './table';
import type { Context, Part, View } from '../view';

/** What the page is about; of a sweep, how low the rank can go. */
export function head(context: Context): Part {
  const { t, post } = context;
  const title = el('h1');
  const words = el('p', { class: 'words', role: 'status' });
  const waiting = el('p', { class: 'caption' });
  let view: View | undefined;
  const copy = el(
    'vscode-button',
    {
      appearance: 'secondary',
      click: () => {
        if (view) post({ kind: 'copyText', text: asMarkdown(view, context) });
      },
    },
    t('copyMarkdown'),
  );
  return {
    root: el(
      'header',
      { class: 'head' },
      el('div', { class: 'title' }, title, copy),
      words,
      waiting,
    ),
    update(now) {
      view = now;
      setText(title, now.title);
      show(words, now.sweep);
      if (now.sweep) setText(words, sweepWords(now.runs.map(rowOf), context));
      show(waiting, now.waiting > 0);
      setText(waiting, t('waiting', now.waiting));
    },
  };
}

function sweepWords(rows: readonly RunRow[], { t, format }: Context): string {
  const found = lowestRank(rows);
  if (!found) return `${t('sweep.words')} ${t('sweep.early')}`;
  const { enough, best } = found;
  return enough === best && rows.some(({ r }) => r < best.r)
    ? t('sweep.more', best.r, format.value(best.validation), format.percent(CLOSE_ENOUGH))
    : t(
        'sweep.enough',
        enough.r,
        format.value(enough.validation),
        format.percent(CLOSE_ENOUGH),
        format.value(best.validation),
        best.r,
      );
}

function asMarkdown({ title, runs, sweep }: View, context: Context): string {
  const rows = sweep ? runs.map(rowOf).sort(byRank) : runs.map(rowOf);
  return `## ${title}\n\n${markdownTable(
    COLUMNS.map((column) => context.t(`column.${column}`)),
    rows.map((row) => [row.name, ...cellsOf(row, context)]),
  )}`;
}
