import type { SamplingSettings, TextSoFar } from './settings';

/**
 * What becomes of the logits of tokens that the text has: the repetition penalty of transformers,
 * then OpenAI's penalties of what was written, which transformers lacks.
 */
export function penalizedLogits(
  logits: Float32Array,
  settings: SamplingSettings,
  { prompt, written }: TextSoFar,
): ReadonlyMap<number, number> {
  const { repetition_penalty = 1, frequency_penalty = 0, presence_penalty = 0 } = settings;
  const changed = new Map<number, number>();
  const take = (id: number, amount: number) =>
    changed.set(id, (changed.get(id) ?? logits[id]!) - amount);
  if (repetition_penalty !== 1)
    for (const ids of [prompt, written])
      for (const id of ids) changed.set(id, repeated(logits[id]!, repetition_penalty));
  if (frequency_penalty !== 0) for (const id of written) take(id, frequency_penalty);
  if (presence_penalty !== 0) for (const id of new Set(written)) take(id, presence_penalty);
  return changed;
}

const repeated = (z: number, penalty: number): number => (z < 0 ? z * penalty : z / penalty);
