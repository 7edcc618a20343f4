import path from 'node:path';
import { writeSweep } from '../../formats/run/sweepFolder';
import { writeTune } from '../../formats/run/tuneFile';
import { createRandom, shuffle } from '../../shared/random';
import type { Recipe } from '../../shared/recipe';
import { newRunId } from '../../shared/run';
import { newTuneFolder } from '../../shared/sweep/places';
import type { SweepRecord } from '../../shared/sweep/record';
import { variantsOf, type Variant } from '../../shared/sweep/variants';
import type { VariedKey } from '../../shared/sweep/vary';
import { planTraining } from '../../shared/trainingPlan';
import { rungSteps } from '../../shared/tune/plan';
import type { RangeTest } from '../../shared/tune/rangeTest';
import type { TuneRecord } from '../../shared/tune/record';
import { checkOutput } from '../outputPath';

/** What a new tune is made from. */
export interface NewTune {
  /** The file of the recipe. */
  readonly file: string;
  readonly recipe: Recipe;
  readonly varied: readonly VariedKey[];
  /** Examples of an epoch. */
  readonly examples: number;
  readonly minutes: number;
  readonly target: string | null;
  readonly parallel: number;
  readonly rangeTest: RangeTest | null;
  /** Seconds of the budget that are spent already. */
  readonly spent: number;
}

/** A tune whose files are written. */
export interface WrittenTune {
  readonly folder: string;
  readonly sweep: SweepRecord;
  readonly tune: TuneRecord;
}

/**
 * Writes the recipes of a tune and its state into a new folder. Configurations begin in an order
 * that the recipe's seed shuffles, so that those for which there is time are a fair choice.
 */
export async function writeNewTune(start: NewTune): Promise<WrittenTune> {
  const { file, recipe, varied, minutes, target, parallel, examples } = start;
  const variants = variantsOf(file, recipe, varied).map((variant) => paced(variant, examples));
  const folder = newTuneFolder(file, newRunId());
  await checkOutput(folder, [file]);
  const sweep = await writeSweep(folder, {
    ...{ recipe: file, varied, target, parallel },
    variants: variants.map(({ variant }) => variant),
  });
  const order = shuffle(variants, createRandom(recipe.training.seed, 'tune'));
  const tune: TuneRecord = {
    version: 1,
    minutes,
    metric: recipe.training.metric_for_best_model,
    spent: start.spent,
    range_test: start.rangeTest && {
      ...start.rangeTest,
      points: [...start.rangeTest.points],
    },
    plan: null,
    trials: order.map(({ variant, steps }) => ({
      recipe: variant.file,
      steps: [...steps],
      scores: [],
    })),
    tuned: null,
  };
  await writeTune(folder, tune);
  return { folder, sweep, tune };
}

interface PacedVariant {
  readonly variant: Variant;
  readonly steps: readonly number[];
}

/**
 * A configuration that is evaluated at its rungs, and neither sampled nor stopped by itself. Its
 * steps and schedule are those of the whole training, so that a rung is a part of it.
 */
function paced(variant: Variant, examples: number): PacedVariant {
  const { training, samples, evaluate } = variant.recipe;
  const steps = rungSteps(planTraining(examples, training).total_steps);
  const recipe: Recipe = {
    ...variant.recipe,
    samples: { ...samples, sample_steps: 0 },
    evaluate: { ...evaluate, suites: [], forgetting: false },
    training: { ...training, eval_steps: steps[0]!, early_stopping_patience: null },
  };
  return { variant: { ...variant, recipe }, steps };
}

/** The recipe that a tune was started with. */
export const tunedFile = (folder: string, { recipe }: SweepRecord): string =>
  path.resolve(folder, '../../..', path.basename(recipe));
