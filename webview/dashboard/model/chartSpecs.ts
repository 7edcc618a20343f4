import {
  CHART_IDS,
  CHARTS,
  comparedIn,
  curvesIn,
  isComparedEval,
  METRICS,
  VALIDATION_SCORES,
  type ChartId,
  type ComparedEvalId,
  type ComparedField,
  type SeriesId,
} from '../../../src/shared/metrics/table';
import type { RunHistory } from '../../../src/shared/runHistory';
import { curvesFormat, LINE_STYLES, type Curves, type SeriesSpec } from '../../shared/charts/spec';

/** One chart of the dashboard. */
export interface ChartSpec extends Curves<SeriesId> {
  readonly id: ChartId;
}

/** Charts that every run has; that of the scores comes with the first evaluation. */
export const RUN_CHARTS: readonly ChartSpec[] = CHART_IDS.filter(
  (id) => curvesIn(id).length > 0,
).map((id) => {
  const curves = curvesIn(id);
  return {
    id,
    fromZero: CHARTS[id].fromZero,
    ...curvesFormat(METRICS[curves[0]!].number),
    series: curves.map((metric) => {
      const { color, line } = METRICS[metric].curve;
      return { id: metric, color, ...LINE_STYLES[line] };
    }),
  };
});

/** Whether a chart always stands above the others: the losses. */
export const isOnTop = ({ id }: Pick<ChartSpec, 'id'>): boolean =>
  id === 'loss' || id === 'general';

/** The chart of the scores that a run's evaluations have; null before the first evaluation. */
export function scoreChart(history: RunHistory): ChartSpec | null {
  const names = VALIDATION_SCORES.filter((name) =>
    history.lines.some((line) => line.kind === 'eval' && line.scores?.[name] !== undefined),
  );
  if (names.length === 0) return null;
  return {
    id: 'score',
    fromZero: CHARTS.score.fromZero,
    ...curvesFormat('value'),
    ...(names.every((name) => METRICS[name].max === 1) && { most: 1 }),
    series: names.map((id, index): SeriesSpec<SeriesId> => ({ id, ...scoreLook(index) })),
  };
}

/** What is learned and what is forgotten: both losses; null where the second is not measured. */
export function generalChart(history: RunHistory): ChartSpec | null {
  const isMeasured = history.lines.some(
    (line) => line.kind === 'eval' && line.scores?.general_loss !== undefined,
  );
  if (!isMeasured) return null;
  return {
    id: 'general',
    fromZero: CHARTS.general.fromZero,
    ...curvesFormat('value'),
    series: [
      { id: 'validation', color: 'red', ...LINE_STYLES.evaluated },
      { id: 'general_loss', color: 'purple', ...LINE_STYLES.evaluated, dash: [] },
    ],
  };
}

/** The charts of a run that compares answers, with the curves that it has; none of other runs. */
export function comparedCharts(history: RunHistory): readonly ChartSpec[] {
  const known: readonly string[] = history.comparedFields;
  const isKnown = (id: ComparedField | ComparedEvalId) =>
    known.includes(isComparedEval(id) ? METRICS[id].of : id);
  return CHART_IDS.flatMap((id) => {
    const curves = comparedIn(id).filter(isKnown);
    if (curves.length === 0) return [];
    const series = curves.map((metric) => {
      const { color, line } = METRICS[metric].drawn;
      return { id: metric, color, ...LINE_STYLES[line] };
    });
    return [{ id, fromZero: CHARTS[id].fromZero, ...curvesFormat('value'), series }];
  });
}

/** The first score differs from the others in colour and dashes. */
function scoreLook(index: number): Omit<SeriesSpec<SeriesId>, 'id'> {
  return index === 0
    ? { color: 'green', ...LINE_STYLES.evaluated, dash: [] }
    : { color: 'purple', ...LINE_STYLES.evaluated };
}
