import { firstPathOf, sourceName, type DatasetSource } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { distillationOf, rowFormOf } from '../../shared/objective';
import { drawnCount, drawnIn, type WeightedExamples } from '../examples/epochMix';
import { selectExamples, type Examples } from '../examples/examples';
import type { DataRecipe, PreparedData, PreparedSource, ReadSource } from './dataTypes';
import { packed } from './packing';
import type { Part } from './shownRows';
import type { TokenizedFile, TokenizedSet } from './tokenizedDataset';

/** A source with the files that it has in its set. */
interface SourceOfSet {
  readonly source: DatasetSource;
  readonly set: ReadSource['set'];
  readonly revision: string | null;
  readonly files: readonly TokenizedFile[];
}

/** The sources with their files. */
export function filesBySource(
  sets: readonly TokenizedSet[],
  sources: readonly ReadSource[],
): SourceOfSet[] {
  const files = sets.flatMap((own) => own.files);
  return sources.map(({ source, set, revision = null, from, to }) => ({
    source,
    set,
    revision,
    files: files.slice(from, to),
  }));
}

/** The examples of a set, and what they are made of. */
export interface MixInputs {
  readonly train: Part;
  readonly validation: Part;
  readonly sets: readonly TokenizedSet[];
  readonly sources: readonly ReadSource[];
}

/**
 * The examples of each epoch, drawn by the weights of their sources.
 *
 * @throws LoraError('recipe') where packing and fractions of sources are combined
 */
export function mixOf(
  inputs: MixInputs,
  recipe: DataRecipe,
): Pick<PreparedData, 'train' | 'trainIn' | 'sources'> {
  const { train, validation, sets } = inputs;
  const own = filesBySource(sets, inputs.sources).filter(({ set }) => set === 'train');
  const weighted = own.map(({ source, files }) => ({
    indices: within(train.indices, files),
    weight: source.weight,
  }));
  const sources = own.map(({ source, files, revision }, i) =>
    factsOf(source, weighted[i]!, {
      revision,
      train,
      total: weighted.reduce((sum, each) => sum + drawnOf(each), 0),
      validation:
        validation.tokenized === train.tokenized
          ? selectExamples(validation.tokenized.examples, within(validation.indices, files))
          : null,
    }),
  );
  return { ...epochsOf(train, weighted, recipe), sources };
}

const drawnOf = ({ indices, weight }: WeightedExamples): number =>
  drawnCount(indices.length, weight);

function epochsOf(
  { tokenized, indices }: Part,
  weighted: readonly WeightedExamples[],
  recipe: DataRecipe,
): Pick<PreparedData, 'train' | 'trainIn'> {
  const { seed, packing } = recipe.training;
  const isMixed = weighted.some(({ weight }) => weight !== 1);
  const isFixed = weighted.every(({ weight }) => Number.isInteger(weight));
  const form = rowFormOf(recipe);
  const isMeasured = form === 'preference' || form === 'unpaired' || distillationOf(recipe);
  if (!isFixed && isMeasured) throw fractionsMeasured(recipe);
  if (!isFixed && packing) throw fractionsPacked(recipe);
  const examplesIn = (epoch: number): Examples =>
    selectExamples(tokenized.examples, isMixed ? drawnIn(epoch, weighted, seed) : indices);
  const first = packing ? packed(examplesIn(0), recipe) : examplesIn(0);
  let last = { epoch: 0, examples: first };
  return {
    train: first,
    trainIn: (epoch) => {
      if (isFixed) return first;
      if (last.epoch !== epoch) last = { epoch, examples: examplesIn(epoch) };
      return last.examples;
    },
  };
}

const fractionsMeasured = ({ dataset }: DataRecipe): LoraError =>
  new LoraError(
    'recipe',
    'Preferences and distillation need whole weights: the log-probabilities of the base or teacher are kept, for all epochs.',
    {
      place: { file: firstPathOf(dataset), key: 'dataset' },
      fix: 'Give each source a whole weight and a number of rows.',
    },
  );

const fractionsPacked = ({ dataset }: DataRecipe): LoraError =>
  new LoraError(
    'recipe',
    'training.packing needs whole weights: rows are packed once, for all epochs.',
    {
      place: { file: firstPathOf(dataset), key: 'training.packing' },
      fix: 'Set it to false, or give each source a whole weight and a number of rows.',
    },
  );

/** The indices of the examples of files, which follow each other. */
function within(indices: Int32Array, files: readonly TokenizedFile[]): Int32Array {
  const [from, to] = [files[0]?.from ?? 0, files.at(-1)?.to ?? 0];
  return indices.filter((index) => index >= from && index < to);
}

interface SourceInputs {
  readonly revision: string | null;
  readonly train: Part;
  /** Examples of all sources that are drawn in an epoch. */
  readonly total: number;
  readonly validation: Examples | null;
}

function factsOf(
  source: DatasetSource,
  weighted: WeightedExamples,
  { revision, train, total, validation }: SourceInputs,
): PreparedSource {
  const drawn = drawnOf(weighted);
  return {
    name: sourceName(source),
    revision,
    weight: source.weight,
    statistics: train.tokenized.facts.statisticsOf(weighted.indices),
    drawn,
    share: total === 0 ? 0 : drawn / total,
    validation,
  };
}
