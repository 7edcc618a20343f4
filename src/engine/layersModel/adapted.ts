import type { LabelSet } from '../../data/tasks/labelSet';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { AdaptedModel, type KernelFactors } from '../../tfjs/adaptedModel';
import { kernelsOf, type Kernel } from '../../tfjs/kernels';
import type { LayersModel, Tf } from '../../tfjs/tf';
import { transposed, type TrainedWeight } from './adapterTensors';
import { headActivation, withHead, type NewHead } from './head';
import { LayersTraining } from './layersTraining';
import { loadLayersModel, type LayersModelParts } from './load';
import type { RowLoss } from './losses';
import { outputOf, type ModelOutput } from './output';

const LOSSES = {
  single_label_classification: 'single_label',
  multi_label_classification: 'multi_label',
  regression: 'regression',
} as const satisfies Readonly<Record<LabelSet['problem_type'], RowLoss>>;

export const lossOf = ({ problem_type }: Pick<LabelSet, 'problem_type'>): RowLoss =>
  LOSSES[problem_type];

/** A model in memory, and what its output is made by. */
export interface OpenLayers {
  readonly parts: LayersModelParts;
  readonly model: LayersModel;
  readonly output: ModelOutput;
  /** Numbers that it gives for a row. */
  readonly outputs: number;
}

/** Loads a model and finds its output. The caller disposes of it. @throws LoraError('base') */
export async function openLayers(tf: Tf, parts: LayersModelParts): Promise<OpenLayers> {
  const model = await loadLayersModel(tf, parts);
  const shape = model.outputs[0]!.shape.slice(1);
  if (shape.some((side) => side === null)) {
    model.dispose();
    throw new LoraError(
      'base',
      `The model gives outputs of sizes that vary: [${shape.map((side) => side ?? '?').join(', ')}].`,
      {
        place: { file: parts.file.path, key: 'modelTopology' },
        fix: 'Use a model that gives the same number of outputs for each row.',
      },
    );
  }
  const outputs = shape.reduce<number>((a, b) => a * b!, 1);
  return { parts, model, output: outputOf(model), outputs };
}

/** The same model with another output layer; the old one is freed. @throws LoraError('base') */
export async function reopenWithHead(
  tf: Tf,
  { parts, model, output }: OpenLayers,
  head: NewHead,
): Promise<OpenLayers> {
  const { dense } = output;
  if (!dense) throw new RangeError('Only a dense output layer can be replaced.');
  const kernel = dense.kernel.originalName;
  const names = { name: dense.name, kernel, bias: kernel.replace(/kernel$/, 'bias') };
  model.dispose();
  return openLayers(tf, withHead(parts, names, head));
}

/** The name of the output layer in adapters. */
export const headPath = (head: Pick<NewHead, 'layer'>): string => head.layer.replaceAll('/', '.');

/** The output layer that an adapter brings along; null: it has none. */
export function headOfAdapter({ trained }: Adapter, loss: RowLoss, file: string): NewHead | null {
  if (trained.length === 0) return null;
  const weight = trained.find(({ name }) => name.endsWith('.weight'));
  const bias = trained.find(({ name }) => name.endsWith('.bias'));
  const layer = weight?.name.slice(0, -'.weight'.length);
  const isWhole =
    weight?.shape.length === 2 &&
    bias?.name === `${layer ?? ''}.bias` &&
    bias.data.length === weight.shape[0] &&
    trained.length === 2;
  if (!isWhole || layer === undefined)
    throw new LoraError(
      'adapter',
      'The adapter trains tensors that are not those of one output layer.',
      { place: { file, tensor: trained[0]!.name }, fix: 'Use an adapter of a layers model.' },
    );
  const [outputs, inputs] = weight.shape as [number, number];
  return {
    layer,
    activation: headActivation(loss),
    kernel: transposed(weight.data, outputs, inputs),
    bias: bias.data,
  };
}

/** What an opened model trains with, or is evaluated with. */
export interface AdaptedParts {
  readonly adapter: Adapter;
  /** Whether the output layer is that of the adapter: it trains. */
  readonly hasHead: boolean;
  readonly labels: LabelSet;
  readonly input_shape: readonly number[];
  readonly label_smoothing: number;
  /** Of the adapter, for messages. */
  readonly adapter_file: string;
}

/**
 * Puts an adapter on a model. The result owns the model.
 *
 * @throws LoraError('adapter') for a module that the model does not have, or of other sizes;
 *   LoraError('base') for an output layer that the model calls more than once
 */
export function adaptLayers(
  tf: Tf,
  { parts, model, output }: Pick<OpenLayers, 'parts' | 'model' | 'output'>,
  { adapter, hasHead, labels, input_shape, label_smoothing, adapter_file }: AdaptedParts,
): LayersTraining {
  const takesActivation = lossOf(labels) !== 'regression' && output.activation !== 'linear';
  if (takesActivation || hasHead) refuseShared(output, parts);
  const kernels = kernelsOf(model);
  const factors = adapter.modules.map((module) => fitted(module, kernels, adapter_file));
  const trained = hasHead ? headWeights(output) : [];
  const adapted = new AdaptedModel(
    tf,
    model,
    factors,
    trained.map(({ variable }) => variable),
  );
  return new LayersTraining({
    tf,
    adapted,
    output,
    trained,
    config: adapter.config,
    input_shape,
    loss: lossOf(labels),
    width: labels.names.length,
    label_smoothing,
  });
}

/** A change of the output layer would change the model elsewhere, too. */
function refuseShared({ shared }: ModelOutput, { file }: LayersModelParts): void {
  if (shared === null) return;
  throw new LoraError(
    'base',
    `The model calls its output layer ${JSON.stringify(shared)} more than once.`,
    {
      place: { file: file.path, key: 'modelTopology' },
      fix: 'Use a model with an output layer of its own.',
    },
  );
}

function headWeights({ dense }: ModelOutput): TrainedWeight[] {
  const { name, kernel, bias } = dense!;
  const path = headPath({ layer: name });
  return [
    { name: `${path}.weight`, variable: kernel },
    ...(bias ? [{ name: `${path}.bias`, variable: bias }] : []),
  ];
}

function fitted(module: LoraFactors, kernels: readonly Kernel[], file: string): KernelFactors {
  const { path, r, in_features, out_features, scaling, A, B } = module;
  const kernel = kernels.find((own) => own.path === path);
  const refuse = (message: string) =>
    new LoraError('adapter', message, {
      place: { file, tensor: path },
      fix: 'Use the model that the adapter was trained on.',
    });
  if (!kernel) throw refuse(`The model has no layer ${path} that could be adapted.`);
  if (kernel.in_features !== in_features || kernel.out_features !== out_features)
    throw refuse(
      `The factors are for a kernel of ${in_features} x ${out_features}, but that of ${path} is ${kernel.in_features} x ${kernel.out_features}.`,
    );
  return { kernel, r, lora_alpha: scaling * r, scaling, A, B };
}
