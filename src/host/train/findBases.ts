import { realpath } from 'node:fs/promises';
import { basesUnder, type BaseCandidate } from './baseFolder';
import { hubBases, lmStudioBases, ollamaBases, type UserEnvironment } from './caches';

/** Where to look for base models. */
export interface BasePlaces extends UserEnvironment {
  readonly workspaceFolders: readonly string[];
  /** The setting lora.models.folders. */
  readonly modelFolders: readonly string[];
}

/**
 * Yields every base model in the workspace, the folders of the setting and the known caches, in
 * this order, each file once.
 */
export async function* findBases(places: BasePlaces): AsyncGenerator<BaseCandidate> {
  const seen = new Set<string>();
  for await (const candidate of allBases(places)) {
    const real = await realpath(candidate.path).catch(() => candidate.path);
    if (seen.has(real)) continue;
    seen.add(real);
    yield candidate;
  }
}

async function* allBases(places: BasePlaces): AsyncGenerator<BaseCandidate> {
  for (const folder of places.workspaceFolders) yield* basesUnder(folder, 'workspace');
  for (const folder of places.modelFolders) yield* basesUnder(folder, 'folder');
  yield* hubBases(places);
  yield* ollamaBases(places);
  yield* lmStudioBases(places);
}
