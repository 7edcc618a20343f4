import { positionsOf } from '../formats/architecture/positions';
import { LoraError } from '../shared/errors';
import { createRandom } from '../shared/random';
import type { AttentionCache, DecodeStep } from './attention/attentionBranch';
import {
  attentionShape,
  closePass,
  freeRotaryTables,
  openPass,
  uploadRotaryTables,
  type PassContext,
} from './attention/passContext';
import { BLOCK_ROWS, type RowBlock } from './attention/rowBlocks';
import type { LmHead } from './heads/lmHead';
import { lmLogits } from './heads/lmOutputs';
import { layerPrefill, layerStep, type LayerWeights } from './layers/layer';
import { normForward, statsTensors } from './layers/norm';
import type { GenerateOptions, ModelInput } from './model';
import { thenFree, type Tensor } from './ops/ops';
import type { Transformer } from './transformer';
import { countOf } from '../shared/values';

/**
 * New token ids after `input_ids`, without the stop id: the prompt in one pass, then token by token
 * over cached keys and values.
 *
 * @throws LoraError('usage') if the prompt has more tokens than the model has positions.
 */
export async function generateTokens(
  transformer: Transformer,
  head: LmHead,
  input_ids: readonly number[],
  options: GenerateOptions,
): Promise<number[]> {
  const decoder = new Decoder(transformer, head);
  const generated: number[] = [];
  try {
    const isStopped = options.isStopped ?? (() => false);
    const positions = remainingPositions(transformer, input_ids.length);
    const most = Math.min(options.max_new_tokens, positions);
    let logits = await decoder.prefill(Int32Array.from(input_ids), isStopped);
    while (logits && generated.length < most) {
      const id = sampleToken(logits, options, generated.length);
      if (options.stop_ids.includes(id)) break;
      generated.push(id);
      if (options.onToken?.(id) === false || generated.length === most) break;
      await transformer.ops.yieldPoint();
      logits = await decoder.next(id);
    }
    return generated;
  } finally {
    decoder.dispose();
  }
}

/** Number of tokens that can follow a prompt of `length` tokens. */
function remainingPositions({ spec }: Transformer, length: number): number {
  const positions = positionsOf(spec);
  if (length <= positions) return positions - length + 1;
  throw new LoraError(
    'usage',
    `The prompt has ${countOf(length, 'token')}, the model has positions for ${positions}.`,
    { fix: 'Shorten it.' },
  );
}

/**
 * Tokens of a prompt that are read at once: an operation on so many ends soon, also for a large
 * model, and the products are no slower than for more. A multiple of attention's row blocks.
 */
export const CHUNK_TOKENS = 4 * BLOCK_ROWS;

/** Tokens of one sequence, of which the first has this position. */
const inputAt = (position: number, ids: Int32Array): ModelInput => ({
  batch: 1,
  length: ids.length,
  input_ids: ids,
  attention_mask: new Int32Array(ids.length).fill(1),
  position_ids: ids.map((_, i) => position + i),
});

const decodeStep = (pass: PassContext, { attention }: LayerWeights): DecodeStep => ({
  ops: pass.ops,
  shape: pass.shape,
  rope: pass.ropeTables.get(attention.ropeKey)!,
  rowBlocks: pass.rowBlocks.get(attention.windowKey)!,
});

/** The last of `length` tokens as a row block. */
const lastQuery = (length: number, window: number | null): RowBlock => ({
  start: 0,
  end: 1,
  from: window === null ? 0 : Math.max(0, length - window),
  to: length,
  mask: null,
});

/** One sequence and its KV cache. */
class Decoder {
  /** Of each layer. */
  private caches: AttentionCache[] = [];
  private length = 0;

  constructor(
    private readonly transformer: Transformer,
    private readonly head: LmHead,
  ) {}

