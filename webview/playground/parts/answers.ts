import { MAX_SCALE } from '../../../src/shared/pages/playground/protocol';
import { el, icon, memo, setText, show } from '../../shared/dom';
import { isBusy, piecesOf, type Column } from '../model/columns';
import { scaleOf, type Context, type Part, type View } from '../view';

/** The answers side by side, the base's first. */
export function answers(context: Context): Part {
  const { t } = context;
  const grid = el('div', { class: 'answers' });
  const marks = el('p', { class: 'hint' }, t('marks'));
  let cards: readonly Part[] = [];
  let drawn = '';
  return {
    root: el('section', { 'aria-label': t('answers') }, grid, marks),
    update(view) {
      const now = JSON.stringify(view.columns.map(({ adapter, name }) => [adapter, name]));
      if (now !== drawn) {
        drawn = now;
        cards = view.columns.map((_, i) => card(context, i, view));
        grid.replaceChildren(...cards.map(({ root }) => root));
      }
      for (const own of cards) own.update(view);
      show(
        marks,
        view.columns.length > 1 && view.columns.some(({ state }) => state.kind === 'done'),
      );
    },
  };
}

function card(context: Context, index: number, { columns }: View): Part {
  const { t, post } = context;
  const { adapter, name } = columns[index]!;
  const text = el('div', { class: 'text', tabindex: 0, role: 'region', 'aria-label': name });
  const facts = el('p', { class: 'caption', role: 'status' });
  const changed = memo();
  const scale = adapter === null ? null : scaleSlider(context, adapter, name);
  const remove =
    adapter === null
      ? []
      : [
          el(
            'vscode-button',
            {
              appearance: 'icon',
              title: t('remove', name),
              'aria-label': t('remove', name),
              click: () => post({ kind: 'removeAdapter', adapter }),
            },
            icon('close'),
          ),
        ];
  return {
    root: el(
      'article',
      { class: 'card', 'aria-label': name },
      el('header', {}, el('h2', {}, name), ...remove),
      ...(scale ? [scale.root] : []),
      text,
      facts,
    ),
    update(view) {
      const column = view.columns[index]!;
      const base = view.columns[0]!;
      scale?.update(view);
      const against =
        adapter !== null && column.state.kind === 'done' && base.state.kind === 'done'
          ? base.text
          : null;
      changed([column.text, column.state, against], () => {
        text.replaceChildren(...contentOf(column, against, context));
        setText(facts, factsOf(column, against, context));
        text.scrollTop = isBusy(column) ? text.scrollHeight : text.scrollTop;
      });
      text.setAttribute('aria-busy', String(isBusy(column)));
    },
  };
}

function contentOf(
  { text, state }: Column,
  against: string | null,
  { t }: Context,
): readonly (Node | string)[] {
  if (state.kind === 'failed') return [el('span', { class: 'failure' }, state.message)];
  if (text === '')
    return [
      el(
        'span',
        { class: 'hint' },
        state.kind === 'done' ? t('nothing') : state.kind === 'empty' ? t('empty') : '',
      ),
    ];
  return against === null
    ? [text]
    : piecesOf(text, against).map((piece) => (piece.own ? el('mark', {}, piece.text) : piece.text));
}

function factsOf({ text, state }: Column, against: string | null, { t, format }: Context): string {
  switch (state.kind) {
    case 'waiting':
      return t('waiting');
    case 'writing':
      return t('writing');
    case 'done': {
      const said = state.stopped
        ? t('stopped', format.count(state.tokens))
        : t('facts', format.count(state.tokens), format.speed(state.tokens / state.seconds));
      return against !== null && against === text ? `${said} · ${t('same')}` : said;
    }
    case 'empty':
    case 'failed':
      return '';
  }
}

/** How many times the adapter's update is added; let go, it answers anew. */
function scaleSlider({ t, kept, keep, ask, format }: Context, adapter: number, name: string): Part {
  const value = el('output', { for: `scale-${adapter}` });
  let view: View | undefined;
  const input = el('input', {
    id: `scale-${adapter}`,
    type: 'range',
    min: 0,
    max: MAX_SCALE,
    step: 0.05,
    'aria-label': `${t('scale')}: ${name}`,
    input: () => {
      const { scales, adapters } = kept();
      keep({
        scales: adapters.map((_, i) => (i === adapter ? Number(input.value) : (scales[i] ?? 1))),
      });
    },
    change: () => {
      if (view?.columns.some(({ id }) => id !== null)) ask(adapter);
    },
  });
  return {
    root: el('div', { class: 'smoothing' }, el('span', {}, t('scale')), input, value),
    update(now) {
      view = now;
      const scale = scaleOf(now, adapter);
      if (Number(input.value) !== scale) input.value = String(scale);
      input.setAttribute('aria-valuetext', t('scale.words', format.digits(scale, 3)));
      setText(value, format.digits(scale, 3));
    },
  };
}
