import type { Memory } from '../../../src/shared/pages/configure/protocol';
import { el, setAttribute, setText, show } from '../../shared/dom';
import type { Context, Part, View } from '../view';

const MEMORY_PARTS = [
  'weights',
  'adapter',
  'gradients',
  'optimizer',
  'activations',
  'working',
  'total',
] as const satisfies readonly (keyof Memory)[];

/** Numbers that train, memory, file: beside what full fine-tuning would take. */
export function costsPart(context: Context): Part {
  const { t, format } = context;
  const tiles = {
    trainable: tile(t('costs.trainable')),
    file: tile(t('costs.file')),
    memory: tile(t('costs.memory')),
    full: tile(t('costs.full')),
  };
  const over = el('p', { class: 'warning', role: 'alert' }, t('costs.over'));
  const [batch, others] = [el('p', { class: 'hint' }), el('p', { class: 'hint' })];
  const cells = MEMORY_PARTS.map((part) => ({ part, lora: el('td'), full: el('td') }));
  const kinds = el('tbody');
  const root = el(
    'section',
    { class: 'card costs', 'aria-labelledby': 'costs-title' },
    el('h2', { id: 'costs-title' }, t('costs')),
    el('dl', { class: 'tiles' }, ...Object.values(tiles).map((own) => own.root)),
    over,
    batch,
    others,
    el('h3', { id: 'memory-title' }, t('memory.title')),
    el(
      'div',
      { class: 'scroll' },
      el(
        'table',
        { class: 'memory', 'aria-labelledby': 'memory-title' },
        head(t('memory.part'), t('memory.lora'), t('memory.full')),
        el(
          'tbody',
          {},
          ...cells.map(({ part, lora, full }) =>
            el('tr', { class: part }, el('th', { scope: 'row' }, t(`memory.${part}`)), lora, full),
          ),
        ),
      ),
    ),
    el('h3', { id: 'kinds-title' }, t('kinds.title')),
    el('p', { class: 'hint' }, t('kinds.square')),
    el(
      'div',
      { class: 'scroll' },
      el(
        'table',
        { class: 'kinds', 'aria-labelledby': 'kinds-title' },
        head(
          t('kinds.kind'),
          t('kinds.count'),
          t('kinds.shape'),
          t('kinds.update'),
          t('kinds.whole'),
          t('kinds.share'),
        ),
        kinds,
      ),
    ),
  );
  return {
    root,
    update({ figures }) {
      const { trainable, parameters, modules, fileBytes, memory, full, there } = figures;
      tiles.trainable.set(
        format.count(trainable),
        t('costs.share', format.percent(trainable / parameters), format.compact(parameters)),
      );
      tiles.file.set(format.bytes(fileBytes), t('costs.fileSub', format.count(modules)));
      tiles.memory.set(format.bytes(memory.total), t('costs.memorySub', format.bytes(there)));
      tiles.full.set(
        format.bytes(full.total),
        t(
          'costs.fullSub',
          format.digits(full.total / memory.total, 2),
          trainable === 0 ? t('none') : format.digits(parameters / trainable, 3),
        ),
      );
      show(over, memory.total > there);
      setAttribute(tiles.memory.root, 'data-over', memory.total > there ? 'true' : null);
      setText(batch, t('costs.batch', figures.batch, format.count(figures.length)));
      show(others, figures.otherRanks > 0);
      setText(others, t('costs.otherRanks', figures.otherRanks));
      for (const { part, lora, full: whole } of cells) {
        setText(lora, format.bytes(memory[part]));
        setText(whole, format.bytes(full[part]));
      }
      kinds.replaceChildren(...figures.kinds.map((kind) => rowOf(context, kind)));
    },
  };
}

const head = (...titles: readonly string[]) =>
  el('thead', {}, el('tr', {}, ...titles.map((title) => el('th', { scope: 'col' }, title))));

function tile(label: string) {
  const [value, sub] = [el('dd', { class: 'value' }), el('dd', { class: 'sub' })];
  return {
    root: el('div', { class: 'tile' }, el('dt', {}, label), value, sub),
    set(text: string, small: string) {
      setText(value, text);
      setText(sub, small);
    },
  };
}

function rowOf(
  { format }: Context,
  { name, modules, out_features, in_features, update, whole }: View['figures']['kinds'][number],
): HTMLElement {
  const cells = [
    format.count(modules),
    `${format.count(out_features)} × ${format.count(in_features)}`,
    format.count(update),
    format.count(whole),
    format.percent(update / whole),
  ];
  return el('tr', {}, el('th', { scope: 'row' }, name), ...cells.map((cell) => el('td', {}, cell)));
}
