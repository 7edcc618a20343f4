import path from 'node:path';
import { writeErrorReason } from '../../common/fileStatus';
import { makeFolder } from '../../common/makeFolder';
import { keepRunsOutOfGit } from '../../formats/run/gitIgnore';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { newRunId, RUNS_FOLDER } from '../../shared/run';
import { withRank } from '../../shared/pages/configure/withRank';
import { writeRecipe } from '../setup/writeRecipe';
import { t } from '../text/l10n';
import type { NewRun } from './runQueue';

const SWEEPS_FOLDER = '.lora/sweeps';
const MAX_RANKS = 16;
const MAX_RANK = 1024;

/** Parses "4, 2, 1" as [1, 2, 4], sorted and without duplicates; undefined for anything else. */
export function parseRanks(text: string): readonly number[] | undefined {
  const words = text.split(/[\s,;]+/).filter(Boolean);
  const ranks = [...new Set(words.map(Number))].sort((a, b) => a - b);
  return ranks.length > 0 &&
    ranks.length <= MAX_RANKS &&
    ranks.every((r) => Number.isInteger(r) && r >= 1 && r <= MAX_RANK)
    ? ranks
    : undefined;
}

/** The recipes of a sweep, as runs to queue. */
export interface Sweep {
  readonly folder: string;
  readonly runs: readonly NewRun[];
}

/**
 * Writes a recipe for each rank into a new folder, with the scaling factor of the original. Their
 * runs go to the folder of the original recipe's runs.
 *
 * @throws LoraError('disk').
 */
export async function writeSweep(
  file: string,
  recipe: Recipe,
  ranks: readonly number[],
): Promise<Sweep> {
  const beside = path.dirname(file);
  const stem = stemOf(file);
  const folder = path.join(beside, ...SWEEPS_FOLDER.split('/'), `${newRunId()}-${stem}`);
  await makeFolder(folder).catch((cause: unknown) => {
    throw new LoraError('disk', t('The recipe cannot be written: {0}.', writeErrorReason(cause)), {
      place: { file: folder },
      fix: t('Make the folder writable, or open another one.'),
      cause,
    });
  });
  await keepRunsOutOfGit(folder);
  const runs = ranks.map((r) => ({
    recipe: path.join(folder, `r${r}.lora.json`),
    root: path.join(beside, ...RUNS_FOLDER.split('/')),
    name: `${stem} r ${r}`,
  }));
  for (const [i, r] of ranks.entries()) {
    const lora = { ...recipe.lora, ...withRank(recipe.lora, r) };
    await writeRecipe(runs[i]!.recipe, `${JSON.stringify({ ...recipe, lora }, null, 2)}\n`);
  }
  return { folder, runs };
}

/** The folder of the sweep that a recipe belongs to; null when it is not one of a sweep. */
export function sweepOf(recipe: string | null): string | null {
  if (recipe === null) return null;
  const folder = path.dirname(recipe);
  const above = path.dirname(folder).split(/[\\/]/);
  return above.slice(-2).join('/') === SWEEPS_FOLDER ? folder : null;
}

/** The name of a sweep, from its folder's name. */
export const sweepName = (folder: string): string =>
  path.basename(folder).replace(/^\d{8}-\d{6}-[0-9a-f]{4}-/, '');

/** git for git.lora.json, lora for lora.json. */
const stemOf = (file: string): string => path.basename(file).replace(/(?:\.lora)?\.json$/, '');
