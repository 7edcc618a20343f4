import { familyOf } from './families';
import type { Rename } from './family';
import { tensorsOf } from './modules';
import type { Spec } from './spec';
import { stackedNames } from './stackedNames';

/** The start of the language model's names within a vision-language model. */
export const WRAPPED = /^(?:model\.(?:language|text)_model|language_model|lm_head)\./;

/** Names of the language model within a vision-language model. */
const WRAPPERS: readonly Rename[] = [
  [/^(?:model\.(?:language|text)_model\.|language_model\.model\.)/, 'model.'],
  [/^language_model\./, ''],
  [/\.rotary_emb\.inv_freq$/, null],
];

/** A tensor's name in current transformers; null: it is not a weight. */
function renamed(name: string, spec: Spec): string | null {
  let now = name;
  for (const [from, to] of [...WRAPPERS, ...familyOf(spec).renames]) {
    if (!from.test(now)) continue;
    if (to === null) return null;
    now = now.replace(from, to);
  }
  return now;
}

/** Whether a checkpoint's tensor is a buffer, which the model computes anew. */
export const isBuffer = (stored: string, spec: Spec): boolean => renamed(stored, spec) === null;

/**
 * The names of a checkpoint's tensors, by their names in the spec: older names are translated, and
 * the body's prefix may be missing.
 */
export function canonicalNames(names: Iterable<string>, spec: Spec): ReadonlyMap<string, string> {
  const { body, head } = tensorsOf(spec);
  const stacked = stackedNames(spec);
  const wanted = new Set([...[...body, ...head].map((tensor) => tensor.name), ...stacked]);
  const found = new Map<string, string>();
  for (const stored of names) {
    const now = renamed(stored, spec);
    if (now === null) continue;
    const own = prefixed(now, wanted);
    if (!found.has(own)) found.set(own, stored);
  }
  return found;
}

/**
 * Adds or removes the body's prefix when the spec's names have or lack it: a model without a head
 * has none.
 */
function prefixed(name: string, wanted: ReadonlySet<string>): string {
  if (wanted.has(name)) return name;
  const cut = name.slice(name.indexOf('.') + 1);
  if (wanted.has(cut)) return cut;
  const [first] = wanted;
  const prefix = first?.slice(0, first.indexOf('.') + 1) ?? '';
  return wanted.has(prefix + name) ? prefix + name : name;
}

/** A module's path in current transformers, given that of an older adapter. */
export const canonicalPath = (path: string, spec: Spec): string =>
  renamed(`${path}.weight`, spec)?.replace(/\.weight$/, '') ?? path;