  /**
   * Logits [vocab] after the last token of the prompt; null once `isStopped`. A long prompt is read
   * in chunks, so that a stop is noticed soon, whatever its length. The row blocks of attention are
   * those of the whole prompt.
   */
  async prefill(ids: Int32Array, isStopped: () => boolean): Promise<Float32Array | null> {
    const { ops } = this.transformer;
    for (let end = 0; end < ids.length;) {
      const start = end;
      end = Math.min(ids.length, start + CHUNK_TOKENS);
      const x = await this.readChunk(ids.subarray(start, end), isStopped);
      if (x && end === ids.length) return this.logits(x);
      if (!x) break;
      ops.free(x);
    }
    return null;
  }

  /** The last layer's output [1, d] for the last of m more tokens; null once `isStopped`. */
  private async readChunk(ids: Int32Array, isStopped: () => boolean): Promise<Tensor | null> {
    const { ops, spec, body } = this.transformer;
    const input = inputAt(this.length, ids);
    const pass = openPass(ops, spec, input, { first: this.length });
    const last = ops.upload(Int32Array.of(ids.length - 1), [1]);
    let { x } = body.embedding.forward(input, false);
    let stopped = isStopped();
    for (let i = 0; i < body.layers.length && !stopped; i++) {
      x = this.readInLayer(pass, i, x);
      await ops.yieldPoint();
      stopped = isStopped();
    }
    const row = thenFree(ops, ops.gather(x, last), x, last);
    closePass(pass);
    this.length += ids.length;
    if (!stopped) return row;
    ops.free(row);
    return null;
  }

  /** x [m, d] -> y [m, d] of a layer, whose cache grows by m tokens. Frees x. */
  private readInLayer(pass: PassContext, i: number, x: Tensor): Tensor {
    const layer = this.transformer.body.layers[i]!;
    const before = this.caches[i];
    const { y, cache } = before
      ? layerStep(decodeStep(pass, layer), layer, x, before)
      : layerPrefill(pass, layer, x);
    this.caches[i] = cache;
    return y;
  }

  /** Logits [vocab] after one more token. */
  async next(id: number): Promise<Float32Array> {
    const { ops, spec, body } = this.transformer;
    const input = inputAt(this.length, Int32Array.of(id));
    const ropeTables = uploadRotaryTables(ops, spec, input);
    const shape = attentionShape(spec, 1, 1);
    let { x } = body.embedding.forward(input, false);
    body.layers.forEach((layer, i) => {
      const rope = ropeTables.get(layer.attention.ropeKey)!;
      const rowBlocks = [lastQuery(this.length + 1, spec.layers[i]!.attention.window)];
      const { y, cache } = layerStep({ ops, shape, rope, rowBlocks }, layer, x, this.caches[i]!);
      this.caches[i] = cache;
      x = y;
    });
    freeRotaryTables(ops, ropeTables);
    this.length++;
    return this.logits(x);
  }

  dispose(): void {
    for (const { k, v } of this.caches) this.transformer.ops.free(k, v);
    this.caches = [];
  }

  /** Frees x [1, d]. */
  private async logits(x: Tensor): Promise<Float32Array> {
    const { ops, body } = this.transformer;
    if (!body.norm) return lmLogits(ops, this.head, x).finally(() => ops.free(x));
    const { h, stats } = normForward(ops, body.norm, x);
    ops.free(x, ...statsTensors(stats));
    return lmLogits(ops, this.head, h).finally(() => ops.free(h));
  }
}

/**
 * The largest logit, or a sample of softmax(logits / temperature), which depends on the seed and on
 * the number of the token alone.
 */
function sampleToken(
  logits: Float32Array,
  { temperature, seed }: GenerateOptions,
  number: number,
): number {
  const best = logits.reduce((at, z, i) => (z > logits[at]! ? i : at), 0);
  if (temperature === 0) return best;
  const weights = Float64Array.from(logits, (z) => Math.exp((z - logits[best]!) / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  let left = createRandom(seed, 'generate', number)() * total;
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return best;
}
