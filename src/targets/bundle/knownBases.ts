import path from 'node:path';
import { hubNameOfPath, isHubName } from '../../formats/hub/hubName';
import { LoraError } from '../../shared/errors';
import type { Target } from '../target';

/** Bases that a target has already. */
export interface KnownBases {
  /**
   * As in the entry of the target. Here: path, name of the file or folder, name on the Hub, or
   * SHA-256 of the weights. There: path, or name on the Hub, whose cache has it.
   */
  readonly bases: Readonly<Record<string, string>>;
  /** Missing where no target is asked. */
  readonly target?: Pick<Target, 'name' | 'findModel'>;
}

/** What a base may be called in the entry of a target. */
export const namesOfBase = (file: string): readonly string[] => [
  file,
  path.basename(file),
  ...[hubNameOfPath(file)].filter((name) => name !== null),
];

/**
 * Where a target has a base that has one of these names or hashes; null: it has to be sent.
 *
 * @throws LoraError('target') when the target does not have what its entry promises
 */
export async function baseThere(
  names: readonly string[],
  { bases, target }: KnownBases,
  signal: AbortSignal,
): Promise<string | null> {
  const known = names.find((name) => Object.hasOwn(bases, name));
  if (known === undefined) return null;
  const place = bases[known]!;
  if (!isHubName(place)) return place;
  if (!target?.findModel)
    throw new LoraError(
      'target',
      `The entry of the target names the base by ${place} on the Hub, which this kind of target cannot look up.`,
      { fix: 'Name its path there in "bases".' },
    );
  const found = await target.findModel(place, signal);
  if (found !== null) return found;
  throw new LoraError('target', `${target.name} has no ${place} in its cache of the Hub.`, {
    fix: `Download it there (hf download ${place}), or remove it from "bases": then the base is sent.`,
  });
}
