import { bootstrapInterval, type BootstrapSettings } from '../../shared/evaluation/bootstrap';
import { metricsOf, type EvaluationMetricId } from '../../shared/evaluation/metrics';
import type {
  ColumnValue,
  Difference,
  EvaluatedRow,
  EvaluationScore,
} from '../../shared/evaluation/result';
import { verdictOf } from '../../shared/evaluation/verdict';
import { statisticOf, type Statistic } from './statistics';

/** The total score, and those of each suite by each of its metrics. */
export function scoresOf(
  rows: readonly EvaluatedRow[],
  columns: number,
  bootstrap: BootstrapSettings,
): readonly EvaluationScore[] {
  const total = scoreOf(rows, { suite: null, metric: null, columns, bootstrap });
  const suites = new Set(rows.map(({ suite }) => suite));
  const parts = [...suites].flatMap((suite) => {
    const own = rows.filter((row) => row.suite === suite);
    const kinds = new Set(own.map(({ row }) => row.check.kind));
    return [...kinds].flatMap(metricsOf).map((metric) => {
      const measured = own.filter(({ row }) => metricsOf(row.check.kind).includes(metric));
      return scoreOf(measured, { suite, metric, columns, bootstrap });
    });
  });
  return [total, ...parts];
}

interface Asked {
  readonly suite: string | null;
  readonly metric: EvaluationMetricId | null;
  readonly columns: number;
  readonly bootstrap: BootstrapSettings;
}

function scoreOf(
  rows: readonly EvaluatedRow[],
  { suite, metric, columns, bootstrap }: Asked,
): EvaluationScore {
  const statistic = statisticOf(metric, rows);
  const all = Array.from({ length: columns }, (_, i) => i);
  const vectors = all.map((column) =>
    rows.map((row) => statistic.vectorOf(row, row.cells[column]!)),
  );
  return {
    suite,
    metric,
    columns: all.map((column) => ({
      ...valueOf(vectors[column]!, statistic, bootstrap),
      errors: rows.filter((row) => row.cells[column]!.error !== null).length,
    })),
    differences: all
      .slice(1)
      .map((column) => differenceOf({ rows, vectors, column }, statistic, bootstrap)),
  };
}

type Vectors = readonly (readonly number[] | null)[];

function valueOf(
  vectors: Vectors,
  statistic: Statistic,
  bootstrap: BootstrapSettings,
): Omit<ColumnValue, 'errors'> {
  const own = vectors.filter((vector) => vector !== null);
  if (own.length === 0) return { value: null, interval: null, rows: 0 };
  const value = valueOfRows(statistic, own);
  const interval = bootstrapInterval(own.length, statistic.of(own), bootstrap);
  return { value: Number.isFinite(value) ? value : null, interval, rows: own.length };
}

interface Compared {
  readonly rows: readonly EvaluatedRow[];
  readonly vectors: readonly Vectors[];
  readonly column: number;
}

function differenceOf(
  { rows, vectors, column }: Compared,
  statistic: Statistic,
  bootstrap: BootstrapSettings,
): Difference {
  const both = rows.flatMap((row, i) => {
    const [first, own] = [vectors[0]![i], vectors[column]![i]];
    return first && own ? [{ row, first, own }] : [];
  });
  const firsts = statistic.of(both.map(({ first }) => first));
  const owns = statistic.of(both.map(({ own }) => own));
  const of = (indices: Int32Array) => owns(indices) - firsts(indices);
  const interval = bootstrapInterval(both.length, of, bootstrap);
  const isSame =
    both.length > 0 && both.every(({ first, own }) => first.every((x, i) => x === own[i]));
  const counts = { wins: 0, losses: 0, ties: 0 };
  for (const { row } of both) counts[outcome(statistic, row, column)]++;
  const difference = of(Int32Array.from(both.keys()));
  return {
    column,
    difference: Number.isFinite(difference) ? difference : 0,
    interval,
    verdict: verdictOf({ interval, isSame, ...counts }, statistic.lower),
    ...counts,
  };
}

function outcome(
  { rowValue, lower }: Statistic,
  row: EvaluatedRow,
  column: number,
): 'wins' | 'losses' | 'ties' {
  const difference = rowValue(row, row.cells[column]!) - rowValue(row, row.cells[0]!);
  if (!(Math.abs(difference) > 0)) return 'ties';
  return difference > 0 === lower ? 'losses' : 'wins';
}

const valueOfRows = (statistic: Statistic, vectors: readonly (readonly number[])[]): number =>
  statistic.of(vectors)(Int32Array.from(vectors.keys()));
