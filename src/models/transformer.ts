import type { Spec } from '../formats/architecture/spec';
import {
  biasOf,
  closePass,
  openPass,
  windowKey,
  type PassContext,
  type SelectedRows,
} from './attention/passContext';
import type { ScoreBias } from './attention/scoreBias';
import { accumulateBias } from './attention/seenKeys';
import { openSource, type SourcePass } from './attention/sourcePass';
import type { EmbeddingLayer } from './embeddings/embeddingLayer';
import type { PerLayerInputs, PerLayerInputsSaved } from './embeddings/perLayerInputs';
import type { Dropout } from './layers/dropout';
import { addCounts } from './layers/expertCounts';
import { freeSavedLayer, isLayerTrained, type SavedLayer, type SavePolicy } from './layers/layer';
import { layersBackward, layersForward } from './layers/layerGroup';
import type { LayerWeights } from './layers/layerWeights';
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormStats,
} from './layers/norm';
import type { ModelInput } from './model';
import { sumAndFree, type Ops, type Tensor } from './ops/ops';
import {
  gradientOfVectors,
  placedVectors,
  withDeepstack,
  withoutVectors,
  withVectors,
  type PlacedVectors,
} from './vision/placedVectors';
import type { VisionTower } from './vision/visionTower';

/** The parts of a transformer below its head. */
export interface Body {
  readonly embedding: EmbeddingLayer<unknown>;
  readonly layers: readonly LayerWeights[];
  /** After the last layer. */
  readonly norm: Norm | null;
  /** By path. */
  readonly scoreBiases?: ReadonlyMap<string, ScoreBias>;
  /** Token embeddings for each layer; null: none. */
  readonly perLayer: PerLayerInputs | null;
  /** What the layers read beside their own tokens; null: nothing. */
  readonly encoder: Transformer | null;
}

/** A forward pass that has not ended: its output, and what the backward pass needs. */
export interface ForwardPass {
  readonly input: ModelInput;
  readonly context: PassContext;
  readonly rows: SelectedRows | null;
  /** The same as numbers. */
  readonly selected: Int32Array | null;
  /** See `Transformer.lowestTrained`. */
  readonly lowest: number;
  readonly embedded: unknown;
  /** Null: there is nothing, or nothing below the layers trains. */
  readonly perLayer: PerLayerInputsSaved | null;
  /** The pass of the encoder; null: there is none. */
  readonly encoded: ForwardPass | null;
  /** Null: the input has no images. */
  readonly images: PlacedVectors | null;
  readonly kept: SavedLayer[];
  /** The input of the last norm. */
  readonly x: Tensor; // [m, d]
  readonly stats: NormStats | null;
  /** What the head reads. */
  readonly h: Tensor; // [m, d]
}

/**
 * Forward and backward passes of a transformer. Each saved tensor is freed as soon as its backward
 * pass has been computed. The lowest `recomputed` layers keep only their inputs: by the time of
 * their backward pass those above have freed what they kept.
 */
export class Transformer {
  /** Makes the image embeddings in texts; null: it is not loaded. */
  vision: VisionTower | null = null;
  /** Of the passes that train, since they were taken. */
  private expertCounts: readonly Float64Array[] = [];

  constructor(
    readonly ops: Ops,
    readonly spec: Spec,
    readonly body: Body,
    readonly recomputed = 0,
  ) {}

  /** Whether anything below the head trains. */
  get trains(): boolean {
    return this.lowestTrained() < Infinity || (this.vision?.trains ?? false);
  }

