/**
 * ROUGE-L (Lin 2004, section 3.1) for one summary: the F-measure, with equal weight, of the longest
 * common subsequence of words. As rouge-score's `rougeL` without a stemmer, but words may consist
 * of the letters and digits of any script. Of several references the best one counts.
 */
export const rougeL = (answer: string, references: readonly string[]): number =>
  Math.max(...references.map((reference) => fMeasure(wordsOf(answer), wordsOf(reference))));

const wordsOf = (text: string): readonly string[] =>
  text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];

function fMeasure(words: readonly string[], reference: readonly string[]): number {
  const common = commonLength(words, reference);
  return common === 0 ? 0 : (2 * common) / (words.length + reference.length);
}

/** Length of the longest common subsequence, in the memory of one row of the table. */
function commonLength(a: readonly string[], b: readonly string[]): number {
  const row = new Uint32Array(b.length + 1);
  for (const word of a) {
    let diagonal = 0;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!;
      row[j] = word === b[j - 1] ? diagonal + 1 : Math.max(above, row[j - 1]!);
      diagonal = above;
    }
  }
  return row[b.length]!;
}
