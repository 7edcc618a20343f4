import type { CheckedDataset, CutRow, DuplicateRow, LengthBin } from '../../shared/checkedRecipe';
import { needsLabels } from '../../shared/task';
import { lengthOf } from '../examples/example';
import { tokenizeAll, type DataRecipe, type DataTools, type ReadData } from './prepare';
import { statisticsOf, type TokenizedRows } from '../examples/tokenizeRows';
import type { Row } from '../rows/row';

/**
 * Statistics and problems of datasets, which may have errors.
 *
 * @param tools Null: without the statistics of tokens.
 */
export function examineData(
  read: ReadData,
  recipe: DataRecipe,
  tools: DataTools | null,
): readonly CheckedDataset[] {
  const tokenized =
    !tools || (needsLabels(recipe.task) && !read.labels)
      ? null
      : tokenizeAll(read.datasets, read.labels, recipe, tools);
  return read.datasets.map(({ path, rows, problems }, i) => {
    const own = tokenized?.[i] ?? null;
    return {
      path,
      problems: [...problems, ...(own?.problems ?? [])],
      cut: own ? cutRows(own) : [],
      duplicates: duplicatesOf(rows),
      statistics: own && statisticsOf(own, tools?.images?.length ?? 1),
      lengths: own ? histogram(own.lengths) : [],
    };
  });
}

function cutRows({ rows, examples, lengths }: TokenizedRows): CutRow[] {
  return rows.flatMap((row, i): CutRow[] => {
    const lost = lengths[i]! - lengthOf(examples[i]!);
    return row.kind !== 'image' && lost > 0 ? [{ line: row.line, length: lengths[i]!, lost }] : [];
  });
}

/** Rows with the same content as an earlier one, each with the line of the first. */
export function duplicatesOf(rows: readonly Row[]): DuplicateRow[] {
  const firsts = new Map<string, number>();
  return rows.flatMap((row): DuplicateRow[] => {
    if (row.kind === 'image') return [];
    const { line, ...content } = row;
    const key = JSON.stringify(content);
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, line);
    return first === undefined ? [] : [{ line, first }];
  });
}

const BINS = 8;

/** Counts lengths in bins of the same round width, from the shortest row to the longest. */
export function histogram(lengths: readonly number[]): LengthBin[] {
  if (lengths.length === 0) return [];
  const [least, most] = lengths.reduce(
    ([low, high], n) => [Math.min(low, n), Math.max(high, n)],
    [Infinity, 0],
  );
  const width = roundUp((most - least + 1) / BINS);
  const start = Math.floor(least / width) * width;
  const bins = Array.from({ length: Math.floor((most - start) / width) + 1 }, (_, i) => ({
    from: start + i * width,
    to: start + (i + 1) * width - 1,
    rows: 0,
  }));
  for (const n of lengths) bins[Math.floor((n - start) / width)]!.rows++;
  return bins;
}

/** The smallest of 1, 2, 5, 10, 20, 50, … that is at least `value`. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value)!;
}
