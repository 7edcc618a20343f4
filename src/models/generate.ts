import { positionsOf } from '../formats/architecture/positions';
import { LoraError } from '../shared/errors';
import { createRandom } from '../shared/random';
import type { AttentionCache } from './attention/attentionBranch';
import {
  attentionShape,
  closePass,
  freeRotaryTables,
  openPass,
  uploadRotaryTables,
  type SelectedRows,
} from './attention/passContext';
import { lmLogits, type LmHead } from './heads/lmHead';
import { layerPrefill, layerStep } from './layers/layer';
import { normForward, statsTensors } from './layers/norm';
import type { GenerateOptions } from './model';
import type { Tensor } from './ops/ops';
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
    const positions = remainingPositions(transformer, input_ids.length);
    const most = Math.min(options.max_new_tokens, positions);
    let logits = await decoder.prefill(Int32Array.from(input_ids));
    while (generated.length < most) {
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

/** One sequence and its KV cache. */
class Decoder {
  /** Of each layer. */
  private caches: AttentionCache[] = [];
  private length = 0;

  constructor(
    private readonly transformer: Transformer,
    private readonly head: LmHead,
  ) {}

  /** Logits [vocab] after the last token of the prompt. */
  async prefill(ids: Int32Array): Promise<Float32Array> {
    const { ops, spec, body } = this.transformer;
    const input = {
      batch: 1,
      length: ids.length,
      input_ids: ids,
      attention_mask: new Int32Array(ids.length).fill(1),
    };
    const pass = openPass(ops, spec, input, null);
    const indices = ops.upload(Int32Array.of(ids.length - 1), [1]);
    const last: SelectedRows = { indices, inverse: indices };
    let { x } = body.embedding.forward(input, false);
    for (const [i, layer] of body.layers.entries()) {
      const rows = i === body.layers.length - 1 ? last : null;
      const { y, cache } = layerPrefill(pass, layer, x, rows);
      this.caches.push(cache);
      x = y;
      await ops.yieldPoint();
    }
    ops.free(indices);
    closePass(pass);
    this.length = ids.length;
    return this.logits(x);
  }

  /** Logits [vocab] after one more token. */
  async next(id: number): Promise<Float32Array> {
    const { ops, spec, body } = this.transformer;
    const input = {
      batch: 1,
      length: 1,
      input_ids: Int32Array.of(id),
      attention_mask: Int32Array.of(1),
      position_ids: Int32Array.of(this.length),
    };
    const ropeTables = uploadRotaryTables(ops, spec, input);
    const shape = attentionShape(spec, 1, 1);
    let { x } = body.embedding.forward(input, false);
    body.layers.forEach((layer, i) => {
      const rope = ropeTables.get(layer.attention.ropeKey)!;
      const { window } = spec.layers[i]!.attention;
      const { y, cache } = layerStep({ ops, shape, rope, window }, layer, x, this.caches[i]!);
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
