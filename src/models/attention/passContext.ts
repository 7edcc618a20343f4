import { innerSizeOf } from '../../formats/architecture/modules';
import type { AttentionSpec, Spec } from '../../formats/architecture/spec';
import type { Dropout } from '../layers/dropout';
import type { Computation } from '../layers/linear';
import { freePerLayerPass, type PerLayerPass } from '../embeddings/perLayerInputs';
import type { ModelInput } from '../model';
import type { Ops, Tensor } from '../ops/ops';
import type { RotaryTable, SeenKeys } from './attention';
import { freeChunks, uploadChunks, type Chunks } from './chunks';
import type { HeadLayout, SequenceShape } from './headLayout';
import { uploadTaps, type Taps } from './convolution';
import { buildRotaryTable, type RotaryTableSpec } from './rope';
import { cachedRotaryTables } from './rotaryCache';
import type { RowBlock } from './rowBlocks';
import type { ScoreBias } from './scoreBias';
import { freeSeenKeys, seenKeys } from './seenKeys';
import { SharedKeys } from './sharedKeys';
import { freeSource, type SourcePass } from './sourcePass';

/** What all layers share in one pass over a batch. n = batch · length. */
export interface PassContext extends Computation {
  readonly shape: SequenceShape;
  readonly sharedKeys: SharedKeys;
  /** The vectors of each layer; null: it has none. */
  readonly perLayer: PerLayerPass | null;
  /** What the layers read of an encoder; null: there is none. */
  readonly source: SourcePass | null;
  /** By `ropeKey`. */
  readonly ropeTables: ReadonlyMap<string, RotaryTable>;
  /** By `windowKey`. */
  readonly seen: ReadonlyMap<string, SeenKeys>;
  /** Of short convolutions; none if there are none. */
  readonly taps: Taps;
  /** Of layers with the delta rule; null if there are none. */
  readonly chunks: Chunks | null;
  /** Whether later tokens continue from the states of such layers. */
  readonly keepsStates: boolean;
  /** Keep attention's probabilities for the backward pass instead of recomputing them. */
  readonly keepProbabilities: boolean;
}

/** The rows that continue after the last layer's attention. */
export interface SelectedRows {
  readonly indices: Tensor; // [m] of n
  /** For each of the n rows its index among the m, or m. */
  readonly inverse: Tensor; // [n]
}

/** Layers with the same key see the same keys. */
export const windowKey = ({ window, score_bias }: AttentionSpec): string =>
  score_bias ? `${window} ${score_bias.path}` : String(window);

/** Each step asks for those of all layers. */
const ropeKeys = new WeakMap<AttentionSpec, string>();

/** Layers with the same key rotate and scale q and k alike. */
export function ropeKey(attention: AttentionSpec): string {
  const known = ropeKeys.get(attention);
  if (known !== undefined) return known;
  const { rope, scale, qk_norm } = attention;
  const isBefore = qk_norm?.after_rope ?? false;
  const key = JSON.stringify([rope, scale, productHeads(attention), isBefore]);
  ropeKeys.set(attention, key);
  return key;
}

/** The heads of a layer's own product, which has no keys and values if they are another layer's. */
export const productHeads = ({
  num_heads,
  num_kv_heads,
  head_dim,
  keys_of,
}: AttentionSpec): HeadLayout => ({
  num_heads,
  num_kv_heads: keys_of === undefined ? num_kv_heads : 0,
  head_dim,
});

/** What a pass is for. */
interface PassOptions {
  readonly dropout?: Dropout | null;
  /** The position of the input's first token: the keys and values of those before are cached. */
  readonly first?: number;
  /** By path. */
  readonly scoreBiases?: ReadonlyMap<string, ScoreBias>;
  /** The pass takes ownership of it. */
  readonly perLayer?: PerLayerPass | null;
  /** The pass takes ownership of it. */
  readonly source?: SourcePass | null;
}

/** An input without padding, after `first` tokens. */
const withEarlier = ({ batch, length }: ModelInput, first: number) => ({
  batch,
  length: first + length,
  attention_mask: new Int32Array(batch * (first + length)).fill(1),
});

/** Uploads the masks and tables of a pass; `closePass` frees them. */
export function openPass(
  ops: Ops,
  spec: Spec,
  input: ModelInput,
  {
    dropout = null,
    first,
    scoreBiases = new Map(),
    perLayer = null,
    source = null,
  }: PassOptions = {},
): PassContext {
  const attentions = spec.layers.map((layer) => layer.attention);
  const kernel = kernelOf(attentions);
  const earlier = first ?? 0;
  const whole = earlier === 0 ? input : withEarlier(input, earlier);
  const seen = byKey(attentions, windowKey, (attention) => {
    const bias = biasOf(attention, scoreBiases);
    return seenKeys(ops, whole, attention, { first: earlier, causal: spec.causal, bias });
  });
  return {
    ops,
    dropout,
    shape: { batch: input.batch, length: input.length },
    sharedKeys: new SharedKeys(ops),
    perLayer,
    source,
    seen,
    taps: kernel === undefined ? [] : uploadTaps(ops, input, kernel),
    chunks: attentions.some((own) => own.delta) ? uploadChunks(ops, input) : null,
    keepsStates: first !== undefined,
    ropeTables: uploadRotaryTables(ops, spec, input),
    keepProbabilities: [...seen.values()].every(
      (own) => own.kind === 'rows' && areProbabilitiesSmall(spec, own.blocks, input.length),
    ),
  };
}

