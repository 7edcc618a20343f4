import { tableWidth } from '../formats/architecture/modules';
import type { PatchEmbeddingSpec, Spec } from '../formats/architecture/spec';
import { LoraError } from '../shared/errors';
import { loadScoreBiases } from './attention/loadDistances';
import type { EmbeddingLayer } from './embeddings/embeddingLayer';
import { PatchEmbedding } from './embeddings/patchEmbedding';
import { PerLayerInputs } from './embeddings/perLayerInputs';
import { TokenEmbedding } from './embeddings/tokenEmbedding';
import type { LayerWeights } from './layers/layerWeights';
import { Transformer } from './transformer';
import type { WeightLoader } from './weightLoader';
import type { WeightTensor } from './weightTensor';

interface TransformerOptions {
  /** Gradient checkpointing: layers, from the lowest, that are recomputed. Default: 0. */
  readonly recomputed_layers?: number;
  /** Called with the fraction that has been loaded, from 0 to 1. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

export interface LoadedTransformer {
  readonly transformer: Transformer;
  /** Null for images. */
  readonly tokens: WeightTensor | null; // [vocab, d]
}

/**
 * Loads what is below the head. The loader owns the weights.
 *
 * @throws LoraError('base') for a missing tensor or a wrong shape.
 */
export async function loadTransformer(
  loader: WeightLoader,
  spec: Spec,
  options: TransformerOptions,
): Promise<LoadedTransformer> {
  return loadOn(loader, spec, await loadEmbedding(loader, spec), options);
}

/** Loads what is between embedding and head. An encoder has the embedding of its decoder. */
async function loadOn(
  loader: WeightLoader,
  spec: Spec,
  loaded: LoadedEmbedding,
  options: TransformerOptions,
): Promise<LoadedTransformer> {
  const { recomputed_layers, onProgress } = options;
  const { ops } = loader.context;
  const { embedding, tokens } = loaded;
  if (spec.source) refuseSharedTraining(loader, spec, embedding);
  const encoder = spec.source
    ? (await loadOn(loader, spec.source.encoder, loaded, { ...options, onProgress: undefined }))
        .transformer
    : null;
  const perLayer = await loadPerLayer(loader, spec);
  const layers: LayerWeights[] = [];
  for (const [i, layer] of spec.layers.entries()) {
    const same = layers[spec.layers.indexOf(layer)]; // ALBERT's layers are one
    layers.push(same ?? (await loader.layer(spec.layers, i)));
    onProgress?.((i + 1) / (spec.num_layers + 1));
    await ops.yieldPoint();
  }
  const norm = await loader.normOrNull(spec.final_norm);
  const scoreBiases = await loadScoreBiases(loader, spec);
  const body = { embedding, perLayer, layers, norm, scoreBiases, encoder };
  return { transformer: new Transformer(ops, spec, body, recomputed_layers), tokens };
}

/**
 * Encoder and decoder share the embedding, and a tied output layer is that, too. In transformers 5
 * neither is a module of its own that an adapter could replace.
 *
 * @throws LoraError('base') naming the table or the output layer.
 */
function refuseSharedTraining(
  loader: WeightLoader,
  { head, embedding, family }: Spec,
  table: EmbeddingLayer<unknown>,
): void {
  if (embedding.kind !== 'tokens' || head.kind !== 'lm' || loader.fullOptimizer) return;
  const { adapters } = loader.context;
  const output = `${head.output.path}.weight`;
  const isOutput = head.tied && adapters.trainedParameter(output) !== null;
  if (!table.trains && !isOutput) return;
  const name = table.trains ? embedding.tokens.path : head.output.path;
  throw new LoraError(
    'base',
    `The module ${name} of ${family} cannot be trained: encoder and decoder share the embedding.`,
    { fix: `Leave ${name} out of modules_to_save, and set trainable_token_indices to null.` },
  );
}

interface LoadedEmbedding extends Pick<LoadedTransformer, 'tokens'> {
  readonly embedding: EmbeddingLayer<unknown>;
}

async function loadEmbedding(loader: WeightLoader, spec: Spec): Promise<LoadedEmbedding> {
  const { embedding, hidden_size: d } = spec;
  if (embedding.kind === 'patches') {
    const layer = await loadPatchEmbedding(loader, embedding, d);
    return { embedding: layer, tokens: null };
  }
  const width = tableWidth(embedding, d);
  const tokens = await loader.table(embedding.tokens, width);
  const { projection } = embedding;
  const tables = {
    tokens,
    positions: embedding.positions && (await loader.table(embedding.positions, width)),
    types: embedding.types && (await loader.table(embedding.types, width)),
    norm: await loader.normOrNull(embedding.norm),
    projection: projection ? await loader.linear([{ spec: projection, order: null }]) : null,
  };
  const layer = await TokenEmbedding.of(loader.context, embedding, tables);
  return { embedding: loader.keep(layer), tokens };
}

async function loadPerLayer(
  loader: WeightLoader,
  { embedding, num_layers }: Spec,
): Promise<PerLayerInputs | null> {
  if (embedding.kind !== 'tokens' || !embedding.per_layer) return null;
  const { per_layer } = embedding;
  const { table, projection, norm, scale } = per_layer;
  const tokens = await loader.table(table, projection.out_features);
  const tables = { tokens, positions: null, types: null, norm: null, projection: null };
  const own = { ...NO_TABLES, tokens: table, scale };
  const layer = loader.keep(await TokenEmbedding.of(loader.context, own, tables));
  return new PerLayerInputs(loader.context.ops, per_layer, num_layers, {
    table: layer,
    projection: await loader.linear([{ spec: projection, order: null }]),
    norm: await loader.norm(norm),
  });
}

/** Of an embedding that is only of tokens. */
const NO_TABLES = { kind: 'tokens', positions: null, types: null, norm: null } as const;

async function loadPatchEmbedding(
  loader: WeightLoader,
  embedding: PatchEmbeddingSpec,
  d: number,
): Promise<PatchEmbedding> {
  const { path, bias, channels, patch_size } = embedding;
  const in_features = channels * patch_size[0] * patch_size[1];
  const projection = { path, in_features, out_features: d, bias, transposed: false };
  const { cls_token, positions, norm = null } = embedding;
  return new PatchEmbedding(loader.context.ops, embedding, {
    projection: await loader.linear([{ spec: projection, order: null }]),
    cls_token: cls_token === null ? null : await loader.parameter(cls_token),
    positions: await loader.parameter(positions),
    norm: await loader.normOrNull(norm),
  });
}
