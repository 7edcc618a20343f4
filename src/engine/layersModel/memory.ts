import { formatSize } from '../../common/formatSize';
import type { LayersModelFile } from '../../formats/layersModel/file';
import { layersStep, newHeadNumbers } from '../../formats/layersModel/step';
import { layersParts, layersTypes, type TrainedNumbers } from '../../lora/layersMemory';
import type { LayersMemory } from '../../shared/layersMemory';
import { countOf } from '../../shared/values';

/** What trains in a layers model. */
export interface LayersTrained extends TrainedNumbers {
  /** Labels of the rows: another number of outputs makes a new output layer. Null: not known. */
  readonly labels: number | null;
}

/**
 * Memory of a training step on tfjs' tape, or the name of the layer whose shapes are not known.
 *
 * @param input Of a row, without the batch.
 */
export function estimateLayersMemory(
  file: LayersModelFile,
  input: readonly number[],
  { numbers, adapted, labels }: LayersTrained,
  rows: number,
): LayersMemory {
  const step = layersStep(file, input);
  if ('unknown' in step) return step;
  const besides = labels === null ? 0 : newHeadNumbers(file, input, labels);
  return layersParts(step, { numbers: numbers + besides, adapted }, rows);
}

/** "memory of a step with 16 rows: about 512 MB (…)" */
export function describeLayersMemory(
  memory: LayersMemory,
  adapted = '',
  available: number | null = null,
): string {
  if ('unknown' in memory)
    return `memory of a step: not estimated, because the shapes of the layer ${JSON.stringify(memory.unknown)} are not known`;
  const { rows, weights, trained, activations, process, total } = memory;
  const exceeds = available !== null && layersTypes(total, available)[0]?.fit === 'exceeds';
  const verdict = exceeds
    ? '; it does not fit, and a layers model has no gradient checkpointing: use smaller batches'
    : '';
  const free = available === null ? '' : `, of ${formatSize(available)} free${verdict}`;
  return `memory of a step with ${countOf(rows, 'row')}${adapted}: about ${formatSize(total)} (weights ${formatSize(weights)}, what trains ${formatSize(trained)}, activations ${formatSize(activations)}, the process ${formatSize(process)})${free}`;
}
