import { familyOf } from './families';
import type { MixtureSpec, Spec } from './spec';

/** What of a model is needed to know what its files stack. */
export type StackedSpec = Pick<Spec, 'family' | 'layers'>;

/**
 * The names of the tensors whose rows a checkpoint has as one, in their order; null for a tensor
 * that is no such one.
 *
 * @param name The checkpoint's tensor, by its name in current transformers.
 */
export function partsOf(name: string, spec: StackedSpec): readonly string[] | null {
  const ofExperts = expertParts(spec).get(name);
  if (ofExperts) return ofExperts;
  const dot = name.lastIndexOf('.');
  const [path, kind] = [name.slice(0, dot), name.slice(dot)];
  const stacked = familyOf(spec).stacked?.find(({ stored }) => path.endsWith(stored));
  if (!stacked) return null;
  const start = path.slice(0, -stacked.stored.length);
  return stacked.modules.map((own) => start + own + kind);
}

const known = new WeakMap<Spec['layers'], ReadonlyMap<string, readonly string[]>>();

/** The parameters of all experts, each with its parts: those of the first expert first. */
function expertParts({ layers }: StackedSpec): ReadonlyMap<string, readonly string[]> {
  const found = known.get(layers) ?? new Map(layers.flatMap(({ mlp }) => stackedOf(mlp)));
  known.set(layers, found);
  return found;
}

function stackedOf(mlp: Spec['layers'][number]['mlp']): [string, readonly string[]][] {
  if (mlp.kind !== 'mixture') return [];
  return (['weight', 'bias'] as const).flatMap((kind) => [
    [stackedName(mlp, 'gate_up_proj', kind), mlp.experts.flatMap((own) => gateAndUp(own, kind))],
    [
      stackedName(mlp, 'down_proj', kind),
      mlp.experts.flatMap(({ down }) => [`${down.path}.${kind}`]),
    ],
  ]);
}

const stackedName = (
  { module }: MixtureSpec,
  parameter: 'gate_up_proj' | 'down_proj',
  kind: 'weight' | 'bias',
): string => `${module}.${parameter}${kind === 'bias' ? '_bias' : ''}`;

const gateAndUp = (
  { halves, gate_up }: MixtureSpec['experts'][number],
  kind: 'weight' | 'bias',
): string[] => (halves ? [halves.gate, halves.up] : [gate_up]).map(({ path }) => `${path}.${kind}`);

/** Whether a tensor has the parameters of all experts in its first dimension. */
export const isOfExperts = (name: string, spec: StackedSpec): boolean =>
  expertParts(spec).has(name);

/** The names of the parameters of all experts. */
export const stackedNames = (spec: StackedSpec): Iterable<string> => expertParts(spec).keys();
