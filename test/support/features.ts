import type { Adapters } from '../../src/models/adapters';
import type { LabelledInput, Model } from '../../src/models/model';
import type { Transformer } from '../../src/models/transformer';

interface Parts {
  readonly transformer: Transformer;
  readonly adapters: Adapters;
}

const partsOf = (model: Model): Parts => (model as unknown as { readonly parts: Parts }).parts;

/**
 * Accumulates the gradients of the mean squared distance of the vectors from `target`, over the
 * tokens that the mask has, and returns that mean.
 */
export async function featureLoss(
  model: Model,
  input: LabelledInput,
  target: Float32Array,
): Promise<number> {
  const { transformer } = partsOf(model);
  const { ops } = transformer;
  const pass = await transformer.forward(input, null, true, null);
  const vectors = await ops.download(pass.h);
  const width = pass.h.shape[1]!;
  const count = width * input.attention_mask.reduce((sum, m) => sum + m, 0);
  let loss = 0;
  const slopes = vectors.map((v, i) => {
    const distance = input.attention_mask[Math.floor(i / width)] === 1 ? v - target[i]! : 0;
    loss += (distance * distance) / count;
    return (2 * distance) / count;
  });
  await transformer.backward(pass, ops.upload(slopes, pass.h.shape));
  return loss;
}