  /**
   * The head's input for the selected rows (null: all). With `train` it keeps what the backward
   * pass needs. Must be ended by `backward` or `release`.
   */
  async forward(
    input: ModelInput,
    selected: Int32Array | null,
    train: boolean,
    dropout: Dropout | null,
  ): Promise<ForwardPass> {
    const { ops, body } = this;
    const images = await placedVectors(this.vision, input, { train, dropout });
    const lowest = train ? this.lowestTrained(images) : Infinity;
    const encoded = await this.encode(input, train, dropout);
    const { scoreBiases = new Map<string, ScoreBias>() } = body;
    const embedded = body.embedding.forward(input, lowest < 0, dropout);
    const perLayer = body.perLayer?.forward(input, embedded.x, lowest < 0, dropout) ?? null;
    const source = encoded && this.sourceOf(encoded, input.length, train);
    const options = { dropout, scoreBiases, perLayer: perLayer && perLayer.pass, source };
    const context = openPass(ops, this.spec, input, options);
    const rows = selected && uploadRows(ops, selected, input.batch * input.length);
    if (lowest >= 0) body.embedding.release(embedded.saved);
    const kept: SavedLayer[] = [];
    const counts: Float64Array[] = [];
    const isSelectedToken = selected && selected.map((row) => input.attention_mask[row]!);
    let x = withVectors(ops, embedded.x, images);
    while (kept.length < body.layers.length) {
      const first = kept.length;
      const policy = { rows: this.rowsInLayer(first, rows), keep: this.savePolicy(first, lowest) };
      const isToken = policy.rows ? isSelectedToken : input.attention_mask;
      const counting = train ? { ...context, expertCounter: { isToken, counts } } : context;
      const layers = body.layers.slice(first, this.endOfGroup(first, lowest, images));
      const output = await layersForward(counting, layers, x, policy);
      kept.push(...output.kept);
      const last = kept.length - 1;
      const place = { layer: last, selected: this.rowsInLayer(last, selected) };
      x = withDeepstack(ops, output.y, images, place);
      await ops.yieldPoint();
    }
    this.expertCounts = addCounts(this.expertCounts, counts);
    const normed = body.norm ? normForward(ops, body.norm, x) : { h: x, stats: null };
    const below = { embedded: embedded.saved, perLayer: perLayer && perLayer.saved, encoded };
    return { input, context, rows, selected, lowest, ...below, images, kept, x, ...normed };
  }

  /** How often each mixture chose each expert in the passes that trained since the last call. */
  takeExpertCounts(): readonly Float64Array[] {
    const counts = this.expertCounts;
    this.expertCounts = [];
    return counts;
  }

  /** What the encoder makes of its part of the input; null without an encoder. */
  private async encode(
    { source }: ModelInput,
    train: boolean,
    dropout: Dropout | null,
  ): Promise<ForwardPass | null> {
    const { encoder } = this.body;
    if (!encoder) return null;
    if (!source) throw new Error('The input has nothing for the encoder.');
    return encoder.forward(source, null, train, dropout);
  }

  private sourceOf({ h, input }: ForwardPass, queries: number, train: boolean): SourcePass {
    const wantsGradient = train && (this.body.encoder?.trains ?? false);
    return openSource(this.ops, { h, input, wantsGradient }, queries);
  }

  /** Accumulates the gradients for dh [m, d], which it frees, and ends the pass. */
  async backward(pass: ForwardPass, dh: Tensor): Promise<void> {
    const { ops, body } = this;
    const { context, kept, lowest, x, stats, images } = pass;
    const levels: (Tensor | null)[] = (images?.deepstack ?? []).map(() => null);
    let dx: Tensor | null =
      body.norm && stats ? await normBackwardAndFree(ops, body.norm, { x, stats }, dh) : dh;
    for (let i = kept.length - 1; dx && i >= Math.max(0, lowest);) {
      const rows = this.rowsInLayer(i, pass.rows);
      if (images?.passes.length && i < levels.length)
        levels[i] = gradientOfVectors(ops, dx, images, this.rowsInLayer(i, pass.selected));
      const first = Math.max(0, lowest, Math.min(i, levels.length));
      const gradient = { dy: dx, rows, wantsInput: first > lowest };
      const layers = body.layers.slice(first, i + 1);
      const result = await layersBackward(context, layers, kept.slice(first, i + 1), gradient);
      dx = result.dx;
      for (const end = i - result.count; i > end; i--) kept[i] = { keep: 'nothing' };
      await ops.yieldPoint();
    }
    if (dx && lowest < 0) await this.embeddingBackward(pass, dx, levels);
    else if (dx) ops.free(dx);
    await this.biasBackward(context);
    const encoded = await this.encoderBackward(pass);
    const ended = lowest < 0 ? { perLayer: null, images: null } : {};
    this.release({ ...pass, encoded, ...ended });
  }

  /** The tables of biases by distance that layers share. */
  private async biasBackward({ seen }: PassContext): Promise<void> {
    const done = new Set<string>();
    for (const { attention } of this.spec.layers) {
      const [key, bias] = [windowKey(attention), biasOf(attention, this.body.scoreBiases)];
      const own = seen.get(key);
      if (own && bias && !done.has(key)) await accumulateBias(own, bias);
      done.add(key);
    }
  }

