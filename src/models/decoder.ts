import { contextOf } from '../formats/architecture/positions';
import type { AttentionSpec } from '../formats/architecture/spec';
import type { Products } from '../shared/products';
import type { RotaryTable, SeenKeys } from './attention/attention';
import { cachedNumbers } from './attention/cachedNumbers';
import { freeChunks, uploadChunks } from './attention/chunks';
import {
  biasOf,
  closePass,
  freeRotaryTables,
  openPass,
  ropeKey,
  uploadRotaryTables,
  windowKey,
  type PassContext,
} from './attention/passContext';
import { BLOCK_ROWS } from './attention/rowBlocks';
import type { ScoreBias } from './attention/scoreBias';
import { freeSeenKeys } from './attention/seenKeys';
import { openSource } from './attention/sourcePass';
import { inputAt, lastQuery, layerVectors } from './decoderInputs';
import { draftChecks } from './drafts/draftChecks';
import { stepTokens, type StepTokens } from './drafts/stepTokens';
import { freePerLayerPass } from './embeddings/perLayerInputs';
import type { LmHead } from './heads/lmHead';
import { lmLogits, lmNextLogits, nextLogits } from './heads/lmOutputs';
import { applySoftcap } from './layers/activation';
import { firstTokens, fusedStep, plainModel, trimCaches } from './layers/fusedStep';
import { layerPrefill, layerStep, type LayerDecodeStep } from './layers/layer';
import { normForward, statsTensors } from './layers/norm';
import type {
  Decoder,
  DraftChecks,
  ModelInput,
  NextLogits,
  PromptImages,
  ReadOptions,
  Sequence,
  SourceInput,
} from './model';
import { thenFree, type Tensor } from './ops/ops';
import { PromptTooLong } from './promptTooLong';
import type { Transformer } from './transformer';
import {
  placedVectors,
  vectorsWithin,
  withDeepstack,
  withVectors,
  type PlacedVectors,
} from './vision/placedVectors';

/**
 * Tokens of a prompt that are read at once: an operation on so many ends soon, including for a
 * large model, and the products are no slower than for more. A multiple of attention's row blocks.
 */
export const CHUNK_TOKENS = 4 * BLOCK_ROWS;

/** The images of some tokens of a prompt. */
interface ChunkImages {
  readonly vectors: PlacedVectors;
  readonly positions: Pick<ModelInput, 'position_ids' | 'spatial_ids'>;
}

interface ReadLayersOptions extends Required<Pick<ReadOptions, 'all' | 'isStopped'>> {
  /** Null: the prompt has none. */
  readonly images: ChunkImages | null;
}

interface DecoderSettings {
  /** Throws for ids that the embedding lacks. */
  readonly checkIds: (ids: ArrayLike<number>) => void;
  /** Of steps. */
  readonly products: Products;
}

/** The decoder of a causal language model, which keeps keys and values. */
export class CachingDecoder implements Decoder {
  /** Null if the fused kernel does not compute the model. */
  private readonly plain: ReturnType<typeof plainModel>;
  private readonly checks = draftChecks();

  constructor(
    private readonly transformer: Transformer,
    private readonly head: LmHead,
    private readonly settings: DecoderSettings,
  ) {
    this.plain = plainModel(transformer.spec, transformer.body, head);
  }

  get copiesParts(): boolean {
    return !this.isRecurrent && !this.transformer.spec.source;
  }

  get startIds(): readonly number[] {
    const { source } = this.transformer.spec;
    return source ? [source.start_id] : [];
  }

  private get isRecurrent(): boolean {
    return this.transformer.spec.layers.some(({ attention }) => attention.delta);
  }

  bytesOf(length: number): number {
    return this.transformer.spec.layers.reduce(
      (sum, { attention }) => sum + 4 * cachedNumbers(attention, length),
      0,
    );
  }

  open(): Sequence {
    return { caches: [], length: 0, capacity: 0 };
  }

  remainingPositions(length: number): number {
    const positions = contextOf(this.transformer.spec);
    if (length <= positions) return positions - length + 1;
    throw new PromptTooLong(length, `the model has positions for ${positions}`);
  }

