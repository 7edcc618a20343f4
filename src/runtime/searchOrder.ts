import type { Runtime, RuntimeOptions } from './runtime';

/**
 * Where a runtime is looked for, in this order: what the setting names, TensorFlow with CUDA, the
 * companion extension, what was installed before. If nothing is there, it is installed from the
 * mirror, a local Python or through pip.
 */
export const PLACES = [
  'setting',
  'cuda',
  'companion',
  'installed',
  'mirror',
  'python',
  'pip',
] as const;
export type Place = (typeof PLACES)[number];

/**
 * Of a place: its runtime is used; there is none; it is chosen by the user for an installation; it
 * is not asked, because an earlier place has a runtime or nothing is to be installed yet.
 */
export type PlaceState = 'used' | 'absent' | 'chosen' | 'not asked';

/** The state of each place, given the runtime that was found; none on WebAssembly. */
export function searchOrder(
  runtime: Runtime | null,
  { url }: Pick<RuntimeOptions, 'url'>,
): readonly (readonly [Place, PlaceState])[] {
  if (runtime?.kind === 'wasm') return [];
  const used = runtime ? PLACES.indexOf(placeOf(runtime)) : PLACES.indexOf('mirror');
  return PLACES.map((place, i): [Place, PlaceState] => {
    if (place === 'mirror') return [place, url ? 'chosen' : 'absent'];
    if (i === used) return [place, 'used'];
    return [place, i < used ? 'absent' : 'not asked'];
  });
}

function placeOf({ source }: Runtime): Place {
  switch (source) {
    case 'setting':
    case 'cuda':
    case 'companion':
      return source;
    default:
      return 'installed';
  }
}