  /** Ends the encoder's pass if there is a gradient of its output; else returns it. */
  private async encoderBackward({ context, encoded }: ForwardPass): Promise<ForwardPass | null> {
    const { encoder } = this.body;
    const gradient = context.source?.gradient;
    if (!encoder || !encoded || !context.source || !gradient) return encoded;
    context.source.gradient = null;
    await encoder.backward(encoded, gradient);
    return null;
  }

  /** What is below the layers. Frees dx and those of DeepStack, and what was saved of them. */
  private async embeddingBackward(
    pass: ForwardPass,
    dx: Tensor,
    levels: readonly (Tensor | null)[],
  ): Promise<void> {
    const { ops } = this;
    const { embedding, perLayer } = this.body;
    const { input, context } = pass;
    const { dropout } = context;
    const more =
      perLayer && pass.perLayer && context.perLayer
        ? await perLayer.backward(input, context.perLayer, pass.perLayer, {
            wantsX: embedding.trains,
            dropout,
          })
        : null;
    const sum = more ? sumAndFree(ops, [dx, more]) : dx;
    const passes = pass.images?.passes ?? [];
    if (this.vision && pass.images && passes.length > 0) {
      const vectors = gradientOfVectors(ops, sum, pass.images, null);
      await this.vision.backward(passes, { vectors, deepstack: levels });
    }
    if (embedding.trains) {
      const own = pass.images ? withoutVectors(ops, sum, pass.images) : sum;
      await embedding.backward(input, own, pass.embedded, dropout);
    } else {
      ops.free(sum);
      embedding.release(pass.embedded);
    }
  }

  /** Ends a pass without a backward pass: frees what it holds. */
  release({ context, rows, x, stats, h, kept, perLayer, encoded, images }: ForwardPass): void {
    const { ops } = this;
    if (images) this.vision?.release(images.passes);
    if (encoded) this.body.encoder?.release(encoded);
    if (perLayer) this.body.perLayer?.release(perLayer);
    for (const layer of kept) freeSavedLayer(ops, layer);
    ops.free(
      x,
      ...(h === x ? [] : [h]),
      ...(stats ? statsTensors(stats) : []),
      ...(rows ? [rows.indices, rows.inverse] : []),
    );
    closePass(context);
  }

  private savePolicy(layer: number, lowest: number): SavePolicy {
    if (layer < lowest) return 'nothing';
    return layer < this.recomputed ? 'input' : 'all';
  }

  /**
   * The end of the layers from `first` on that are computed in the same way, each directly after
   * the one before it.
   */
  private endOfGroup(first: number, lowest: number, images: PlacedVectors | null): number {
    const { length } = this.body.layers;
    const isAlone = first === length - 1 || first < (images?.deepstack.length ?? 0);
    const keep = this.savePolicy(first, lowest);
    let end = first + 1;
    while (!isAlone && end < length - 1 && this.savePolicy(end, lowest) === keep) end++;
    return end;
  }

  /** Rows are selected in the last layer only. */
  private rowsInLayer<R>(layer: number, rows: R | null): R | null {
    return layer === this.body.layers.length - 1 ? rows : null;
  }

  /**
   * The lowest layer in which something trains: -1 for the embedding, the number of layers for the
   * last norm, Infinity for none. `images`: those of the input, whose tower is below all.
   */
  private lowestTrained(images: PlacedVectors | null = null): number {
    const { embedding, layers, norm, perLayer, encoder } = this.body;
    if (images?.passes.length) return -1;
    if (embedding.trains || perLayer?.trains) return -1;
    if (encoder?.trains) return 0; // all layers read what it makes
    const first = layers.findIndex(isLayerTrained);
    if (first >= 0) return first;
    return isNormTrained(norm) ? layers.length : Infinity;
  }
}

function uploadRows(ops: Ops, rows: Int32Array, n: number): SelectedRows {
  const inverse = new Int32Array(n).fill(rows.length);
  rows.forEach((row, i) => (inverse[row] = i));
  return { indices: ops.upload(rows, [rows.length]), inverse: ops.upload(inverse, [n]) };
}
