import { isObject } from '../../shared/values';
import type { LayersModelFile } from './file';
import { topologyLayer, type TopologyLayer } from './modules';
import { SHAPE_RULES, type Shape, type ShapeRule } from './shapeRules';

/** A call of a layer with one row. */
export interface LayerCall {
  readonly layer: TopologyLayer;
  /** Of the first input, without the batch. */
  readonly input: Shape;
  readonly output: Shape;
  /** How often it is made: TimeDistributed calls its layer for each step. */
  readonly times: number;
}

/** Thrown for a layer whose output's shape is not known. */
class UnknownShape extends Error {
  constructor(readonly layer: TopologyLayer) {
    super(layer.name);
  }
}

/**
 * All calls of layers in a pass of one row, with their shapes, by the topology alone; or the layer
 * of which no shape is known, such as a custom one.
 *
 * @param input Of a row, without the batch.
 */
export function layerCalls(
  { topology }: Pick<LayersModelFile, 'topology'>,
  input: Shape,
): { readonly calls: readonly LayerCall[] } | { readonly unknown: TopologyLayer } {
  const calls: LayerCall[] = [];
  try {
    callLayer(topology, [input], { calls, times: 1, budget: { left: MOST_CALLS } });
    return { calls };
  } catch (error) {
    if (error instanceof UnknownShape) return { unknown: error.layer };
    throw error;
  }
}

/** Calls that are followed, at most: models within models can double them at each level. */
const MOST_CALLS = 100_000;

interface Pass {
  readonly calls: LayerCall[];
  /** Calls that may still be looked at, in all models of the pass. */
  readonly budget: { left: number };
  readonly times: number;
}

/** The shape of a layer's output. Adds its calls, or those of the layers in it. */
function callLayer(value: unknown, inputs: readonly Shape[], pass: Pass): Shape {
  const layer = topologyLayer(value);
  const { class_name, config } = layer;
  const [input] = inputs;
  pass.budget.left -= 1;
  if (!input || pass.budget.left < 0) throw new UnknownShape(layer);
  if (Array.isArray(config['layers'])) return callModel(layer, input, pass);
  if (class_name === 'TimeDistributed') {
    const [steps = 0, ...row] = input;
    const times = pass.times * steps;
    return [steps, ...callLayer(config['layer'], [row], { ...pass, times })];
  }
  if (class_name === 'Bidirectional') {
    const output = callLayer(config['layer'], inputs, { ...pass, times: 2 * pass.times });
    const isJoined = (config['merge_mode'] ?? 'concat') === 'concat';
    return isJoined ? [...output.slice(0, -1), 2 * output.at(-1)!] : output;
  }
  const rule = Object.hasOwn(SHAPE_RULES, class_name) ? SHAPE_RULES[class_name] : undefined;
  const output =
    config['data_format'] === 'channels_first' && class_name !== 'ConvLSTM2D'
      ? channelsFirst(rule, config, inputs)
      : rule?.(config, inputs);
  const isKnown = output?.every((side) => Number.isSafeInteger(side) && side > 0) === true;
  if (!isKnown) throw new UnknownShape(layer);
  pass.calls.push({ layer, input, output, times: pass.times });
  return output;
}

/** A rule for images whose channels come last, applied to such whose channels come first. */
function channelsFirst(
  rule: ShapeRule | undefined,
  config: TopologyLayer['config'],
  inputs: readonly Shape[],
): Shape | undefined {
  const output = rule?.(
    config,
    inputs.map(([channels = NaN, ...sides]) => [...sides, channels]),
  );
  return output && [output.at(-1)!, ...output.slice(0, -1)];
}

function callModel(model: TopologyLayer, input: Shape, pass: Pass): Shape {
  const layers = model.config['layers'] as readonly unknown[];
  if (model.class_name !== 'Sequential') return callGraph(model, layers, { input, pass });
  return layers.reduce<Shape>((shape, layer) => callLayer(layer, [shape], pass), input);
}

interface GraphPass {
  readonly input: Shape;
  readonly pass: Pass;
}

/** A functional model: its layers are called once what they read is known. */
function callGraph(
  model: TopologyLayer,
  layers: readonly unknown[],
  { input, pass }: GraphPass,
): Shape {
  const known = new Map<string, Shape>();
  const outputs = readsOf(model.config['output_layers']);
  const read = new Set([
    ...outputs,
    ...layers.flatMap((layer) => (isObject(layer) ? readsOf(layer['inbound_nodes']) : [])),
  ]);
  let waiting = layers.flatMap((layer) => nodesOf(layer, read));
  while (waiting.length > 0) {
    const later = waiting.filter(({ key, layer, reads }) => {
      const inputs = reads.map((name) => known.get(name));
      if (!inputs.every((shape) => shape !== undefined)) return true;
      known.set(key, callLayer(layer, inputs.length === 0 ? [input] : inputs, pass));
      return false;
    });
    // layers in reverse order are looked at again and again
    pass.budget.left -= later.length;
    if (later.length === waiting.length) throw new UnknownShape(model);
    waiting = later;
  }
  const output = known.get(outputs[0] ?? '');
  if (!output) throw new UnknownShape(model);
  return output;
}

/** A call of a layer in a graph, and the calls whose outputs it reads. */
interface GraphNode {
  readonly key: string;
  readonly layer: unknown;
  readonly reads: readonly string[];
}

const keyOf = (name: unknown, call: unknown): string => JSON.stringify([name, call]);

/** @param read The keys of all calls that others read. */
function nodesOf(layer: unknown, read: ReadonlySet<string>): GraphNode[] {
  const nodes: unknown = isObject(layer) ? layer['inbound_nodes'] : null;
  const name = isObject(layer) ? layer['name'] : null;
  const calls: readonly unknown[] = Array.isArray(nodes) ? nodes : [];
  if (calls.length === 0) return [{ key: keyOf(name, 0), layer, reads: [] }];
  // a model in a model has a call of its own before these; Keras leaves it out of the numbers
  const first = read.has(keyOf(name, calls.length)) ? 1 : 0;
  return calls.map((call, i) => ({ key: keyOf(name, first + i), layer, reads: readsOf(call) }));
}

/** [["name", call, output, {}], …], or only one of these, as output_layers can be */
function readsOf(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  if (typeof value[0] === 'string') return [keyOf(value[0], value[1])];
  return value.flatMap((own: unknown) => readsOf(own));
}
