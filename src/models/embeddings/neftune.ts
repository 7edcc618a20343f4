import { createRandom } from '../../shared/random';
import type { EmbeddingNoise, ModelInput } from '../model';

/**
 * NEFTune (Jain et al. 2023), as transformers adds it to the token embeddings [batch, length, d]:
 * uniform between -m and m, m = alpha / √(L d). L is the length of the longest row: further padding
 * of a batch also gets noise, but no attention. The same numbers for the same seed.
 */
export function neftuneNoise(
  { batch, length, attention_mask }: Pick<ModelInput, 'batch' | 'length' | 'attention_mask'>,
  d: number,
  { alpha, seed }: EmbeddingNoise,
): Float32Array {
  let longest = 0;
  for (let row = 0; row < batch; row++)
    longest = Math.max(
      longest,
      attention_mask.subarray(row * length, (row + 1) * length).lastIndexOf(1) + 1,
    );
  const limit = alpha / Math.sqrt(Math.max(1, longest) * d);
  const random = createRandom(seed, 'neftune');
  const noise = new Float32Array(batch * length * d);
  for (let i = 0; i < noise.length; i++) noise[i] = limit * (2 * random() - 1);
  return noise;
}
