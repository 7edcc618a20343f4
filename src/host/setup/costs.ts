import type { BaseHeaders, RecipeOfBase } from '../../inspect/questions';
import { assumedImages, shownImages } from '../../lora/largestBatch';
import { estimateMemory } from '../../lora/memory';
import { planStep, stepMemory, type StepSettings } from '../../lora/stepPlan';
import type { StepPlan } from '../../shared/run';
import { layersEstimate, layersTypes } from '../../lora/layersMemory';
import { countTrainable, tooHighRank, trainedNumbers, type AdaptedModules } from '../../lora/count';
import { adaptedBeside } from '../../formats/architecture/trainedBeside';
import type { Recipe } from '../../shared/recipe';
import { matchTargets } from '../../lora/targets';
import type { TargetableModule } from '../../lora/adapter';
import { BATCHES, type Batch } from '../../shared/usualBatch';
import {
  formsOfSize,
  type CommonSize,
  type MemoryFit,
  type StepImages,
  type TypeMemory,
} from '../../shared/stepMemory';
import type { AskInspections } from '../inspection/inspections';
import { formatBytes, formatCount } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { hostMachine } from './machineMemory';
import type { TargetModules } from './targets';

/** What the costs of a training run depend on in a base model. */
export interface BaseFacts extends BaseHeaders {
  readonly batch: Batch;
}

/** The facts of a base model with these headers, for a training run on its own task. */
export const factsOf = (headers: BaseHeaders): BaseFacts => ({
  ...headers,
  batch: withAssumedImages(headers, BATCHES[headers.task]),
});

/** A batch of rows that are not known, with the largest images that the base reads. */
export function withAssumedImages(
  { size, image_patches }: Pick<BaseHeaders, 'size' | 'image_patches'>,
  batch: Batch,
): Batch {
  const images = size && assumedImages(size, batch.length, image_patches);
  return images ? { ...batch, images, images_from: 'base' } : batch;
}

/**
 * Reads the facts from the headers of a base model, for a recipe where one is given.
 *
 * @throws LoraError('base') when it cannot be trained.
 */
export const readBaseFacts = async (
  inspections: AskInspections,
  file: string,
  recipe?: RecipeOfBase,
): Promise<BaseFacts> =>
  factsOf(await inspections.ask('base', { file, ...(recipe && { recipe }) }));

/** What decides which numbers of a base a recipe trains beside the factors. */
export const recipeOfBase = ({
  task,
  lora: { modules_to_save, bias, trainable_token_indices },
}: Pick<Recipe, 'task' | 'lora'>): RecipeOfBase => ({
  task,
  modules_to_save,
  bias,
  trainable_token_indices,
});

/** What trains where modules of a base are chosen. */
export const adaptedIn = (
  { besides }: Pick<BaseFacts, 'besides'>,
  chosen: Omit<AdaptedModules, 'besides'>,
): AdaptedModules => (besides ? adaptedBeside(besides, chosen) : chosen);

/** The cost of a rank and target modules. */
export interface Cost {
  readonly matched: readonly TargetableModule[];
  /** Names that match no module, each with the most similar module name. */
  readonly unmatched: readonly { readonly name: string; readonly nearest: string | undefined }[];
  readonly trainable: number;
  /** Peak memory of a step in bytes, for the batch of the base's facts; null: not estimated. */
  readonly memory: number | null;
  /** Those that it is estimated with. */
  readonly images?: StepImages | undefined;
  /** The layer of a layers model without which no memory is estimated. */
  readonly unknownLayer?: string;
  /** That of each type in which the base can be kept. */
  readonly types: readonly TypeMemory[];
  /** The number of modules with a dimension smaller than the rank. */
  readonly tooHigh: number;
}

const AUTO: StepSettings = { base_dtype: 'auto', gradient_checkpointing: 'auto' };

/**
 * The cost of a choice on this machine.
 *
 * @throws LoraError('recipe') for an invalid regular expression.
 */
