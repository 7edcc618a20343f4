import path from 'node:path';
import { pathExists } from '../../common/fileStatus';
import { MAX_BYTES, type ReadLimits } from '../../common/regularFile';
import { isRemotePath } from '../../common/remotePath';
import { RUN_FILES } from '../../shared/run';
import { QUANTIZE, type Quantize } from '../../shared/trainingSettings';
import { isObject } from '../../shared/values';
import { readJsonObject } from '../json';
import { namedBasePath } from './hubCache';

/**
 * Where the base of an adapter is on this disk: that of the run that it is part of, else the one
 * that it names, at a path or in the Hub cache. Null: it is not here. An adapter may
 * be untrusted, so no server that it names is asked: the user names such a base.
 */
export async function baseOnDisk(adapter: string, named: string | null): Promise<string | null> {
  const inRun = await baseOfRun(adapter);
  if (inRun !== null) return inRun;
  return named === null || isRemotePath(named) ? null : namedBasePath(named);
}

/** A run may be untrusted as well. */
const RECORD: ReadLimits = { maxBytes: MAX_BYTES.runRecord, links: 'refused' };

/** The base of the run whose adapter, best adapter or checkpoint this is. */
async function baseOfRun(adapter: string): Promise<string | null> {
  for (const recipe of await recipesOf(adapter)) {
    const base = recipe['base'];
    if (typeof base !== 'string' || !path.isAbsolute(base) || isRemotePath(base)) continue;
    if (await pathExists(base)) return base;
  }
  return null;
}

/** How the base was quantized while it was loaded for the run of an adapter; null: it was not. */
export async function quantizeOfRun(adapter: string): Promise<Quantize | null> {
  for (const { training } of await recipesOf(adapter)) {
    const found = isObject(training) ? training['quantize'] : null;
    const kind = QUANTIZE.find((own) => own === found);
    if (kind) return kind;
  }
  return null;
}

/** The recipes in the records of runs that an adapter may belong to. */
async function recipesOf(adapter: string): Promise<Readonly<Record<string, unknown>>[]> {
  const recipes: Readonly<Record<string, unknown>>[] = [];
  for (const folder of [path.dirname(adapter), path.dirname(path.dirname(adapter))]) {
    const file = path.join(folder, RUN_FILES.record);
    const { recipe } = await readJsonObject(file, 'run', RECORD).catch(
      (): Record<string, unknown> => ({}),
    );
    if (isObject(recipe)) recipes.push(recipe);
  }
  return recipes;
}
