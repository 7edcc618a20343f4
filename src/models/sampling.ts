import { createRandom } from '../shared/random';
import { exponential } from './exponential';

/** How the next token is chosen. */
export interface SamplingSettings {
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly seed: number;
  /** As many of the most likely tokens are left; 0: all. */
  readonly top_k?: number;
  /** The most likely tokens are left whose probabilities add up to this; 1: all. */
  readonly top_p?: number;
  /** Tokens are left that are at least so likely, as a share of the most likely one; 0: all. */
  readonly min_p?: number;
  /** Makes tokens less likely that the text has already; 1: no change. */
  readonly repetition_penalty?: number;
  /** Taken from a token's score once for each time that it was written; 0: no change. */
  readonly frequency_penalty?: number;
  /** Taken from the scores of all tokens that were written; 0: no change. */
  readonly presence_penalty?: number;
}

/** The text so far. */
export interface TextSoFar {
  readonly prompt: readonly number[];
  /** The tokens after it. */
  readonly written: readonly number[];
}

/**
 * The scores of all tokens as LogitsProcessors of transformers leave them, in its order: repetition
 * penalty, temperature (unless it is 0), top_k, top_p, min_p. After the first one come OpenAI's
 * penalties of what was written, which transformers lacks. A token that is left out has -Infinity.
 */
export function processLogits(
  logits: Float32Array,
  settings: SamplingSettings,
  { prompt, written }: TextSoFar,
): Float64Array {
  const { temperature, top_k = 0, top_p = 1, min_p = 0, repetition_penalty = 1 } = settings;
  const scores = new Float64Array(logits);
  if (repetition_penalty !== 1)
    penalize(scores, new Set([...prompt, ...written]), repetition_penalty);
  penalizeWritten(scores, written, settings);
  if (temperature !== 0 && temperature !== 1) divide(scores, temperature);
  if (top_k > 0 && top_k < scores.length) keepLargest(scores, top_k);
  if (top_p < 1) keepMass(scores, top_p);
  if (min_p > 0) leaveOutBelow(scores, scores[largestOf(scores)]! + Math.log(min_p));
  return scores;
}

/** The id of the next token. It depends on the seed and on the number of the token alone. */
export function sampleToken(
  logits: Float32Array,
  settings: SamplingSettings,
  text: TextSoFar,
): number {
  const { temperature, seed } = settings;
  if (temperature === 0 && !isPenalized(settings)) return largestOf(logits);
  const isPlain = temperature === 1 && !isPenalized(settings) && !leavesOut(settings);
  const scores = isPlain ? logits : processLogits(logits, settings, text);
  const best = largestOf(scores);
  if (temperature === 0) return best;
  const { weights, total } = weightsOf(scores, best);
  let left = total * createRandom(seed, 'generate', text.written.length)();
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return best;
}

const leavesOut = ({ top_k = 0, top_p = 1, min_p = 0 }: SamplingSettings): boolean =>
  top_k > 0 || top_p < 1 || min_p > 0;

/** The last weights: to allocate them takes as long as to compute them. */
let lastWeights = new Float64Array(0);

/** exp(score - best score) of each token, until the next call, and their sum. */
function weightsOf(
  scores: Float32Array | Float64Array,
  best: number,
): { readonly weights: Float64Array; readonly total: number } {
  if (lastWeights.length !== scores.length) lastWeights = new Float64Array(scores.length);
  const weights = lastWeights;
  const most = scores[best]!;
  let total = 0;
  for (let i = 0; i < scores.length; i++) {
    const weight = exponential(scores[i]! - most);
    weights[i] = weight;
    total += weight;
  }
  return { weights, total };
}

function divide(scores: Float64Array, by: number): void {
  for (let i = 0; i < scores.length; i++) scores[i]! /= by;
}

/** Of equal ones the first. */
function largestOf(scores: Float32Array | Float64Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

function penalize(scores: Float64Array, seen: ReadonlySet<number>, penalty: number): void {
  for (const id of seen) {
    const z = scores[id]!;
    scores[id] = z < 0 ? z * penalty : z / penalty;
  }
}

const isPenalized = ({
  repetition_penalty = 1,
  frequency_penalty = 0,
  presence_penalty = 0,
}: SamplingSettings): boolean =>
  repetition_penalty !== 1 || frequency_penalty !== 0 || presence_penalty !== 0;

/** score - count · frequency_penalty - (count > 0) · presence_penalty */
function penalizeWritten(
  scores: Float64Array,
  written: readonly number[],
  { frequency_penalty = 0, presence_penalty = 0 }: SamplingSettings,
): void {
  if (frequency_penalty !== 0) for (const id of written) scores[id]! -= frequency_penalty;
  if (presence_penalty !== 0) for (const id of new Set(written)) scores[id]! -= presence_penalty;
}

function leaveOutBelow(scores: Float64Array, least: number): void {
  for (let i = 0; i < scores.length; i++) if (scores[i]! < least) scores[i] = -Infinity;
}

/** Those that equal the last one of them stay as well. */
const keepLargest = (scores: Float64Array, count: number): void =>
  leaveOutBelow(scores, largest(scores, count).at(-1)!);

/** Up to so many, sorting all takes longer than keeping the largest ones sorted. */
const FEW_LARGEST = 256;

/** The largest numbers, the largest first. */
function largest(scores: Float64Array, count: number): readonly number[] {
  if (count > FEW_LARGEST) return [...scores.toSorted().subarray(-count)].reverse();
  const top: number[] = [];
  for (const z of scores) {
    if (top.length === count && z <= top[count - 1]!) continue;
    let at = top.length;
    while (at > 0 && top[at - 1]! < z) at--;
    top.splice(at, 0, z);
    if (top.length > count) top.pop();
  }
  return top;
}

/** Leaves out the least likely tokens, as many as have a mass of at most 1 - top_p together. */
function keepMass(scores: Float64Array, top_p: number): void {
  const best = largestOf(scores);
  const { weights, total } = weightsOf(scores, best);
  const most = (1 - top_p) * total;
  // All tokens below this are left out in any case, so that few are to be sorted.
  const surely = most / weights.length;
  let mass = 0;
  const rest: number[] = [];
  weights.forEach((weight, i) => {
    if (weight >= surely) {
      rest.push(i);
      return;
    }
    mass += weight;
    scores[i] = -Infinity;
  });
  rest.sort((a, b) => weights[a]! - weights[b]! || a - b);
  for (const i of rest.slice(0, -1)) {
    mass += weights[i]!;
    if (mass > most) return;
    scores[i] = -Infinity;
  }
}

/** A token and its log-probability. */
export interface TokenChance {
  readonly id: number;
  readonly logprob: number;
}

/** The log-probability of a token under the model itself, and the most likely tokens. */
export function tokenChances(
  logits: Float32Array,
  id: number,
  count: number,
): { readonly chosen: TokenChance; readonly top: readonly TokenChance[] } {
  const most = logits[largestOf(logits)]!;
  let total = 0;
  for (const z of logits) total += exponential(z - most);
  const chance = (own: number) => ({ id: own, logprob: logits[own]! - most - Math.log(total) });
  const top: number[] = [];
  for (let i = 0; i < logits.length && count > 0; i++) {
    if (top.length === count && logits[i]! <= logits[top.at(-1)!]!) continue;
    const at = top.findIndex((own) => logits[i]! > logits[own]!);
    top.splice(at < 0 ? top.length : at, 0, i);
    if (top.length > count) top.pop();
  }
  return { chosen: chance(id), top: top.map(chance) };
}
