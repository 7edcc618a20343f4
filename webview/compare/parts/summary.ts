import { el } from '../../shared/dom';
import { ranksOf, agreement } from '../model/words';
import { orNone, type Context, type Part, type View } from '../view';

/** What the two have to do with each other, in words and key numbers. */
export function summary(context: Context): Part {
  const root = el('header', { class: 'summary' });
  let shown: View['data'] | undefined;
  return {
    root,
    update(view) {
      if (shown === view.data) return;
      shown = view.data;
      root.replaceChildren(
        ...head(context, view),
        words(context, view),
        tiles(context, view),
        ...settings(context, view),
      );
    },
  };
}

function head(
  { t, openDiff, tryBoth, overlayCurves }: Context,
  { names, curves }: View,
): HTMLElement[] {
  return [
    el(
      'div',
      { class: 'title' },
      el('h1', {}, t('title', ...names)),
      el(
        'span',
        { class: 'actions' },
        el('vscode-button', { appearance: 'secondary', click: tryBoth }, t('try')),
        ' ',
        ...(curves
          ? [
              el('vscode-button', { appearance: 'secondary', click: overlayCurves }, t('curves')),
              ' ',
            ]
          : []),
        el('vscode-button', { appearance: 'secondary', click: openDiff }, t('openDiff')),
      ),
    ),
  ];
}

function words(context: Context, { names, data, rows }: View): HTMLElement {
  const { t, format } = context;
  const { total, equal, only_a, only_b, layers, trained } = data;
  const number = (value: number) => format.digits(value, 4);
  const share = format.percent(
    total.norm_of_difference / Math.max(total.norm_a, total.norm_b, Number.MIN_VALUE),
  );
  const sentences = equal
    ? [t('words.equal')]
    : [
        t(
          'words.different',
          names[0],
          number(total.norm_a),
          names[1],
          number(total.norm_b),
          number(total.norm_of_difference),
          share,
        ),
        ...(total.cosine === null
          ? []
          : [t(agreement(total.cosine), format.digits(total.cosine, 3))]),
      ];
  for (const [i, alone] of [only_a, only_b].entries())
    if (alone.length > 0) sentences.push(t('words.only', names[i]!, format.count(alone.length)));
  const intruders = layers?.flatMap((layer) => (layer.intruders ? [layer.intruders] : [])) ?? [];
  if (intruders.length > 0) {
    const count = (which: 'a' | 'b') =>
      format.count(intruders.reduce((sum, own) => sum + (own[which]?.count ?? 0), 0));
    sentences.push(t('words.intruders', count('a'), names[0], count('b'), names[1]));
  }
  for (const { name, norm_of_difference: gap } of trained)
    sentences.push(
      `${t('trained', name)} (${gap === null ? t('trained.other') : gap === 0 ? t('trained.same') : t('trained.differs', number(gap))})`,
    );
  return el('p', { class: 'words', 'data-modules': rows.length }, sentences.join(' '));
}

function tiles(context: Context, { names, data: { total }, rows }: View): HTMLElement {
  const { t, format } = context;
  const tile = (label: string, value: string, sub: string) =>
    el(
      'div',
      { class: 'tile' },
      el('dt', {}, label),
      el('dd', { class: 'value' }, value),
      el('dd', { class: 'sub' }, sub),
    );
  const adapter = (which: 'a' | 'b', norm: number) => {
    const ranks = ranksOf(rows, which);
    return tile(
      t(`tile.${which}`, names[which === 'a' ? 0 : 1]),
      t('tile.norm', format.digits(norm, 4)),
      ranks ? t('tile.rank', format.count(ranks.paid), format.digits(ranks.used, 3)) : '',
    );
  };
  return el(
    'section',
    { 'aria-label': t('tiles') },
    el(
      'dl',
      { class: 'tiles' },
      adapter('a', total.norm_a),
      adapter('b', total.norm_b),
      tile(
        t('tile.cosine'),
        total.cosine === null ? t('none') : format.digits(total.cosine, 3),
        '',
      ),
      tile(
        t('tile.difference'),
        orNone(context, total.norm_of_difference),
        t(
          'tile.share',
          format.percent(
            total.norm_of_difference / Math.max(total.norm_a, total.norm_b, Number.MIN_VALUE),
          ),
        ),
      ),
    ),
  );
}

function settings({ t }: Context, { names, data: { config } }: View): HTMLElement[] {
  if (config.length === 0) return [el('p', { class: 'caption' }, t('config.same'))];
  const row = (cells: readonly string[], tag: 'th' | 'td') =>
    el(
      'tr',
      {},
      ...cells.map((cell, i) =>
        tag === 'th'
          ? el('th', { scope: 'col' }, cell)
          : i === 0
            ? el('th', { scope: 'row' }, cell)
            : el('td', {}, cell),
      ),
    );
  const text = (value: unknown) =>
    Array.isArray(value)
      ? value.map(String).join(', ')
      : typeof value === 'string'
        ? value
        : JSON.stringify(value);
  return [
    el(
      'details',
      { open: config.length <= 6 },
      el('summary', {}, `${t('config')} (${config.length})`),
      el(
        'table',
        { class: 'settings' },
        el('thead', {}, row([t('config.key'), ...names], 'th')),
        el('tbody', {}, ...config.map(({ key, a, b }) => row([key, text(a), text(b)], 'td'))),
      ),
    ),
  ];
}
