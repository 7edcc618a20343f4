import { flat, guessedPath, pathOfKohyaName, withoutPrefix } from '../kohya/names';
import { modulesOf, namedTensors } from './modules';
import { canonicalPath } from './names';
import type { Spec } from './spec';

/** Parts of a path that torch.compile, DataParallel, PEFT and models with a vision tower add. */
const WRAPPER_PARTS: ReadonlySet<string> = new Set([
  '_orig_mod',
  'module',
  'base_model',
  'language_model',
]);

interface KnownPaths {
  readonly paths: ReadonlySet<string>;
  /** By their names with underscores for dots. */
  readonly flat: ReadonlyMap<string, string>;
  /** The first part of the body's paths with its dot, or nothing. */
  readonly prefix: string;
}

const knownPaths = new WeakMap<Spec, KnownPaths>();

function knownPathsOf(spec: Spec): KnownPaths {
  const existing = knownPaths.get(spec);
  if (existing) return existing;
  const modules = modulesOf(spec).map((m) => m.path);
  const tensors = namedTensors(spec).map(({ name }) => name.replace(/\.(?:weight|bias)$/, ''));
  const [first = ''] = modules;
  const known = {
    paths: new Set([...modules, ...tensors]),
    flat: new Map(modules.map((path) => [flat(path), path])),
    prefix: first.includes('.') ? first.slice(0, first.indexOf('.') + 1) : '',
  };
  knownPaths.set(spec, known);
  return known;
}

/**
 * A module's path in the base, given the one in an adapter's file: one of older checkpoints, of a
 * wrapped model, or with underscores for dots. A path that the base has in no spelling is returned
 * as it is, without what wrappers add.
 */
export function modulePathIn(spec: Spec, path: string): string {
  const known = knownPathsOf(spec);
  if (!path.includes('.')) {
    const found = kohyaPath(path, known, spec);
    if (found !== undefined) return found;
  }
  return (
    spellings(path, known, spec).find((own) => known.paths.has(own)) ??
    withoutWrappers(pathOfKohyaName(path))
  );
}

function kohyaPath(name: string, known: KnownPaths, spec: Spec): string | undefined {
  if (known.paths.has(name)) return name;
  const own = withoutPrefix(name);
  if (own === name) return undefined;
  const guess = guessedPath(own);
  return known.flat.get(own) ?? spellings(guess, known, spec).find((path) => known.paths.has(path));
}

/** Spellings of a path, the likeliest first. */
function spellings(path: string, { prefix }: KnownPaths, spec: Spec): string[] {
  const parts = path.split('.').filter((part) => !WRAPPER_PARTS.has(part));
  const bare = parts.join('.').replace(/^(?:model\.)+/, '');
  return [path, parts.join('.'), bare, `model.${bare}`, prefix + bare].flatMap((own) => [
    own,
    canonicalPath(own, spec),
  ]);
}

/** A path without what torch.compile, DataParallel and PEFT put before or into it. */
export const withoutWrappers = (path: string): string =>
  path
    .split('.')
    .filter((part) => part !== '_orig_mod')
    .join('.')
    .replace(/^(?:module\.|base_model\.model\.)+/, '');
