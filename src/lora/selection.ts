import { matchTargets, type TargetSettings } from './targets';
import type { TargetableModule } from './adapter';

export type ChosenTargets = Required<
  Pick<TargetSettings, 'target_modules' | 'layers_to_transform'>
>;

/**
 * The shortest settings that mean exactly these modules: "all-linear", names, names in some layers,
 * or the list of paths.
 */
export function targetsFor(
  modules: readonly TargetableModule[],
  chosen: ReadonlySet<string>,
): ChosenTargets {
  const own = modules.filter((m) => chosen.has(m.path));
  const kind = kindNames(modules);
  const names = [...new Set(own.map(kind))];
  const layers = [...new Set(own.map((m) => layerOf(m.path)))].filter((layer) => layer !== null);
  const shorter: readonly ChosenTargets[] = [
    { target_modules: 'all-linear', layers_to_transform: null },
    { target_modules: names, layers_to_transform: null },
    { target_modules: names, layers_to_transform: layers },
  ];
  const means = (settings: ChosenTargets) => {
    const { matched } = matchTargets(modules, settings);
    return matched.length === own.length && matched.every((m) => chosen.has(m.path));
  };
  return (
    shorter.find(means) ?? { target_modules: own.map((m) => m.path), layers_to_transform: null }
  );
}

/**
 * What a kind of modules is called: q_proj; attn.c_proj where the last part alone would also name
 * others.
 */
export function kindNames(
  modules: readonly TargetableModule[],
): (module: TargetableModule) => string {
  const parents = new Map<string, Set<string>>();
  for (const { path } of modules)
    parents.set(end(path, 1), (parents.get(end(path, 1)) ?? new Set()).add(end(path, 2)));
  return ({ path }) =>
    parents.get(end(path, 1))!.size > 1 && layerOf(path) !== null ? end(path, 2) : end(path, 1);
}

/** The number of the layer, as PEFT's layers_to_transform finds it; null outside of the layers. */
export function layerOf(path: string): number | null {
  const found = /^.*?\.[^.]*\.(\d+)\../.exec(path);
  return found ? Number(found[1]) : null;
}

const end = (path: string, parts: number) => path.split('.').slice(-parts).join('.');
