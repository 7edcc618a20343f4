import { el, icon, setAttribute, setText, show } from '../../shared/dom';
import { chosenIn, groupsOf, withGroup, type Group, type GroupBy } from '../model/groups';
import type { Context, Part, View } from '../view';

interface Row {
  readonly group: Group;
  readonly box: HTMLInputElement;
  readonly fold: HTMLElement;
  readonly count: HTMLElement;
  readonly list: HTMLElement;
  readonly items: ReadonlyMap<number, HTMLInputElement>;
}

/**
 * The modules as a tree of two levels, kinds and layers; a group's box is on, off, or in between.
 */
export function targetsPart(context: Context): Part {
  const { t, format, arrange } = context;
  const count = el('span', { class: 'hint', role: 'status' });
  const none = el('p', { class: 'warning', role: 'alert' }, t('targets.none'));
  const tree = el('ul', { class: 'tree' });
  const by = el(
    'select',
    {
      id: 'by',
      change: (event) => arrange({ by: (event.target as HTMLSelectElement).value as GroupBy }),
    },
    el('option', { value: 'kind' }, t('targets.kind')),
    el('option', { value: 'layer' }, t('targets.layer')),
  );
  const root = el(
    'section',
    { class: 'card targets', 'aria-labelledby': 'targets-title' },
    el(
      'div',
      { class: 'bar' },
      el('h2', { id: 'targets-title' }, t('targets')),
      count,
      el('label', { for: 'by' }, t('targets.by')),
      by,
    ),
    none,
    tree,
  );
  let rows: readonly Row[] = [];
  let built: readonly unknown[] = [];
  return {
    root,
    update(view) {
      const shape = [view.modules.map((m) => m.path).join(), view.by];
      if (shape.some((own, i) => own !== built[i])) {
        built = shape;
        by.value = view.by;
        rows = groupsOf(view.modules, view.by).map((group) => rowOf(context, group, view.by));
        tree.replaceChildren(
          ...rows.map(({ box, fold, count: own, list, group }) =>
            el(
              'li',
              {},
              el(
                'div',
                { class: 'group' },
                fold,
                el('label', {}, box, nameOf(context, group, view.by)),
                own,
              ),
              list,
            ),
          ),
        );
      }
      for (const row of rows) mark(context, row, view);
      setText(
        count,
        t('targets.count', format.count(view.chosen.size), format.count(view.modules.length)),
      );
      show(none, view.chosen.size === 0);
    },
  };
}

const nameOf = ({ t }: Context, { name }: Group, by: GroupBy) =>
  name === '' ? t('targets.other') : by === 'layer' ? t('targets.layerName', name) : name;

function rowOf(context: Context, group: Group, by: GroupBy): Row {
  const { t, now, choose, arrange } = context;
  const key = `${by} ${group.name}`;
  const box = el('input', {
    type: 'checkbox',
    change: () => choose({ chosen: withGroup(now().chosen, group, box.checked) }, true),
  });
  const fold = el(
    'button',
    {
      type: 'button',
      class: 'fold',
      disabled: group.items.length === 1,
      'aria-label': t('targets.unfold', nameOf(context, group, by)),
      click: () => {
        const open = new Set(now().open);
        if (!open.delete(key)) open.add(key);
        arrange({ open });
      },
    },
    icon('chevron-right'),
  );
  const items = new Map(
    group.items.map(({ index }) => {
      const item = el('input', {
        type: 'checkbox',
        change: () =>
          choose(
            {
              chosen: withGroup(
                now().chosen,
                { name: '', items: [{ index, label: '' }] },
                item.checked,
              ),
            },
            true,
          ),
      });
      return [index, item];
    }),
  );
  const list = el(
    'ul',
    { class: `items by-${by}` },
    ...group.items.map(({ index, label }) =>
      el('li', {}, el('label', { title: now().modules[index]!.path }, items.get(index)!, label)),
    ),
  );
  return { group, box, fold, count: el('span', { class: 'hint' }), list, items };
}

function mark(
  { t }: Context,
  { group, box, fold, count, list, items }: Row,
  { chosen, open, by }: View,
): void {
  const own = chosenIn(group, chosen);
  box.checked = own === group.items.length;
  box.indeterminate = own > 0 && own < group.items.length;
  setText(count, t('targets.count', own, group.items.length));
  const unfolded = open.has(`${by} ${group.name}`);
  setAttribute(fold, 'aria-expanded', String(unfolded));
  show(list, unfolded);
  if (unfolded) for (const [index, item] of items) item.checked = chosen.has(index);
}