export function costOf(
  base: BaseFacts,
  r: number,
  target_modules: TargetModules,
  machine = hostMachine(),
): Cost {
  const { modules, size, layers, batch } = base;
  const { matched, unmatched } = matchTargets(modules, { target_modules });
  const adapted = adaptedIn(base, { modules: matched, ranks: r });
  const trainable = trainedNumbers(adapted);
  const cost = { matched, unmatched, trainable, tooHigh: tooHighRank(matched, r).length };
  if (size === null) {
    if (!layers) return { ...cost, memory: null, types: [] };
    if ('unknown' in layers)
      return { ...cost, memory: null, types: [], unknownLayer: layers.unknown };
    const kernels = countTrainable(adapted.modules, r).full;
    const { total } = layersEstimate(layers, { numbers: trainable, adapted: kernels }, batch.rows);
    return { ...cost, memory: total, types: layersTypes(total, machine.available) };
  }
  const estimate = (plan: StepPlan) => estimateMemory(size, adapted, batch, plan);
  return {
    ...cost,
    memory: planStep(AUTO, size, estimate, machine).estimate.total,
    images: shownImages(size, batch.images, batch.images_from ?? 'base'),
    types: stepMemory(size, estimate, machine),
  };
}

/** A cost as text: "442,368 trainable of 134.5 M (0.33%) · memory 2.1 GiB of 15.4 GiB". */
export function costText(base: BaseFacts, cost: Cost, available: number): string {
  const share = formatNumber(cost.trainable / base.parameters, {
    style: 'percent',
    maximumSignificantDigits: 2,
  });
  return [
    t(
      '{0} trainable of {1} ({2})',
      formatNumber(cost.trainable),
      formatCount(base.parameters),
      share,
    ),
    ...(cost.memory === null
      ? []
      : [
          withImages(
            t('memory {0} of {1}', formatBytes(cost.memory), formatBytes(available)),
            cost.images,
          ),
        ]),
    ...(cost.unknownLayer === undefined ? [] : [t('memory not estimated: {0}', cost.unknownLayer)]),
  ].join(' · ');
}

/**
 * The trainable parameters of one layer against all of them: 2·d·r of d² for a square layer, else
 * r·(in + out) of in·out.
 */
export function layerText(matched: readonly TargetableModule[], r: number): string {
  const layer = matched.find((m) => m.in_features === m.out_features) ?? matched[0];
  if (!layer) return '';
  const [update, full] = [
    r * (layer.in_features + layer.out_features),
    layer.in_features * layer.out_features,
  ].map((n) => formatNumber(n));
  return layer.in_features === layer.out_features
    ? t('2·d·r = {0} of d² = {1}', update!, full!)
    : t('r·(in + out) = {0} of in·out = {1}', update!, full!);
}

/** The problem of a choice; null if there is none. */
export function costWarning(cost: Cost, r: number, available: number): string | null {
  const [unknown] = cost.unmatched;
  if (unknown)
    return unknown.nearest === undefined
      ? t('No module is named {0}.', unknown.name)
      : t('No module is named {0}. Did you mean {1}?', unknown.name, unknown.nearest);
  if (cost.matched.length === 0) return t('No module matches.');
  if (cost.tooHigh > 0) return t('r = {0} is larger than {1} of the layers.', r, cost.tooHigh);
  const { memory } = cost;
  return memory !== null && memory > available
    ? t('This needs more memory than is available.')
    : null;
}

/** "with images of up to 196 tokens (the largest of the dataset)" */
const imagesText = ({ tokens, from }: StepImages): string =>
  from === 'dataset'
    ? t('with images of up to {0} tokens (the largest of the dataset)', formatNumber(tokens))
    : t('with images of up to {0} tokens (assumed)', formatNumber(tokens));

/** A text about a step, and the images that it is estimated with. */
export const withImages = (text: string, images: StepImages | null | undefined): string =>
  images ? `${text} · ${imagesText(images)}` : text;

/** "bfloat16: fits · float32: fits with recomputation". */
export const fitsText = (types: readonly TypeMemory[]): string =>
  types.map(({ base_dtype, fit }) => `${base_dtype}: ${fitText(fit)}`).join(' · ');

/** The same of a published model, and of its .gguf files. */
export const sizeFitsText = (size: CommonSize): string =>
  formsOfSize(size)
    .map(({ name, fit }) => `${name}: ${fitText(fit)}`)
    .join(' · ');

export function fitText(fit: MemoryFit): string {
  switch (fit) {
    case 'fits':
      return t('fits');
    case 'recomputed':
      return t('fits with gradient checkpointing');
    case 'exceeds':
      return t('does not fit');
  }
}
