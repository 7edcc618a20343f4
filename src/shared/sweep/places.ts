import path from 'node:path';
import { RUNS_FOLDER } from '../run';

/** The folder of a recipe's sweeps, relative to the recipe's. */
const SWEEPS_FOLDER = '.lora/sweeps';

/** The folder of a recipe's tunes: sweeps of which only the best runs are trained to the end. */
const TUNES_FOLDER = '.lora/tunes';

/** A name such as r1.lora.json, which the recipes of a sweep of ranks alone have. */
const RANK_FILE = /^r\d+\.lora\.json$/;

/** The folder of a new sweep of a recipe, beside the recipe's file. */
export const newSweepFolder = (recipe: string, id: string): string =>
  path.join(path.dirname(recipe), ...SWEEPS_FOLDER.split('/'), `${id}-${stemOf(recipe)}`);

/** The folder with the tunes of the recipes in a folder. */
export const tunesOf = (recipe: string): string =>
  path.join(path.dirname(recipe), ...TUNES_FOLDER.split('/'));

/** The folder of a new tune of a recipe, beside the recipe's file. */
export const newTuneFolder = (recipe: string, id: string): string =>
  path.join(tunesOf(recipe), `${id}-${stemOf(recipe)}`);

/** Whether a folder among those of sweeps is that of a tune. */
export const isTune = (folder: string): boolean => parentOf(folder) === TUNES_FOLDER;

/**
 * The folder with the runs of a sweep: that of the recipe's own runs, or one in the sweep's folder
 * if that was put elsewhere.
 */
export const runsOfSweep = (folder: string): string =>
  isAmongSweeps(folder)
    ? path.resolve(folder, '../../..', ...RUNS_FOLDER.split('/'))
    : path.join(folder, 'runs');

/** The folder of the sweep or tune that a recipe belongs to; null when it is not one of a sweep. */
export function sweepOf(recipe: string | null): string | null {
  if (recipe === null) return null;
  const folder = path.dirname(recipe);
  return isAmongSweeps(folder) ? folder : null;
}

const isAmongSweeps = (folder: string): boolean =>
  parentOf(folder) === SWEEPS_FOLDER || isTune(folder);

const parentOf = (folder: string): string =>
  path.dirname(folder).split(/[\\/]/).slice(-2).join('/');

/** The name of a sweep, from its folder's name. */
export const sweepName = (folder: string): string =>
  path.basename(folder).replace(/^\d{8}-\d{6}-[0-9a-f]{4}-/, '');

/** Whether only the rank differs between recipes of a sweep. */
export const varyRankAlone = (recipes: readonly (string | null)[]): boolean =>
  recipes.every((recipe) => recipe !== null && RANK_FILE.test(path.basename(recipe)));

/** git for git.lora.json, lora for lora.json. */
export const stemOf = (file: string): string =>
  path.basename(file).replace(/(?:\.lora)?\.json$/, '');
