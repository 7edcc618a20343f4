import { assumedImages, shownImages } from '../../lora/largestBatch';
import { estimateMemory } from '../../lora/memory';
import { stepMemory, type StepMachine } from '../../lora/stepPlan';
import { matchTargets } from '../../lora/targets';
import type { StepMemory } from '../../shared/stepMemory';
import { BATCHES, EXAMPLE_RANK } from '../../shared/usualBatch';
import { modulesOf } from './modules';
import { modelSize, type SizedWeights } from './size';
import type { Spec } from './spec';
import { adaptedBeside, NOTHING_NAMED, trainedBeside } from './trainedBeside';

/** A base, or what its config.json says of one that is not downloaded. */
export interface KnownBase {
  readonly spec: Spec;
  readonly parameters: number;
  readonly weights?: SizedWeights;
  /** Names of tensors of a head that the checkpoint lacks. Default: none. */
  readonly missing?: readonly string[];
  /** Patches of an image in chats, at most, by its image settings. */
  readonly image_patches?: number | undefined;
}

/**
 * The memory of a step in the batch that Train Adapter writes, with all linear layers adapted.
 *
 * @param quantized_bytes Bytes of the weights where they are stored in other blocks than the base
 *   has; null: not in blocks.
 */
export function usualMemory(
  base: KnownBase,
  machine: StepMachine,
  quantized_bytes?: number | null,
): StepMemory {
  const own = modelSize(base);
  const size = quantized_bytes === undefined ? own : { ...own, quantized_bytes };
  const { matched } = matchTargets(modulesOf(base.spec), { target_modules: 'all-linear' });
  const { spec, missing = [] } = base;
  const adapted = adaptedBeside(trainedBeside({ spec, missing }, NOTHING_NAMED), {
    modules: matched,
    ranks: EXAMPLE_RANK,
  });
  const { rows, length } = BATCHES[base.spec.task];
  const images = assumedImages(size, length, base.image_patches);
  const shown = shownImages(size, images, 'base');
  return {
    rows,
    length,
    ...(shown && { images: shown }),
    available: machine.available,
    types: stepMemory(
      size,
      (plan) => estimateMemory(size, adapted, { rows, length, images }, plan),
      machine,
    ),
  };
}
