import { familyOf } from './families';
import type { Spec } from './spec';

/**
 * The names of the tensors whose rows a checkpoint has as one, in their order; null for a tensor
 * that is no such one.
 *
 * @param name The checkpoint's tensor, by its name in current transformers.
 */
export function partsOf(name: string, spec: Pick<Spec, 'family'>): readonly string[] | null {
  const dot = name.lastIndexOf('.');
  const [path, kind] = [name.slice(0, dot), name.slice(dot)];
  const stacked = familyOf(spec).stacked?.find(({ stored }) => path.endsWith(stored));
  if (!stacked) return null;
  const start = path.slice(0, -stacked.stored.length);
  return stacked.modules.map((own) => start + own + kind);
}