/** The biases of a layer's scores; null: it has none. */
export const biasOf = (
  { score_bias }: AttentionSpec,
  scoreBiases: ReadonlyMap<string, ScoreBias> = new Map(),
): ScoreBias | null => (score_bias && scoreBiases.get(score_bias.path)) ?? null;

/** The kernel of the short convolutions; undefined if there are none. */
const kernelOf = (attentions: readonly AttentionSpec[]): number | undefined =>
  attentions
    .map(({ convolution, delta }) => (convolution ?? delta?.convolution)?.kernel)
    .find(Boolean);

export function closePass(pass: PassContext): void {
  const { ops, ropeTables, seen, taps, chunks, sharedKeys, perLayer, source } = pass;
  sharedKeys.dispose();
  if (source) freeSource(ops, source);
  if (chunks) freeChunks(ops, chunks);
  if (perLayer) freePerLayerPass(ops, perLayer);
  freeRotaryTables(ops, ropeTables);
  ops.free(...taps.filter((mask) => mask !== null));
  for (const own of seen.values()) freeSeenKeys(ops, own);
}

/** The positions of a pass. */
interface RotaryInput extends Pick<ModelInput, 'length' | 'position_ids' | 'spatial_ids'> {
  /** Each is the last of a sequence of its own, on whose length some frequencies depend. */
  readonly areApart?: boolean;
}

/** The table of each `ropeKey`, for the positions of `input`. */
export function uploadRotaryTables(
  ops: Ops,
  { layers }: Spec,
  input: RotaryInput,
): Map<string, RotaryTable> {
  const attentions = layers.map((layer) => layer.attention);
  return byKey(attentions, ropeKey, (attention) => uploadRotaryTable(ops, attention, input));
}

export function freeRotaryTables(ops: Ops, tables: ReadonlyMap<string, RotaryTable>): void {
  for (const table of tables.values()) {
    if (table.kind !== 'scale') ops.free(table.forward, table.backward);
    if (table.kind !== 'rotate') ops.free(table.row);
  }
}

function uploadRotaryTable(ops: Ops, attention: AttentionSpec, input: RotaryInput): RotaryTable {
  const { rope, scale, qk_norm } = attention;
  const heads = productHeads(attention);
  if (!rope) return { kind: 'scale', row: uploadScale(ops, scale, heads) };
  const isBefore = qk_norm?.after_rope ?? false;
  const spec = { rope, scale: isBefore ? 1 : scale, ...heads };
  const cached =
    !input.position_ids && cachedRotaryTables(ops, JSON.stringify(spec), spec, input.length);
  const tables = cached || uploadedTables(ops, spec, input);
  return isBefore
    ? { kind: 'before_norm', ...tables, row: uploadScale(ops, scale, heads) }
    : { kind: 'rotate', ...tables };
}

function uploadedTables(
  ops: Ops,
  spec: RotaryTableSpec,
  input: RotaryInput,
): { readonly forward: Tensor; readonly backward: Tensor } {
  const positions = input.position_ids ?? Int32Array.from({ length: input.length }, (_, i) => i);
  const upload = (direction: 1 | -1) => {
    const sequences = input.areApart
      ? Array.from(positions, (own) => Int32Array.of(own))
      : [{ times: positions, spatial: input.spatial_ids }];
    const tables = sequences.map((own) => buildRotaryTable(spec, own, direction));
    const table = tables.length === 1 ? tables[0]! : joined(tables);
    return ops.upload(table, [table.length]);
  };
  return { forward: upload(1), backward: upload(-1) };
}

/** Attention's scale for the queries of a product, 1 for the others. */
function uploadScale(
  ops: Ops,
  scale: number,
  { num_heads, num_kv_heads, head_dim }: HeadLayout,
): Tensor {
  const width = (num_heads + 2 * num_kv_heads) * head_dim;
  const row = new Float32Array(width).fill(1).fill(scale, 0, num_heads * head_dim);
  return ops.upload(row, [width]);
}

function joined(tables: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(tables.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const table of tables) {
    whole.set(table, at);
    at += table.length;
  }
  return whole;
}

/**
 * Whether the probabilities take no more memory than the MLP's inner activations, which are kept
 * anyway.
 */
function areProbabilitiesSmall(
  { layers }: Spec,
  blocks: readonly RowBlock[],
  length: number,
): boolean {
  const { attention, mlp } = layers[0]!;
  const scores = blocks.reduce(
    (sum, { start, end, from, to }) => sum + (end - start) * (to - from),
    0,
  );
  return scores * attention.num_heads <= 2 * length * innerSizeOf(mlp);
}

function byKey<T>(
  attentions: readonly AttentionSpec[],
  key: (attention: AttentionSpec) => string,
  make: (attention: AttentionSpec) => T,
): Map<string, T> {
  const unique = new Map(attentions.map((attention) => [key(attention), attention]));
  return new Map([...unique].map(([name, attention]) => [name, make(attention)]));
}
