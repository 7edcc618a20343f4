import { createRandom, type Random } from '../random';

/** A comparison of two columns, by their places. `score`: of `a`; a tie is half a win for each. */
export interface Comparison {
  readonly a: number;
  readonly b: number;
  readonly score: 0 | 0.5 | 1;
}

/** How strong a column is on Elo's scale; `low` to `high` holds it with 95% certainty. */
export interface Rating {
  readonly rating: number;
  readonly low: number;
  readonly high: number;
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
}

/** The mean of all ratings; 400 points more are odds of ten to one. */
const MEAN = 1_000;
const POINTS = 400;
const SAMPLES = 500;
const OUTSIDE = 0.025;
/**
 * Adding a tie of this weight to every pair keeps the rating of a column that won everything
 * finite.
 */
const PRIOR = 0.5;
const MOST_ROUNDS = 200;
const PRECISE = 1e-6;

/**
 * The ratings of `columns` columns by the model of Bradley and Terry, with intervals from samples
 * of the comparisons with replacement (bootstrap). Equal comparisons give equal ratings.
 */
export function ratingsOf(columns: number, comparisons: readonly Comparison[]): readonly Rating[] {
  const ratings = strengthsOf(columns, comparisons);
  const random = createRandom(0, 'ratings', columns, comparisons.length);
  const samples = Array.from({ length: SAMPLES }, () =>
    strengthsOf(columns, sampleOf(comparisons, random)),
  );
  return ratings.map((rating, column) => {
    const sorted = samples.map((sample) => sample[column]!).sort((x, y) => x - y);
    const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
    return { rating, low: at(OUTSIDE), high: at(1 - OUTSIDE), ...countsOf(column, comparisons) };
  });
}

const sampleOf = (all: readonly Comparison[], random: Random): readonly Comparison[] =>
  all.map(() => all[Math.floor(random() * all.length)]!);

function countsOf(column: number, comparisons: readonly Comparison[]) {
  const scores = comparisons.flatMap(({ a, b, score }) => {
    if (a === column) return [score];
    return b === column ? [1 - score] : [];
  });
  const count = (wanted: number) => scores.filter((score) => score === wanted).length;
  return { wins: count(1), ties: count(0.5), losses: count(0) };
}

/**
 * The maximum of the likelihood by the iteration of Hunter (2004): a strength is the column's wins
 * over the sum of games / (own strength + other's).
 */
function strengthsOf(columns: number, comparisons: readonly Comparison[]): number[] {
  const games = Array.from({ length: columns }, (_, i) =>
    Array.from({ length: columns }, (__, j) => (i === j ? 0 : PRIOR)),
  );
  const wins = Array.from({ length: columns }, () => (PRIOR / 2) * (columns - 1));
  for (const { a, b, score } of comparisons) {
    games[a]![b]! += 1;
    games[b]![a]! += 1;
    wins[a]! += score;
    wins[b]! += 1 - score;
  }
  let strengths = wins.map(() => 1);
  for (let round = 0, moved = Infinity; round < MOST_ROUNDS && moved > PRECISE; round++) {
    const next = normalized(
      strengths.map((own, i) => wins[i]! / weightOf(games[i]!, strengths, own)),
    );
    moved = Math.max(...next.map((own, i) => Math.abs(own / strengths[i]! - 1)));
    strengths = next;
  }
  return strengths.map((own) => MEAN + POINTS * Math.log10(own));
}

const weightOf = (games: readonly number[], strengths: readonly number[], own: number): number =>
  games.reduce((sum, count, j) => sum + count / (own + strengths[j]!), 0);

/** With a geometric mean of 1. */
function normalized(strengths: readonly number[]): number[] {
  const mean = strengths.reduce((sum, own) => sum + Math.log(own), 0) / strengths.length;
  return strengths.map((own) => own / Math.exp(mean));
}
