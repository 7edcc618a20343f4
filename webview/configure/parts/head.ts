import { el, setText } from '../../shared/dom';
import type { Context, Part } from '../view';

/** Whose rank it is. */
export function headPart({ t, format, post }: Context): Part {
  const [title, base] = [el('h1'), el('p', { class: 'caption' })];
  const root = el(
    'header',
    { class: 'head' },
    el(
      'div',
      { class: 'title' },
      title,
      el(
        'vscode-button',
        { appearance: 'secondary', click: () => post({ kind: 'openGuide' }) },
        t('openGuide'),
      ),
      el(
        'vscode-button',
        { appearance: 'secondary', click: () => post({ kind: 'openRecipe' }) },
        t('openRecipe'),
      ),
    ),
    base,
  );
  return {
    root,
    update(view) {
      setText(title, t('title', view.file));
      setText(base, t('base', view.base, format.count(view.figures.parameters)));
    },
  };
}
