import { positionsOf } from '../formats/architecture/positions';
import { LoraError } from '../shared/errors';
import { createRandom } from '../shared/random';
import type { AttentionCache, SelectedRows } from './attention/attentionBranch';
import { layerPrefill, layerStep } from './layers/layer';
import { lmLogits, type LmHead } from './heads/lmHead';
import { normForward, statsTensors } from './layers/norm';
import type { Tensor } from './ops/ops';
import type { Transformer } from './transformer';
import type { GenerateOptions } from './model';
import { ropeKey } from './weightLoader';

/**
 * New token ids after `input_ids`, the stop id excluded: the prompt in one pass, then token by
 * token over cached keys and values.
 */
export async function generateTokens(
  body: Transformer,
  head: LmHead,
  input_ids: readonly number[],
  options: GenerateOptions,
): Promise<number[]> {
  const session = new Session(body, head);
  const made: number[] = [];
  try {
    const most = Math.min(options.max_new_tokens, roomFor(body, input_ids.length));
    let logits = await session.prefill(Int32Array.from(input_ids));
    while (made.length < most) {
      const id = choose(logits, options, made.length);
      if (options.stop_ids.includes(id)) break;
      made.push(id);
      if (options.onToken?.(id) === false || made.length === most) break;
      await body.ops.yieldPoint();
      logits = await session.next(id);
    }
    return made;
  } finally {
    session.dispose();
  }
}

/**
 * Tokens that can still follow. Errors: LoraError('usage') where the prompt alone has more tokens
 * than the model has positions.
 */
function roomFor({ spec }: Transformer, length: number): number {
  const positions = positionsOf(spec);
  if (length <= positions) return positions - length + 1;
  throw new LoraError(
    'usage',
    `The prompt has ${length} tokens, the model has positions for ${positions}.`,
    { fix: 'Shorten it.' },
  );
}

/** One sequence and its cache. */
class Session {
  private caches: AttentionCache[] = [];
  private length = 0;

  constructor(
    private readonly transformer: Transformer,
    private readonly head: LmHead,
  ) {}

  /** Logits after the last token of the prompt [vocab]. */
  async prefill(ids: Int32Array): Promise<Float32Array> {
    const {
      ops,
      body: { embedding, layers },
    } = this.transformer;
    const input = {
      batch: 1,
      length: ids.length,
      input_ids: ids,
      attention_mask: new Int32Array(ids.length).fill(1),
    };
    const pass = this.transformer.openPass(input, null);
    const indices = ops.upload(Int32Array.of(ids.length - 1), [1]);
    const last: SelectedRows = { indices, inverse: indices };
    let { x } = embedding.forward(input, false);
    for (const [i, layer] of layers.entries()) {
      const { y, cache } = layerPrefill(ops, layer, x, pass, i === layers.length - 1 ? last : null);
      this.caches.push(cache);
      x = y;
      await ops.yieldPoint();
    }
    ops.free(indices);
    this.transformer.closePass(pass);
    this.length = ids.length;
    return this.logits(x);
  }

  async next(id: number): Promise<Float32Array> {
    const { transformer } = this;
    const {
      ops,
      spec,
      body: { embedding, layers },
    } = transformer;
    const input = {
      batch: 1,
      length: 1,
      input_ids: Int32Array.of(id),
      attention_mask: Int32Array.of(1),
      position_ids: Int32Array.of(this.length),
    };
    const turns = new Map(spec.layers.map(({ attention }) => [ropeKey(attention), attention]));
    const made = new Map(
      [...turns].map(([key, attention]) => [key, transformer.uploadRotaryTable(attention, input)]),
    );
    let { x } = embedding.forward(input, false);
    layers.forEach((layer, i) => {
      const { y, cache } = layerStep(
        ops,
        layer,
        x,
        this.caches[i]!,
        transformer.shapeOf(1, 1),
        made.get(layer.attention.ropeKey)!,
        spec.layers[i]!.attention.window,
      );
      this.caches[i] = cache;
      x = y;
    });
    for (const turn of made.values()) transformer.freeRotaryTable(turn);
    this.length++;
    return this.logits(x);
  }

  dispose(): void {
    for (const { k, v } of this.caches) this.transformer.ops.free(k, v);
    this.caches = [];
  }

  /** Takes x over. */
  private async logits(x: Tensor): Promise<Float32Array> {
    const {
      ops,
      body: { norm },
    } = this.transformer;
    if (!norm) return lmLogits(ops, this.head, x).finally(() => ops.free(x));
    const { h, stats } = normForward(ops, norm, x);
    ops.free(x, ...statsTensors(stats));
    return lmLogits(ops, this.head, h).finally(() => ops.free(h));
  }
}

/**
 * The largest logit, or a draw from softmax(logits / temperature) that depends on the seed and on
 * the token's number alone.
 */
function choose(
  logits: Float32Array,
  { temperature, seed }: GenerateOptions,
  number: number,
): number {
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
