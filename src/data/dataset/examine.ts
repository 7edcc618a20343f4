import type { CheckedDataset, CutRow, LengthBin } from '../../shared/checkedRecipe';
import type { Problem } from '../../shared/errors';
import { countProblems } from '../../shared/problemKinds';
import { needsLabels } from '../../shared/task';
import type { Dataset } from './dataset';
import { DuplicateFinder } from './duplicates';
import {
  fileProgress,
  sourcesIn,
  tokenizerFor,
  type DataRecipe,
  type DataTools,
  type ReadData,
} from './prepare';
import type { Row } from '../rows/row';
import type { RowCache, RowLengths } from './rowCache';
import { RowFacts } from './tokenizedDataset';
import { countOf } from '../../shared/values';

/** The most rows that are listed as cut; all are counted. */
const MOST_CUT_LISTED = 1_000;
/** Editors read the list at once. */
const MOST_PROBLEMS_LISTED = 2_000;

export interface ExamineOptions {
  /** From 0 to 1; what it throws ends the reading. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  readonly cache?: RowCache | undefined;
}

/**
 * Statistics and problems of datasets, which may have errors. Their rows are not kept.
 *
 * @param tools Null: without the statistics of tokens.
 * @param options `cache`: the lengths of rows that need not be tokenized again.
 * @throws LoraError('dataset') where a file has changed since it was read
 */
export async function examineData(
  read: ReadData,
  recipe: DataRecipe,
  tools: DataTools | null,
  { onProgress, cache }: ExamineOptions = {},
): Promise<readonly CheckedDataset[]> {
  const usable = needsLabels(recipe.task) && !read.labels ? null : tools;
  const checked: CheckedDataset[] = [];
  const sources = sourcesIn(read);
  for (const [i, dataset] of read.datasets.entries()) {
    const onBytes = fileProgress({ ...(onProgress && { onProgress }) }, i, read.datasets.length);
    const examined = new Examination(dataset, read, recipe, { tools: usable, cache });
    await dataset.forEachRow((row, offset) => examined.add(row, offset), onBytes);
    const own = sources.find(({ from, to }) => from <= i && i < to);
    checked.push({ ...examined.result(), ...(read.sources && own && { set: own.set }) });
  }
  return checked;
}

/** Examines the rows of one dataset. */
class Examination {
  private readonly duplicates = new DuplicateFinder();
  private readonly tokenizer;
  private readonly facts: RowFacts;
  private readonly cut: CutRow[] = [];
  private readonly cache: RowCache | undefined;

  constructor(
    private readonly dataset: Dataset,
    { labels }: ReadData,
    recipe: DataRecipe,
    { tools, cache }: { readonly tools: DataTools | null; readonly cache: RowCache | undefined },
  ) {
    this.cache = cache;
    this.tokenizer = tools && tokenizerFor(dataset, labels, recipe, tools);
    this.facts = new RowFacts(tools?.images?.length ?? 1);
  }

  add(row: Row, offset: number): void {
    const hash = this.duplicates.add(row);
    const known = hash && this.cache?.get(hash);
    if (known) this.facts.addLengths(row, known, offset);
    const lengths = known ?? this.tokenize(row, offset, hash);
    if (!lengths) return;
    const { length, kept } = lengths;
    if (kept < length && this.cut.length < MOST_CUT_LISTED)
      this.cut.push({ line: row.line, length, lost: length - kept });
  }

  /** Rows without problems are remembered; those of others must be reported again. */
  private tokenize(row: Row, offset: number, hash: Buffer | null): RowLengths | null {
    const { tokenizer } = this;
    const before = tokenizer?.problems.reported;
    const tokenized = tokenizer?.add(row);
    if (!tokenized) return null;
    const lengths = this.facts.add(tokenized, offset);
    // a row with images depends on their files, too
    const isRemembered = hash && !tokenized.encoded?.images;
    if (isRemembered && tokenizer?.problems.reported === before) this.cache?.set(hash, lengths);
    return lengths;
  }

  result(): CheckedDataset {
    const { dataset, tokenizer, facts, duplicates } = this;
    const all = Int32Array.from({ length: facts.length }, (_, i) => i);
    return {
      path: dataset.path,
      problems: limited([...dataset.problems, ...(tokenizer?.problems.problems() ?? [])]),
      excluded_rows: dataset.excludedRows,
      skipped_rows: dataset.skippedRows + (tokenizer?.problems.skippedRows ?? 0),
      cut: this.cut,
      duplicates: duplicates.listed,
      duplicate_rows: duplicates.count,
      statistics: tokenizer && facts.statisticsOf(all),
      lengths: tokenizer ? histogram(facts.lengths.view()) : [],
    };
  }
}

/** The first problems as they are, and the number of the others. */
function limited(problems: readonly Problem[]): readonly Problem[] {
  const others = problems.slice(MOST_PROBLEMS_LISTED);
  const [first] = others;
  if (!first) return problems;
  const rows = countProblems(others);
  const severity = others.some((own) => own.severity === 'error') ? 'error' : 'warning';
  const message = `${countOf(rows, 'more row')} ${rows === 1 ? 'has' : 'have'} problems.`;
  return [...problems.slice(0, MOST_PROBLEMS_LISTED), { ...first, severity, message, rows }];
}

const BINS = 8;

/** Counts lengths in bins of the same round width, from the shortest row to the longest. */
export function histogram(lengths: ArrayLike<number> & Iterable<number>): LengthBin[] {
  if (lengths.length === 0) return [];
  let [least, most] = [Infinity, 0];
  for (const n of lengths) {
    least = Math.min(least, n);
    most = Math.max(most, n);
  }
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
