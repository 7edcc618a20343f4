import type { ModuleChoice } from '../../../src/shared/pages/configure/protocol';

export type GroupBy = 'kind' | 'layer';

export interface Group {
  /** A kind, or the number of a layer; empty: outside of the layers. */
  readonly name: string;
  /** Indices of the modules, and what each is called within the group. */
  readonly items: readonly { readonly index: number; readonly label: string }[];
}

/**
 * Modules by their kind (the items are layers) or by their layer (the items are kinds), in the
 * model's order.
 */
export function groupsOf(modules: readonly ModuleChoice[], by: GroupBy): Group[] {
  const groups = new Map<string, { index: number; label: string }[]>();
  modules.forEach(({ kind, layer }, index) => {
    const [name, label] =
      by === 'kind'
        ? [kind, layer === null ? kind : String(layer)]
        : [layer === null ? '' : String(layer), kind];
    groups.set(name, [...(groups.get(name) ?? []), { index, label }]);
  });
  return [...groups].map(([name, items]) => ({ name, items }));
}

/** How many of a group are chosen. */
export const chosenIn = ({ items }: Group, chosen: ReadonlySet<number>): number =>
  items.filter(({ index }) => chosen.has(index)).length;

/** All of a group, or none. */
export function withGroup(
  chosen: ReadonlySet<number>,
  { items }: Group,
  on: boolean,
): ReadonlySet<number> {
  const next = new Set(chosen);
  for (const { index } of items)
    if (on) next.add(index);
    else next.delete(index);
  return next;
}
