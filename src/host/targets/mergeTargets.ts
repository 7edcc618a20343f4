import { createHash } from 'node:crypto';
import { isObject } from '../../shared/values';
import type { TargetEntry } from '../../targets/targetSchema';

/** The source of a target: the user's targets.json or settings, or a file of the workspace. */
export type TargetOrigin =
  | { readonly kind: 'file' }
  | { readonly kind: 'setting' }
  | { readonly kind: 'workspace'; readonly file: string };

/** A target that runs can be sent to. */
export interface KnownTarget {
  readonly entry: TargetEntry;
  readonly origin: TargetOrigin;
}

/** The targets that one place describes. */
export interface TargetSource {
  readonly origin: TargetOrigin;
  readonly targets: readonly TargetEntry[];
}

/** The targets of several sources together. */
export interface MergedTargets {
  readonly targets: readonly KnownTarget[];
  /** Entries with the name of an earlier one, and entries that a workspace must not define. */
  readonly leftOut: readonly (KnownTarget & { readonly why: 'name taken' | 'ssh configuration' })[];
}

/**
 * The targets of all sources, of which the earlier ones win: a workspace cannot replace a target of
 * the user's. Nor can it bring an ssh configuration, which can name a program to start here.
 */
export function mergeTargets(sources: readonly TargetSource[]): MergedTargets {
  const targets: KnownTarget[] = [];
  const leftOut: MergedTargets['leftOut'][number][] = [];
  const names = new Set<string>();
  for (const { origin, targets: entries } of sources)
    for (const entry of entries) {
      if (names.has(entry.name)) leftOut.push({ entry, origin, why: 'name taken' });
      else if (origin.kind === 'workspace' && namesConfiguration(entry))
        leftOut.push({ entry, origin, why: 'ssh configuration' });
      else {
        names.add(entry.name);
        targets.push({ entry, origin });
      }
    }
  return { targets, leftOut };
}

const namesConfiguration = (entry: TargetEntry): boolean =>
  'config' in entry && entry.config !== null;

/** Identifies what entries say, in whatever order. */
export const contentHash = (content: TargetEntry | readonly TargetEntry[]): string =>
  createHash('sha256')
    .update(JSON.stringify(withSortedKeys(content)))
    .digest('hex');

function withSortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedKeys);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, withSortedKeys(value[key])]),
  );
}

/** Whether the user must agree before anything is sent to a target. */
export const mustAsk = ({ entry, origin }: KnownTarget, agreed: ReadonlySet<string>): boolean =>
  origin.kind === 'workspace' && !agreed.has(contentHash(entry));

/** The host or address of a target. */
export const placeOf = (entry: TargetEntry): string =>
  entry.kind === 'ray' ? entry.address : entry.host;
