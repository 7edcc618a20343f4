import { createRandom } from '../../shared/random';
import { largestOf } from './largest';
import type { LogitBlocks } from './logitBlocks';
import { processLogits, weightsOf } from './processLogits';
import { sampleOfBlocks } from './sampleOfBlocks';
import { isPenalized, leavesOut, type SamplingSettings, type TextSoFar } from './settings';

/**
 * The id of the next token. It depends on the seed and on the number of the token alone.
 *
 * @param blocks Those of the logits at this temperature, which spare looking at most of them.
 */
export function sampleToken(
  logits: Float32Array,
  settings: SamplingSettings,
  text: TextSoFar,
  blocks: LogitBlocks | null = null,
): number {
  const share = () => createRandom(settings.seed, 'generate', text.written.length)();
  const id = blocks && sampleOfBlocks(logits, blocks, { settings, text, share });
  return id ?? sampleOfAll(logits, settings, text, share);
}

function sampleOfAll(
  logits: Float32Array,
  settings: SamplingSettings,
  text: TextSoFar,
  share: () => number,
): number {
  const { temperature } = settings;
  if (temperature === 0 && !isPenalized(settings)) return largestOf(logits);
  const isPlain = temperature === 1 && !isPenalized(settings) && !leavesOut(settings);
  const scores = isPlain ? logits : processLogits(logits, settings, text);
  const best = largestOf(scores);
  if (temperature === 0) return best;
  const { weights, total } = weightsOf(scores, scores[best]!);
  let left = total * share();
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return best;
}
