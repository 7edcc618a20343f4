import type { TensorInfo } from '../tensorInfo';
import { linearsOf } from './layerLinears';
import type {
  AttentionSpec,
  ConvolutionSpec,
  LayerSpec,
  LinearSpec,
  MlpSpec,
  NormSpec,
} from './spec';

/** A tensor that a model has. */
export type WantedTensor = Pick<TensorInfo, 'name' | 'shape'>;
type Wanted = WantedTensor;

/** Those of a linear layer. */
export function linearTensors({
  path,
  in_features,
  out_features,
  bias,
  transposed,
}: LinearSpec): Wanted[] {
  const weight = {
    name: `${path}.weight`,
    shape: transposed ? [in_features, out_features] : [out_features, in_features],
  };
  return bias ? [weight, { name: `${path}.bias`, shape: [out_features] }] : [weight];
}

/** Those of a norm. */
export function normTensors({ path, kind, size, bias, parameter = 'weight' }: NormSpec): Wanted[] {
  const weight = { name: `${path}.${parameter}`, shape: [size] };
  return kind === 'layer' && bias !== false
    ? [weight, { name: `${path}.bias`, shape: [size] }]
    : [weight];
}

function deltaTensors({ delta }: AttentionSpec): Wanted[] {
  if (!delta) return [];
  const { convolution, value_heads, decay_log, decay_bias, norm } = delta;
  return [
    ...convolutionTensors(convolution),
    { name: decay_log, shape: [value_heads] },
    { name: decay_bias, shape: [value_heads] },
    ...normTensors(norm),
  ];
}

function convolutionTensors(convolution: ConvolutionSpec | undefined): Wanted[] {
  if (!convolution) return [];
  const { path, channels, kernel, bias } = convolution;
  const weight = { name: `${path}.weight`, shape: [channels, 1, kernel] };
  return bias ? [weight, { name: `${path}.bias`, shape: [channels] }] : [weight];
}

function mixtureNorms(mlp: MlpSpec): NormSpec[] {
  if (mlp.kind !== 'mixture') return [];
  const { router_norm, beside } = mlp;
  return [
    ...(router_norm ? [router_norm] : []),
    ...(beside ? [beside.norm_out, beside.experts_in, beside.experts_out] : []),
  ];
}

const expertScales = (mlp: MlpSpec): Wanted[] =>
  mlp.kind === 'mixture' && mlp.expert_scale !== undefined
    ? [{ name: mlp.expert_scale, shape: [mlp.experts.length] }]
    : [];

/** All of a layer. */
export function layerTensors(layer: LayerSpec): Wanted[] {
  const {
    attention: { qk_norm, sinks, num_heads },
    norms: n,
    cross,
    per_layer,
    output_factor,
  } = layer;
  const all = [
    n.attention_in,
    cross?.norm_in ?? null,
    n.mlp_in,
    n.attention_out,
    n.mlp_out,
    n.after_attention,
    n.after_mlp,
    qk_norm && qk_norm.q,
    qk_norm && qk_norm.k,
    per_layer?.norm ?? null,
    ...mixtureNorms(layer.mlp),
  ];
  const norms = all.filter((norm) => norm !== null);
  return [
    ...linearsOf(layer).flatMap(linearTensors),
    ...norms.flatMap(normTensors),
    ...convolutionTensors(layer.attention.convolution),
    ...deltaTensors(layer.attention),
    ...(sinks === undefined ? [] : [{ name: sinks, shape: [num_heads] }]),
    ...expertScales(layer.mlp),
    ...(output_factor === undefined ? [] : [{ name: output_factor, shape: [1] }]),
  ];
}
