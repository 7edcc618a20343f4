import { commonCount, ngramCounts } from './ngrams';

const ORDER = 6;
/** Recall counts this many times as much as precision. */
const BETA = 2;

/** Counts of chrF: n-grams of the answer, of the reference, and of both, for n = 1 … 6. */
export const CHRF_STATISTICS = 3 * ORDER;

/**
 * What chrF (Popović 2015) counts in an answer: n-grams of characters without white space. Of
 * several references the one with the best chrF counts.
 */
export function chrfStatistics(answer: string, references: readonly string[]): readonly number[] {
  const own = countsOf(answer);
  return references
    .map((reference) => statisticsOf(own, countsOf(reference)))
    .reduce((a, b) => (chrfOf(b) > chrfOf(a) ? b : a));
}

/** chrF2 from 0 to 100 of added statistics, as sacrebleu computes it. */
export function chrfOf(statistics: readonly number[]): number {
  let [precision, recall, orders] = [0, 0, 0];
  for (let i = 0; i < ORDER; i++) {
    const [own = 0, other = 0, common = 0] = statistics.slice(3 * i, 3 * i + 3);
    if (own === 0 || other === 0) continue;
    precision += common / own;
    recall += common / other;
    orders++;
  }
  if (precision + recall === 0) return 0;
  precision /= orders;
  recall /= orders;
  const factor = BETA ** 2;
  return (100 * (1 + factor) * precision * recall) / (factor * precision + recall);
}

type Counts = readonly ReadonlyMap<string, number>[];

function countsOf(text: string): Counts {
  const characters = Array.from(text.replaceAll(/\s+/g, ''));
  return Array.from({ length: ORDER }, (_, i) => ngramCounts(characters, i + 1));
}

const sizeOf = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((a, b) => a + b, 0);

const statisticsOf = (own: Counts, other: Counts): readonly number[] =>
  own.flatMap((counts, i) => [sizeOf(counts), sizeOf(other[i]!), commonCount(counts, other[i]!)]);
