import { createRandom } from '../shared/random';
import { breathe } from './breathe';
import type { Decoder } from './decoder';
import { headLogits } from './head';
import { layerPrefill, layerStep, type LayerCache, type Rows } from './layer';
import type { Tensor } from './ops/types';
import type { GenerateOptions } from './types';

/** New token ids after `input_ids`, the stop id excluded: the prompt in one pass, then token by token over cached keys and values. */
export async function generate(decoder: Decoder, input_ids: readonly number[], options: GenerateOptions): Promise<number[]> {
  const session = new Session(decoder);
  const made: number[] = [];
  try {
    let logits = await session.prefill(Int32Array.from(input_ids));
    while (made.length < options.max_new_tokens) {
      const id = choose(logits, options, made.length);
      if (options.stop_ids.includes(id)) break;
      made.push(id);
      if (options.onToken?.(id) === false || made.length === options.max_new_tokens) break;
      logits = await session.next(id);
    }
    return made;
  } finally {
    session.dispose();
  }
}

/** One sequence and its cache. */
class Session {
  private caches: LayerCache[] = [];
  private length = 0;

  constructor(private readonly decoder: Decoder) {}

  /** Logits after the last token of the prompt [vocab]. */
  async prefill(ids: Int32Array): Promise<Float32Array> {
    const { decoder } = this;
    const { ops, weights: { layers } } = decoder;
    const pass = decoder.openPass({ batch: 1, length: ids.length, input_ids: ids, attention_mask: new Int32Array(ids.length).fill(1) }, null);
    const last: Rows = { indices: ops.upload(Int32Array.of(ids.length - 1), [1]), inverse: pass.table };
    let x = decoder.embedding.forward(ids);
    for (const [i, layer] of layers.entries()) {
      const { y, cache } = layerPrefill(ops, layer, x, pass, i === layers.length - 1 ? last : null);
      this.caches.push(cache);
      x = y;
      await breathe();
    }
    ops.free(last.indices);
    decoder.closePass(pass);
    this.length = ids.length;
    return this.logits(x);
  }

  async next(id: number): Promise<Float32Array> {
    const { ops, weights, embedding } = this.decoder;
    const table = this.decoder.table(this.length, 1, 1);
    let x = embedding.forward(Int32Array.of(id));
    weights.layers.forEach((layer, i) => {
      const { y, cache } = layerStep(ops, layer, x, this.caches[i]!, this.decoder.shapeOf(1, 1), table);
      this.caches[i] = cache;
      x = y;
    });
    ops.free(table);
    this.length++;
    return this.logits(x);
  }

  dispose(): void {
    for (const { k, v } of this.caches) this.decoder.ops.free(k, v);
    this.caches = [];
  }

  private logits(x: Tensor): Promise<Float32Array> {
    const { ops, weights, arch } = this.decoder;
    return headLogits(ops, { norm: weights.norm, output: weights.output }, x, arch.vocab_size);
  }
}

/** The largest logit, or a draw from softmax(logits / temperature) that depends on the seed and on the token's number alone. */
function choose(logits: Float32Array, { temperature, seed }: GenerateOptions, number: number): number {
  const best = logits.reduce((at, z, i) => (z > logits[at]! ? i : at), 0);
  if (temperature === 0) return best;
  const weights = Float64Array.from(logits, (z) => Math.exp((z - logits[best]!) / temperature));
  let left = createRandom(seed, 'generate', number)() * weights.reduce((a, b) => a + b, 0);
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return best;
}
