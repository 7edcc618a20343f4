import type { ModuleChoice } from '../../../src/shared/pages/configure/protocol';

export type GroupBy = 'kind' | 'layer';

/** Modules of one kind or one layer. */
export interface ModuleGroup {
  readonly by: GroupBy;
  /** A kind, or the number of a layer; empty for modules outside the layers. */
  readonly name: string;
  /** Indices of the modules, and the name of each within the group. */
  readonly items: readonly { readonly index: number; readonly label: string }[];
}

/**
 * Modules by their kind (the items are layers) or by their layer (the items are kinds), in the
 * model's order.
 */
export function groupsOf(modules: readonly ModuleChoice[], by: GroupBy): ModuleGroup[] {
  const groups = new Map<string, { index: number; label: string }[]>();
  modules.forEach(({ kind, layer }, index) => {
    const layerName = layer === null ? '' : String(layer);
    const [name, label] = by === 'kind' ? [kind, layerName || kind] : [layerName, kind];
    groups.set(name, [...(groups.get(name) ?? []), { index, label }]);
  });
  return [...groups].map(([name, items]) => ({ by, name, items }));
}

/** How many modules of a group are chosen. */
export const chosenIn = ({ items }: ModuleGroup, chosen: ReadonlySet<number>): number =>
  items.filter(({ index }) => chosen.has(index)).length;

/** The chosen modules with all of a group, or without any of it. */
export function withGroup(
  chosen: ReadonlySet<number>,
  { items }: ModuleGroup,
  on: boolean,
): ReadonlySet<number> {
  const next = new Set(chosen);
  for (const { index } of items) {
    if (on) next.add(index);
    else next.delete(index);
  }
  return next;
}
