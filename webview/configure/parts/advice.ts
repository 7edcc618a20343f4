import { el, show } from '../../shared/dom';
import type { Context, Part, View } from '../view';

/** What to change, and why, with a button where the page can do it. */
export function advicePart({ t, post }: Context): Part {
  const list = el('ul', { class: 'lines', 'aria-live': 'polite' });
  const root = el(
    'section',
    { class: 'card advice', 'aria-labelledby': 'advice-title' },
    el('h2', { id: 'advice-title' }, t('advice')),
    list,
  );
  let shown: View['advice'] | undefined;
  return {
    root,
    update({ advice }) {
      if (advice === shown) return;
      shown = advice;
      show(root, advice.length > 0);
      list.replaceChildren(
        ...advice.map(({ text, button }) =>
          el(
            'li',
            {},
            el('p', {}, text),
            ...(button
              ? [
                  el(
                    'vscode-button',
                    {
                      appearance: 'secondary',
                      click: () => post({ kind: 'act', act: button.act }),
                    },
                    button.label,
                  ),
                ]
              : []),
          ),
        ),
      );
    },
  };
}
