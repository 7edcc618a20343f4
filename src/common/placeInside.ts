import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { isInFolder } from './samePath';

/** Where a name leads to from a folder. */
export type PlaceInside =
  { readonly kind: 'inside'; readonly path: string } | { readonly kind: 'outside' | 'missing' };

/**
 * The real path of a file or folder in `root`, which is a real path itself. A name that leads out
 * of it, even by a link, is outside; nothing is looked up there.
 */
export async function placeInside(root: string, name: string): Promise<PlaceInside> {
  const given = path.resolve(root, name);
  if (!isInFolder(given, root)) return { kind: 'outside' };
  const real = await realpath(given).catch(() => null);
  if (real === null) return { kind: 'missing' };
  return isInFolder(real, root) ? { kind: 'inside', path: real } : { kind: 'outside' };
}
