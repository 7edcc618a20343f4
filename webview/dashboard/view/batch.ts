import { el, memo } from '../../shared/dom';
import type { Context, Section } from '../section';

/**
 * The first batch in words, what is learnt of it marked: whether the labels stand where they should
 * is seen before hours are spent.
 */
export function batch({ t, format }: Context): Section {
  const root = el('div', { class: 'batch' });
  const changed = memo();
  return {
    root,
    update({ history }) {
      const line = history.lines.find((own) => own.kind === 'batch');
      changed([line], () =>
        root.replaceChildren(
          ...(line
            ? [
                el('p', { class: 'caption' }, t('batch.words')),
                ...line.rows.map((row) =>
                  el(
                    'article',
                    { class: 'card row', 'aria-label': t('batch.line', format.count(row.line)) },
                    el('h4', {}, t('batch.line', format.count(row.line))),
                    el(
                      'p',
                      {},
                      ...row.pieces.map(({ text, labelled }) =>
                        labelled ? el('mark', {}, text) : text,
                      ),
                    ),
                  ),
                ),
              ]
            : [el('p', { class: 'empty' }, t('batch.none'))]),
        ),
      );
    },
  };
}