  read(
    sequence: Sequence,
    ids: Int32Array,
    { isLast, all = false, isStopped = () => false, images }: ReadOptions,
  ): Promise<Float32Array | null | 'stopped'> {
    return this.emptyingOnError([sequence], async () => {
      this.settings.checkIds(ids);
      const { ops, spec } = this.transformer;
      trimCaches(ops, sequence);
      sequence.drafted = 0;
      if (spec.source) sequence.prompt = [...(sequence.prompt ?? []), ...ids];
      if (spec.source && !isLast) return null;
      const own = images ? await this.imagesWithin(images, sequence.length, ids.length) : null;
      const x = spec.source
        ? await this.readSource(sequence, spec.source.start_id, isStopped)
        : await this.readLayers(sequence, ids, { all, isStopped, images: own });
      if (images) sequence.shift = images.next - images.times.length;
      if (x && (isLast || all)) return this.logits(x, 'exact');
      if (x) ops.free(x);
      else this.close(sequence);
      return x ? null : 'stopped';
    });
  }

  get drafts(): DraftChecks | null {
    return this.plain && this.transformer.ops.fused ? this.checks : null;
  }

  step(
    sequences: readonly Sequence[],
    ids: readonly number[],
    drafts?: readonly (readonly number[])[],
    temperatures?: readonly number[],
  ): Promise<NextLogits[]> {
    return this.emptyingOnError(sequences, async () => {
      const start = performance.now();
      const tokens = stepTokens(sequences, ids, drafts);
      this.settings.checkIds(tokens.ids);
      const { ops, spec, body } = this.transformer;
      const input = inputAt(tokens.ids, tokens.positions);
      const tables = uploadRotaryTables(ops, spec, { ...input, areApart: true });
      const { x } = body.embedding.forward(input, false);
      const drawn = temperatures?.flatMap((own, i) => repeated(own, tokens.counts[i]!)) ?? null;
      const z = this.plain && this.fusedLogits(x, tables, tokens);
      if (!z && drafts) throw new RangeError('The model checks no drafts.');
      const next = z
        ? await nextLogits(ops, z, drawn).finally(() => ops.free(z))
        : await this.steppedLogits(x, input, { tables, sequences, temperatures: drawn });
      freeRotaryTables(ops, tables);
      sequences.forEach((sequence, i) => {
        sequence.length++;
        sequence.drafted = drafts?.[i]!.length ?? 0;
      });
      this.checks.times.add(tokens.ids.length, performance.now() - start);
      return next;
    });
  }

  /** Logits [m, vocab] of x [m, d], which is freed; null where the fused kernel cannot do it. */
  private fusedLogits(
    x: Tensor,
    tables: ReadonlyMap<string, RotaryTable>,
    tokens: StepTokens,
  ): Tensor | null {
    const { ops } = this.transformer;
    const { softcap } = this.head;
    const { products } = this.settings;
    const z = this.plain && fusedStep(this.plain, { ops, products, tables, ...tokens }, x);
    return z && softcap !== null ? applySoftcap(ops, z, softcap) : z;
  }

  /** The same layer by layer. */
  private async steppedLogits(
    embedded: Tensor,
    input: ModelInput,
    {
      tables,
      sequences,
      temperatures,
    }: {
      readonly tables: ReadonlyMap<string, RotaryTable>;
      readonly sequences: readonly Sequence[];
      readonly temperatures: readonly number[] | null;
    },
  ): Promise<NextLogits[]> {
    const { ops, spec, body } = this.transformer;
    const { products } = this.settings;
    const shape = { batch: 1, length: sequences.length };
    for (const sequence of sequences) trimCaches(ops, sequence);
    const chunks = this.isRecurrent ? uploadChunks(ops, { batch: 1, length: 1 }) : null;
    const seenBy = new Map<string, readonly SeenKeys[]>();
    let x = embedded;
    const perLayer = body.perLayer?.forward(input, x, false).pass ?? null;
    for (const [i, layer] of body.layers.entries()) {
      const { attention } = spec.layers[i]!;
      const rope = tables.get(ropeKey(attention))!;
      const key = windowKey(attention);
      const seen = seenBy.get(key) ?? this.seenByLast(attention, sequences);
      seenBy.set(key, seen);
      const v = layerVectors(ops, perLayer, layer);
      const sources = sequences.flatMap((own) => own.sources?.[i] ?? []);
      const own = { ops, products, shape, rope, chunks, seen, v, sources };
      x = await this.stepOfLayer(own, { i, x, sequences });
    }
    for (const seen of seenBy.values()) seen.forEach((own) => freeSeenKeys(ops, own));
    if (chunks) freeChunks(ops, chunks);
    if (perLayer) freePerLayerPass(ops, perLayer);
    const h = this.normed(x);
    const computation = { ops, dropout: null, products };
    return lmNextLogits(computation, this.head, h, temperatures).finally(() => ops.free(h));
  }

