import { isAdaptedLayer, type AdaptedLayer } from '../formats/layersModel/adaptedLayers';
import type { LayersModel, LayerVariable } from './tf';

/** Layers that LoRA can adapt, and the properties that hold their matrices. */
const MATRICES: Readonly<Record<AdaptedLayer, readonly MatrixProperty[]>> = {
  Dense: ['kernel'],
  Conv1D: ['kernel'],
  Conv2D: ['kernel'],
  DepthwiseConv2D: ['depthwiseKernel'],
  SeparableConv2D: ['depthwiseKernel', 'pointwiseKernel'],
  Embedding: ['embeddings'],
  SimpleRNNCell: ['kernel', 'recurrentKernel'],
  GRUCell: ['kernel', 'recurrentKernel'],
  LSTMCell: ['kernel', 'recurrentKernel'],
};

type MatrixProperty =
  'kernel' | 'depthwiseKernel' | 'pointwiseKernel' | 'recurrentKernel' | 'embeddings';

/** A layer of tfjs, as far as it is looked into: some of it is not in tfjs' types. */
export interface OwnLayer {
  readonly name: string;
  getClassName(): string;
  trainable: boolean;
  /** Of a model in a model. */
  readonly layers?: readonly OwnLayer[];
  /** Of TimeDistributed. */
  readonly layer?: OwnLayer;
  /** Of Bidirectional. */
  readonly forwardLayer?: OwnLayer;
  readonly backwardLayer?: OwnLayer;
  /** Of recurrent layers. */
  readonly cell?: OwnLayer;
  readonly cells?: readonly OwnLayer[];
  _trainableWeights: LayerVariable[];
  call(inputs: unknown, kwargs: Record<string, unknown>): unknown;
}

/** A layer whose matrices can be replaced. */
export type MatrixOwner = OwnLayer & { [Property in MatrixProperty]?: LayerVariable | null };

/** A matrix W [in, out] that LoRA can adapt: the kernel of a layer, in the shape that it has. */
export interface Kernel {
  /** The name that adapters have for it: that of the weight, with dots; "kernel" is left out. */
  readonly path: string;
  /** The layer's name and class, by which it can be chosen, too. */
  readonly layer: string;
  readonly className: string;
  readonly kind: 'linear' | 'embedding';
  /** Of a convolution: height · width · channels. Of a depthwise one: height · width. */
  readonly in_features: number;
  readonly out_features: number;
  readonly variable: LayerVariable;
  readonly owner: MatrixOwner;
  readonly property: MatrixProperty;
}

/** All layers of a model, including those within others. */
export function layersIn(model: LayersModel): OwnLayer[] {
  const found = new Set<OwnLayer>();
  const visit = (layer: OwnLayer | undefined) => {
    if (!layer || found.has(layer)) return;
    found.add(layer);
    const { layers = [], layer: wrapped, forwardLayer, backwardLayer, cell, cells = [] } = layer;
    for (const inner of [...layers, wrapped, forwardLayer, backwardLayer, cell, ...cells])
      visit(inner);
  };
  (model.layers as unknown as readonly OwnLayer[]).forEach(visit);
  return [...found];
}

/** The matrices of a model that LoRA can adapt, in the order of its layers. */
export function kernelsOf(model: LayersModel): Kernel[] {
  return layersIn(model).flatMap((owner: MatrixOwner) => {
    const name = owner.getClassName();
    const properties = isAdaptedLayer(name) ? MATRICES[name] : [];
    return properties.flatMap((property) => {
      const variable = owner[property];
      return variable ? [kernelOf(owner, property, variable)] : [];
    });
  });
}

function kernelOf(owner: MatrixOwner, property: MatrixProperty, variable: LayerVariable): Kernel {
  const className = owner.getClassName();
  const shape = variable.shape as readonly number[];
  const outer = property === 'depthwiseKernel' ? 2 : 1;
  const parts = variable.originalName.split('/');
  const isOnly = isAdaptedLayer(className) && MATRICES[className].length === 1;
  return {
    path: (isOnly ? parts.slice(0, -1) : parts).join('.'),
    layer: owner.name,
    className,
    kind: property === 'embeddings' ? 'embedding' : 'linear',
    in_features: shape.slice(0, -outer).reduce((a, b) => a * b, 1),
    out_features: shape.slice(-outer).reduce((a, b) => a * b, 1),
    variable,
    owner,
    property,
  };
}

/** What is known of a kernel that is chosen by name. */
export type NamedKernel = Pick<Kernel, 'path' | 'layer' | 'className' | 'kind'>;

/** Whether a name is that of a kernel: its path or the end of it, its layer or its class. */
export const isNamed = ({ path, layer, className }: NamedKernel, name: string): boolean =>
  path === name || path.endsWith(`.${name}`) || layer === name || className === name;
