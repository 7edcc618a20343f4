import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as v from 'valibot';
import { formatSize } from '../../common/formatSize';
import { openLayersModel, type LayersModelFile } from '../../formats/layersModel/file';
import { isImageShape, manifestKernels } from '../../formats/layersModel/kernels';
import { inputShape, topologyLayers } from '../../formats/layersModel/modules';
import { elementsOf } from '../../formats/layersModel/weights';
import { countTrainable } from '../../lora/count';
import type { DatasetSource } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import type { LayersMemory } from '../../shared/layersMemory';
import { BATCHES, EXAMPLE_RANK } from '../../shared/usualBatch';
import { RecipeSchema } from '../../shared/recipe';
import { countOf } from '../../shared/values';
import { groupDigits } from '../describe';
import { readLayersData } from '../layersModel/data';
import {
  describeLayersMemory,
  estimateLayersMemory,
  type LayersTrained,
} from '../layersModel/memory';
import { mergeLayers, type LayersMerge } from '../layersModel/merge';
import { findLayers, loadLayersFor, type LayersPaths } from '../layersModel/open';
import { warnOfProblems } from '../report';
import { evaluateExamples } from '../tasks/evaluate';
import type { Report } from './inspectRecipe';
import { describeValues, settingOf } from './evaluatedSources';
import { printResult, type CommandContext } from './context';

/** What `lora inspect` says of a layers model. @throws LoraError('base') */
export async function inspectLayers(file: string): Promise<Report> {
  const model = await openLayersModel(file);
  const weights = model.groups.flatMap((group) => group.weights);
  const parameters = weights.reduce((sum, weight) => sum + elementsOf(weight), 0);
  const modules = manifestKernels(model).map((kernel) => ({ ...kernel, is_output: false }));
  const linear = modules.filter(({ kind }) => kind === 'linear');
  const { trainable, full } = countTrainable(linear, () => EXAMPLE_RANK);
  const input = inputShape(model);
  const memory = usualLayersMemory(model, { numbers: trainable, adapted: full, labels: null });
  const classes = new Map<string, number>();
  for (const { class_name } of topologyLayers(model))
    classes.set(class_name, (classes.get(class_name) ?? 0) + 1);
  return {
    facts: {
      type: 'base',
      name: model.name,
      format: 'tensorflow.js',
      architecture: 'tfjs-layers',
      parameters,
      input,
      layers: Object.fromEntries(classes),
      modules,
      trainable_at_r8: trainable,
      full_at_r8: full,
      ...(memory && { memory }),
    },
    lines: [
      `${model.name}: layers model of TensorFlow.js, ${groupDigits(parameters)} parameters, input [${(input ?? []).map((side) => side ?? '?').join(', ')}]`,
      `layers: ${[...classes].map(([name, count]) => `${count} ${name}`).join(', ')}`,
      `kernels (out x in): ${linear.length} of layers, ${modules.length - linear.length} of embeddings`,
      ...modules.map((own) => `  ${own.path}  ${own.out_features} x ${own.in_features}`),
      `all-linear at r = ${EXAMPLE_RANK}: ${groupDigits(trainable)} trainable parameters instead of ${groupDigits(full)}`,
      ...(memory ? [describeLayersMemory(memory, ` and all-linear at r = ${EXAMPLE_RANK}`)] : []),
    ],
  };
}

/** The memory of a step in the usual batch; null where the input's sizes vary. */
function usualLayersMemory(model: LayersModelFile, trained: LayersTrained): LayersMemory | null {
  const shape = (inputShape(model) ?? []).filter((side) => side !== null);
  if (shape.length === 0 || shape.length !== inputShape(model)?.length) return null;
  const { rows } = BATCHES[isImageShape(shape) ? 'image_cls' : 'features'];
  return estimateLayersMemory(model, shape, trained, rows);
}

/** `lora evaluate` of a layers model. @throws LoraError */
export async function evaluateLayers(
  paths: LayersPaths,
  sources: readonly DatasetSource[],
  context: CommandContext,
): Promise<void> {
  const [source, ...others] = sources;
  if (!source || others.length > 0)
    throw new LoraError('usage', 'A layers model is evaluated on one dataset.', {
      fix: 'Give --dataset once.',
    });
  const isFolder = (await stat(source.path).catch(() => null))?.isDirectory() === true;
  const found = await findLayers(paths, isFolder ? 'image_cls' : 'features');
  const { task, input, labels: known } = found;
  const recipe = v.parse(RecipeSchema, {
    base: paths.base,
    dataset: settingOf(source),
    task,
    problem_type: known?.problem_type ?? null,
    validation_split: 0,
  });
  const data = await readLayersData(recipe, { input, known, scratch_folder: tmpdir() });
  try {
    const { labels } = data;
    warnOfProblems(data.warnings, context.warn);
    const model = await loadLayersFor(found, labels, context);
    const { loss, labelled, scores } = await evaluateExamples(model, data.train, {
      task,
      labels,
      collate: data.collate,
      pairs_per_batch: 1,
    });
    model.dispose();
    const examples = data.train.length;
    const facts = { examples, labelled, loss, ...scores, labels: labels.names };
    printResult(context, facts, () =>
      [`loss ${loss.toFixed(4)} on ${countOf(examples, 'row')}`, ...describeValues(scores)].join(
        ', ',
      ),
    );
  } finally {
    data.close();
  }
}

/** `lora merge` into a layers model. @throws LoraError */
export async function mergeIntoLayers(
  merge: LayersMerge,
  context: CommandContext,
  isCompared: boolean,
): Promise<void> {
  const { signal } = context;
  const merged = await mergeLayers(merge, { runtime: isCompared ? context : null, signal });
  const { output } = merge;
  const { parity, dequantized } = merged;
  for (const warning of merged.warnings) context.note(`warning: ${warning}`);
  printResult(context, { output, ...merged }, () =>
    [
      `${output}/model.json: ${formatSize(merged.bytes)}, ${countOf(merged.merged.length, 'weight')} changed, the others as they were`,
      ...(dequantized.length > 0
        ? [
            `${countOf(dequantized.length, 'changed weight')} quantized in the base ${dequantized.length === 1 ? 'is' : 'are'} float32 now: rounding again would lose the update`,
          ]
        : []),
      parity
        ? `On ${countOf(parity.prompts, 'row')} of noise, outputs differ from those of base + adapter by at most ${parity.largest_gap.toExponential(1)} (largest ${parity.largest_logit.toFixed(1)}), and the largest is the same in ${(100 * parity.top1_agreement).toFixed(0)}%.`
        : 'The outputs were not compared with those of base + adapter.',
      'merge.json records how it was made; lora merge --verify checks it.',
    ].join('\n'),
  );
}