  /** What the next token of each sequence sees of it. */
  private seenByLast(attention: AttentionSpec, sequences: readonly Sequence[]): SeenKeys[] {
    const { scoreBiases } = this.transformer.body;
    const bias = biasOf(attention, scoreBiases);
    return sequences.map(({ length }) => lastQuery(length + 1, attention.window, bias));
  }

  copy({ caches, sources, prompt, shift = 0 }: Sequence, length: number): Sequence {
    const { ops, spec } = this.transformer;
    const whole = (x: Tensor) => ops.reshape(x, x.shape);
    const owners = spec.layers.filter(({ attention }) => attention.keys_of === undefined);
    const copies = caches.map((cache, i) =>
      owners[i]!.attention.delta
        ? { k: whole(cache.k), v: whole(cache.v) }
        : firstTokens(ops, cache, length),
    );
    return {
      caches: copies,
      length,
      capacity: 0,
      shift,
      ...(prompt && { prompt }),
      ...(sources && { sources: sources.map(({ k, v }) => ({ k: whole(k), v: whole(v) })) }),
    };
  }

  close(sequence: Sequence): void {
    const { caches, sources = [] } = sequence;
    for (const { k, v } of [...caches, ...sources]) this.transformer.ops.free(k, v);
    sequence.caches = [];
    sequence.length = 0;
    sequence.capacity = 0;
    sequence.drafted = 0;
    sequence.sources = [];
    sequence.prompt = [];
    sequence.shift = 0;
  }

  /** Tensors of interrupted work are freed. */
  private async emptyingOnError<T>(
    sequences: readonly Sequence[],
    work: () => Promise<T>,
  ): Promise<T> {
    const { ops } = this.transformer;
    const mark = ops.mark();
    const before = sequences.map(({ caches, sources = [] }) => new Set([...caches, ...sources]));
    try {
      return await work();
    } catch (error) {
      sequences.forEach((sequence, i) => {
        sequence.caches = sequence.caches.filter((cache) => before[i]!.has(cache));
        sequence.sources = sequence.sources?.filter((cache) => before[i]!.has(cache)) ?? [];
        this.close(sequence);
      });
      ops.freeSince(mark);
      throw error;
    }
  }

  /**
   * The whole prompt by the encoder, and the first token by the decoder: the last layer's output
   * [1, d]; null once `isStopped`.
   */
  private async readSource(
    sequence: Sequence,
    start_id: number,
    isStopped: () => boolean,
  ): Promise<Tensor | null> {
    const { body } = this.transformer;
    const ids = Int32Array.from(sequence.prompt ?? []);
    const input = inputAt(ids, Int32Array.from(ids.keys()));
    const pass = await body.encoder!.forward(input, null, false, null);
    const source = { h: pass.h, input };
    const start = Int32Array.of(start_id);
    const x = await this.readLayers(
      sequence,
      start,
      { all: false, isStopped, images: null },
      source,
    );
    body.encoder!.release(pass);
    return x;
  }

  /** The part of a prompt's images that belongs to `length` of its tokens. */
  private async imagesWithin(
    { times, heights, widths, placed }: PromptImages,
    from: number,
    length: number,
  ): Promise<ChunkImages | null> {
    const vectors = await placedVectors(this.transformer.vision, { placed_images: placed });
    const part = (positions: Int32Array) => positions.slice(from, from + length);
    return (
      vectors && {
        vectors: vectorsWithin(vectors, from, from + length),
        positions: {
          position_ids: part(times),
          spatial_ids: { heights: part(heights), widths: part(widths) },
        },
      }
    );
  }

