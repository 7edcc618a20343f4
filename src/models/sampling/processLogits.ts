import { exponential } from '../exponential';
import { heaviest, largest, largestOf } from './largest';
import { penalizedLogits } from './penalties';
import { isPenalized, type SamplingSettings, type TextSoFar } from './settings';

/**
 * The scores of all tokens as LogitsProcessors of transformers leave them, in its order: repetition
 * penalty, temperature (unless it is 0), top_k, top_p, min_p. After the first one come OpenAI's
 * penalties of what was written. A token that is left out has -Infinity.
 */
export function processLogits(
  logits: Float32Array,
  settings: SamplingSettings,
  text: TextSoFar,
): Float64Array {
  const { temperature, top_k = 0, top_p = 1, min_p = 0 } = settings;
  const scores = new Float64Array(logits);
  if (isPenalized(settings))
    for (const [id, z] of penalizedLogits(logits, settings, text)) scores[id] = z;
  if (temperature !== 0 && temperature !== 1) divide(scores, temperature);
  if (top_k > 0 && top_k < scores.length) leaveOutBelow(scores, largest(scores, top_k).at(-1)!);
  if (top_p < 1) keepMass(scores, top_p);
  if (min_p > 0) leaveOutBelow(scores, scores[largestOf(scores)]! + Math.log(min_p));
  return scores;
}

function divide(scores: Float64Array, by: number): void {
  for (let i = 0; i < scores.length; i++) scores[i]! /= by;
}

/** Those that equal it stay. */
function leaveOutBelow(scores: Float64Array, least: number): void {
  for (let i = 0; i < scores.length; i++) if (scores[i]! < least) scores[i] = -Infinity;
}

/** Leaves out the least likely tokens, as many as have a mass of at most 1 - top_p together. */
function keepMass(scores: Float64Array, top_p: number): void {
  const { weights, total } = weightsOf(scores, scores[largestOf(scores)]!);
  const stays = heaviest(weights, (1 - top_p) * total);
  for (let i = 0; i < scores.length; i++) if (stays[i] === 0) scores[i] = -Infinity;
}

/** The last weights: to allocate them takes as long as to compute them. */
let lastWeights = new Float64Array(0);

/** exp(score - most) of each token, until the next call, and their sum. */
export function weightsOf(
  scores: Float32Array | Float64Array,
  most: number,
): { readonly weights: Float64Array; readonly total: number } {
  if (lastWeights.length !== scores.length) lastWeights = new Float64Array(scores.length);
  const weights = lastWeights;
  let total = 0;
  for (let i = 0; i < scores.length; i++) {
    const weight = exponential(scores[i]! - most);
    weights[i] = weight;
    total += weight;
  }
  return { weights, total };
}
