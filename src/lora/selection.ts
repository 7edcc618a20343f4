import type { TargetableModule } from './adapter';
import { matchTargets, type TargetSettings } from './targets';

export type ChosenTargets = Required<
  Pick<TargetSettings, 'target_modules' | 'layers_to_transform'>
>;

/**
 * The shortest settings that select exactly these modules: "all-linear", names, names in some
 * layers, or else the list of paths.
 *
 * @param modules All modules of the model.
 * @param chosen Paths of those to be selected.
 */
export function targetsFor(
  modules: readonly TargetableModule[],
  chosen: ReadonlySet<string>,
): ChosenTargets {
  const selected = modules.filter((m) => chosen.has(m.path));
  const nameOf = kindNames(modules);
  const names = [...new Set(selected.map(nameOf))];
  const layers = [...new Set(selected.map((m) => layerOf(m.path)))].filter((i) => i !== null);
  const shortestFirst: readonly ChosenTargets[] = [
    { target_modules: 'all-linear', layers_to_transform: null },
    { target_modules: names, layers_to_transform: null },
    { target_modules: names, layers_to_transform: layers },
  ];
  const selectsExactlyThese = (settings: ChosenTargets) => {
    const { matched } = matchTargets(modules, settings);
    return matched.length === selected.length && matched.every((m) => chosen.has(m.path));
  };
  return (
    shortestFirst.find(selectsExactlyThese) ?? {
      target_modules: selected.map((m) => m.path),
      layers_to_transform: null,
    }
  );
}

/**
 * Names the kind of a module: that of a layers model by the class of its layer, others by the end
 * of their paths: q_proj; attn.c_proj where c_proj alone would
 * also name others.
 */
export function kindNames(
  modules: readonly TargetableModule[],
): (module: TargetableModule) => string {
  const longNames = new Map<string, Set<string>>(); // by short name
  for (const { path } of modules) {
    const own = longNames.get(lastParts(path, 1)) ?? new Set();
    longNames.set(lastParts(path, 1), own.add(lastParts(path, 2)));
  }
  return ({ path, names }) => {
    const className = names?.at(-1);
    if (className !== undefined) return className;
    const isAmbiguous = longNames.get(lastParts(path, 1))!.size > 1 && layerOf(path) !== null;
    return lastParts(path, isAmbiguous ? 2 : 1);
  };
}

/** The number of the layer as PEFT's layers_to_transform finds it; null outside of the layers. */
export function layerOf(path: string): number | null {
  const found = /^.*?\.[^.]*\.(\d+)\../.exec(path);
  return found ? Number(found[1]) : null;
}

const lastParts = (path: string, count: number): string => path.split('.').slice(-count).join('.');