  /** The last layer's output of the last [1, d] or all of m more tokens; null once `isStopped`. */
  private async readLayers(
    sequence: Sequence,
    ids: Int32Array,
    { all, isStopped, images }: ReadLayersOptions,
    read: { readonly h: Tensor; readonly input: SourceInput } | null = null,
  ): Promise<Tensor | null> {
    const { ops, spec, body } = this.transformer;
    const { scoreBiases = new Map<string, ScoreBias>() } = body;
    const source = read && openSource(ops, { ...read, wantsGradient: false }, ids.length);
    const { shift = 0 } = sequence;
    const plain = inputAt(
      ids,
      ids.map((_, i) => sequence.length + shift + i),
    );
    const input = images ? { ...plain, ...images.positions } : plain;
    const embedded = body.embedding.forward(input, false);
    const vectors = images?.vectors ?? null;
    let x = withVectors(ops, embedded.x, vectors);
    const perLayer = body.perLayer?.forward(input, x, false).pass ?? null;
    const first = sequence.length;
    const pass = openPass(ops, spec, input, { first, perLayer, scoreBiases, source });
    const last = ops.upload(Int32Array.of(ids.length - 1), [1]);
    let stopped = isStopped();
    for (let i = 0; i < body.layers.length && !stopped; i++) {
      x = await this.readInLayer(pass, i, x, sequence);
      x = withDeepstack(ops, x, vectors, { layer: i, selected: null });
      await ops.yieldPoint();
      stopped = isStopped();
    }
    if (!all) x = thenFree(ops, ops.gather(x, last), x);
    ops.free(last);
    closePass(pass);
    sequence.length += ids.length;
    if (!stopped) return x;
    ops.free(x);
    return null;
  }

  /** x [m, d] -> y [m, d] of a layer, whose cache grows by m tokens. Frees x. */
  private async readInLayer(
    pass: PassContext,
    i: number,
    x: Tensor,
    sequence: Sequence,
  ): Promise<Tensor> {
    const layer = this.transformer.body.layers[i]!;
    if (sequence.length > 0)
      return this.stepOfLayer(this.chunkStep(pass, i), { i, x, sequences: [sequence] });
    const { y, cache, source } = await layerPrefill(pass, layer, x);
    if (cache) sequence.caches[this.cacheOf(i)] = cache;
    if (source) (sequence.sources ??= []).push(source);
    return y;
  }

  private chunkStep(pass: PassContext, i: number): LayerDecodeStep {
    const { spec, body } = this.transformer;
    const { attention } = spec.layers[i]!;
    return {
      ops: pass.ops,
      products: 'exact',
      shape: pass.shape,
      rope: pass.ropeTables.get(ropeKey(attention))!,
      chunks: pass.chunks,
      seen: [pass.seen.get(windowKey(attention))!],
      v: layerVectors(pass.ops, pass.perLayer, body.layers[i]!),
      sources: [],
    };
  }

  /**
   * The index of the keys and values that layer i uses; layers that share keys have none of their
   * own.
   */
  private cacheOf(i: number): number {
    const { layers } = this.transformer.spec;
    const owner = layers[i]!.attention.keys_of ?? i;
    return layers.slice(0, owner).filter(({ attention }) => attention.keys_of === undefined).length;
  }

  /** Layer i, whose caches grow. Frees x. */
  private async stepOfLayer(
    step: LayerDecodeStep,
    { i, x, sequences }: { i: number; x: Tensor; sequences: readonly Sequence[] },
  ): Promise<Tensor> {
    const place = this.cacheOf(i);
    const caches = sequences.map((own) => own.caches[place]!);
    try {
      return await layerStep(step, this.transformer.body.layers[i]!, x, caches);
    } finally {
      // also after an error: those that were replaced are freed
      sequences.forEach((own, at) => (own.caches[place] = caches[at]!));
    }
  }

  /** Logits [n · vocab] of x [n, d], which is freed. */
  private async logits(x: Tensor, products: Products): Promise<Float32Array> {
    const { ops } = this.transformer;
    const h = this.normed(x);
    return lmLogits(ops, this.head, h, products).finally(() => ops.free(h));
  }

  /** The head's input of x, which is freed. */
  private normed(x: Tensor): Tensor {
    const { ops, body } = this.transformer;
    if (!body.norm) return x;
    const { h, stats } = normForward(ops, body.norm, x);
    ops.free(x, ...statsTensors(stats));
    return h;
  }
}

const repeated = (number: number, count: number): number[] => new Array<number>(count).fill(number);
