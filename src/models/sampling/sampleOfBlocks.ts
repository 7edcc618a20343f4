import { exponential } from '../exponential';
import { BlockScores } from './blockScores';
import { heaviest, largest } from './largest';
import type { LogitBlocks } from './logitBlocks';
import { penalizedLogits } from './penalties';
import { isPenalized, leavesOut, type SamplingSettings, type TextSoFar } from './settings';

/**
 * The next token as `sampleToken` chooses it, but for the last bits of sums, from the few blocks
 * that count.
 *
 * @param share A random number in [0, 1).
 * @returns null where all logits have to be looked at.
 */
export function sampleOfBlocks(
  logits: Float32Array,
  blocks: LogitBlocks,
  { settings, text, share }: Draw,
): number | null {
  const { temperature } = settings;
  const changed = isPenalized(settings) ? penalizedLogits(logits, settings, text) : UNCHANGED;
  const scores = BlockScores.of(logits, blocks, changed, temperature);
  if (!scores) return null;
  if (temperature === 0) return scores.idsFrom(scores.best)[0]!;
  if (!leavesOut(settings)) return scores.draw(share());
  const left = tokensLeft(scores, settings);
  return left && drawOf(left, share());
}

/** What a token is chosen by. */
export interface Draw {
  readonly settings: SamplingSettings;
  readonly text: TextSoFar;
  readonly share: () => number;
}

const UNCHANGED: ReadonlyMap<number, number> = new Map();

/** Tokens in the order of their ids, and exp(score - best score) of each. */
interface WeighedTokens {
  readonly ids: readonly number[];
  readonly weights: Float64Array;
}

/** The tokens that top_k, top_p and min_p leave; null: all would have to be looked at. */
function tokensLeft(
  scores: BlockScores,
  { top_k = 0, top_p = 1, min_p = 0 }: SamplingSettings,
): WeighedTokens | null {
  const { best } = scores;
  const isFewer = top_k > 0 && top_k < scores.size;
  if (isFewer && top_k > scores.count) return null;
  let ids = isFewer ? mostLikely(scores, top_k) : null;
  if (top_p < 1) ids = withinMass(scores, top_p, ids);
  if (min_p > 0) {
    const least = best + Math.log(min_p);
    ids = ids ? ids.filter((id) => scores.score(id) >= least) : scores.idsFrom(least);
  }
  return ids && weighed(ids, scores);
}

function weighed(ids: readonly number[], scores: BlockScores): WeighedTokens {
  return {
    ids,
    weights: Float64Array.from(ids, (id) => exponential(scores.score(id) - scores.best)),
  };
}

/** The most likely tokens, and those that are as likely as the last of them. */
function mostLikely(scores: BlockScores, count: number): readonly number[] {
  const atLeast = largest(scores.largestOfBlocks, count).at(-1)!;
  const ids = scores.idsFrom(atLeast);
  const least = largest(
    Float64Array.from(ids, (id) => scores.score(id)),
    count,
  ).at(-1)!;
  return ids.filter((id) => scores.score(id) >= least);
}

/** The most likely tokens of some (null: all) that have a mass of `top_p`. */
function withinMass(
  scores: BlockScores,
  top_p: number,
  some: readonly number[] | null,
): readonly number[] {
  const all = some ? null : scores.total;
  const ids = some ?? scores.idsFrom(scores.scoreAbove((1 - top_p) * scores.total));
  const weights = Float64Array.from(ids, (id) => scores.weight(id));
  const own = weights.reduce((a, b) => a + b, 0);
  const below = all === null ? 0 : Math.max(0, all - own);
  const stays = heaviest(weights, (1 - top_p) * (all ?? own) - below);
  return ids.filter((_, i) => stays[i] === 1);
}

/** The token at which the weights of those before and its own exceed a share of them all. */
function drawOf({ ids, weights }: WeighedTokens, share: number): number {
  let left = share * weights.reduce((a, b) => a + b, 0);
  for (const [i, id] of ids.entries()) {
    left -= weights[i]!;
    if (left < 0) return id;
  }
  return ids[weights.indexOf(1)]!;
}
