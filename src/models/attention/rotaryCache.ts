import type { RopeSpec } from '../../formats/architecture/spec';
import type { Ops, Tensor } from '../ops/ops';
import { buildRotaryTable, type RotaryTableSpec } from './rope';

/** Tables for the positions from 0 on; shorter rows use the first part of them. */
interface CachedTables {
  readonly positions: number;
  readonly forward: Float32Array;
  readonly backward: Float32Array;
}

/** Positions of the shortest table that is built. */
const LEAST_POSITIONS = 256;

const caches = new WeakMap<Ops, Map<string, CachedTables>>();

/** Whether the frequencies are the same for all lengths of rows. */
const isFixed = ({ scaling }: RopeSpec): boolean =>
  scaling.kind !== 'dynamic' && scaling.kind !== 'longrope';

/**
 * The tables of `buildRotaryTable` for the positions 0 to length - 1 in both directions, which the
 * caller frees; null if they differ between lengths. Their numbers are kept until the backend ends.
 *
 * @param key Of the rotation, the heads included.
 */
export function cachedRotaryTables(
  ops: Ops,
  key: string,
  spec: RotaryTableSpec,
  length: number,
): { readonly forward: Tensor; readonly backward: Tensor } | null {
  if (!isFixed(spec.rope)) return null;
  const cache = caches.get(ops) ?? new Map<string, CachedTables>();
  caches.set(ops, cache);
  let tables = cache.get(key);
  if (!tables || tables.positions < length) {
    tables = builtTables(ops, spec, length);
    cache.set(key, tables);
  }
  const size = length * (tables.forward.length / tables.positions);
  const upload = (numbers: Float32Array) => ops.upload(numbers.subarray(0, size), [size]);
  return { forward: upload(tables.forward), backward: upload(tables.backward) };
}

function builtTables(ops: Ops, spec: RotaryTableSpec, length: number): CachedTables {
  const positions = Math.max(LEAST_POSITIONS, length);
  const all = Int32Array.from({ length: positions }, (_, i) => i);
  const built = (direction: 1 | -1) => {
    const table = buildRotaryTable(spec, all, direction);
    const kept = ops.allocateHostF32(table.length);
    kept.set(table);
    return kept;
  };
  return { positions, forward: built(1), backward: built(-1) };
}
