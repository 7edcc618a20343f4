import { commonCount, ngramCounts } from './ngrams';

const ORDER = 4;

/** Counts of BLEU: matches and n-grams for n = 1 … 4, the lengths of answer and reference. */
export const BLEU_STATISTICS = 2 * ORDER + 2;

/**
 * What BLEU counts in an answer (Papineni et al. 2002): n-grams clipped by the largest count in any
 * reference, and the length of the reference that is closest to the answer's.
 */
export function bleuStatistics(answer: string, references: readonly string[]): readonly number[] {
  const words = tokenize13a(answer);
  const others = references.map(tokenize13a);
  const matches: number[] = [];
  const totals: number[] = [];
  for (let n = 1; n <= ORDER; n++) {
    const most = new Map<string, number>();
    for (const other of others)
      for (const [key, count] of ngramCounts(other, n))
        most.set(key, Math.max(count, most.get(key) ?? 0));
    matches.push(commonCount(ngramCounts(words, n), most));
    totals.push(Math.max(0, words.length - n + 1));
  }
  const distance = (length: number) => Math.abs(length - words.length);
  const closest = others
    .map(({ length }) => length)
    .reduce((a, b) =>
      distance(b) < distance(a) || (distance(b) === distance(a) && b < a) ? b : a,
    );
  return [...matches, ...totals, words.length, closest];
}

/**
 * BLEU from 0 to 100 of added statistics, smoothed exponentially (Chen and Cherry 2014, method 3),
 * as sacrebleu computes it.
 *
 * @param effective Leave out the orders that a short answer has no n-grams of: for single rows.
 */
export function bleuOf(statistics: readonly number[], effective = false): number {
  const [length, reference] = [statistics[2 * ORDER]!, statistics[2 * ORDER + 1]!];
  let [logs, orders, halved] = [0, ORDER, 1];
  if (statistics.slice(0, ORDER).every((matches) => matches === 0)) return 0;
  for (let i = 0; i < ORDER; i++) {
    const [matches, total] = [statistics[i]!, statistics[ORDER + i]!];
    if (total === 0 && !effective) return 0;
    if (total === 0) break;
    if (effective) orders = i + 1;
    if (matches === 0) halved *= 2;
    logs += Math.log(matches === 0 ? 100 / (halved * total) : (100 * matches) / total);
  }
  const brevity = length < reference ? Math.exp(1 - reference / length) : 1;
  return brevity * Math.exp(logs / orders);
}

/** The tokenizer of mteval-v13a, sacrebleu's default. */
function tokenize13a(text: string): readonly string[] {
  const line = text
    .trimEnd()
    .replaceAll('<skipped>', '')
    .replaceAll('-\n', '')
    .replaceAll('\n', ' ')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>');
  return ` ${line} `
    .replace(/([{-~[-` -&(-+:-@/])/g, ' $1 ')
    .replace(/([^0-9])([.,])/g, '$1 $2 ')
    .replace(/([.,])([^0-9])/g, ' $1 $2')
    .replace(/([0-9])(-)/g, '$1 $2 ')
    .split(/\s+/)
    .filter((word) => word !== '');
}
