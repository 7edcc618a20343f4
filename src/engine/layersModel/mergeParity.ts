import path from 'node:path';
import { openLayersModel, type LayersModelFile } from '../../formats/layersModel/file';
import { manifestKernels } from '../../formats/layersModel/kernels';
import { createRandom } from '../../shared/random';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { LabelledInput } from '../../models/model';
import type { Parity } from '../merge/certificate';
import { argmaxOfRow } from '../tasks/scores';
import type { RuntimeContext } from '../useRuntime';
import { findLayers, loadLayersFor, NO_ADAPTER, type FoundLayers } from './open';

/** Rows of noise that both models read. */
const ROWS = 8;

/**
 * Compares the outputs of base + adapter with those of the merged model on rows of noise, before
 * the activation of the output layer. Null where the adapter does not say what it predicts.
 *
 * @param merged The folder of the merged model.
 * @throws LoraError
 */
export async function layersParity(
  { base, adapter }: { readonly base: string; readonly adapter: string },
  merged: string,
  context: RuntimeContext,
): Promise<Parity | null> {
  const found = await findLayers({ base, adapters: [adapter] }, 'features');
  const { labels } = found;
  if (labels === null) return null;
  const file = await openLayersModel(path.join(merged, 'model.json'));
  const rows = noise(found, labels);
  const expected = await outputsOf(found, { labels, rows, context });
  const alone = { ...found, file, adapter: NO_ADAPTER, adapter_file: merged };
  return compared(expected, await outputsOf(alone, { labels, rows, context }));
}

interface ComparedRows {
  readonly labels: LabelSet;
  readonly rows: LabelledInput;
  readonly context: RuntimeContext;
}

async function outputsOf(
  found: FoundLayers,
  { labels, rows, context }: ComparedRows,
): Promise<Float32Array> {
  const training = await loadLayersFor(found, labels, context);
  try {
    const { outputs } = await training.evaluate(rows);
    if (outputs === null) throw new RangeError('A model gave no outputs.');
    return outputs;
  } finally {
    training.dispose();
  }
}

/** Numbers in ±1, or indices where the model begins with an embedding. */
function noise({ file, input }: FoundLayers, { problem_type, names }: LabelSet): LabelledInput {
  const random = createRandom(1, 'probe');
  const indices = vocabularyOf(file);
  const length = input.shape.reduce((a, b) => a * b, ROWS);
  const number = () => (indices === null ? 2 * random() - 1 : Math.floor(indices * random()));
  return {
    batch: ROWS,
    length: 1,
    input_ids: new Int32Array(0),
    attention_mask: new Int32Array(ROWS),
    inputs: Float32Array.from({ length }, number),
    labels:
      problem_type === 'single_label_classification'
        ? new Int32Array(ROWS)
        : new Float32Array(ROWS * names.length),
  };
}

const vocabularyOf = (file: LayersModelFile): number | null => {
  const sizes = manifestKernels(file)
    .filter(({ kind }) => kind === 'embedding')
    .map(({ in_features }) => in_features);
  return sizes.length === 0 ? null : Math.min(...sizes);
};

function compared(expected: Float32Array, actual: Float32Array): Parity {
  const width = expected.length / ROWS;
  const rows = Array.from({ length: ROWS }, (_, row) => row);
  const same = rows.filter(
    (row) => argmaxOfRow(expected, row, width) === argmaxOfRow(actual, row, width),
  );
  return {
    prompts: ROWS,
    largest_gap: expected.reduce((most, own, i) => Math.max(most, Math.abs(own - actual[i]!)), 0),
    largest_logit: expected.reduce((most, own) => Math.max(most, Math.abs(own)), 0),
    top1_agreement: same.length / ROWS,
  };
}
