import type { RunHistory } from '../../../src/shared/runHistory';
import { SCORE_NAMES, type ScoreName } from '../../../src/shared/metrics';
import type { ChartId } from '../../../src/shared/pages/dashboard/protocol';
import type { SeriesId } from '../../shared/charts/runLines';
import { byteTickStep, type Curves } from '../../shared/charts/spec';
import type { ChartColor } from '../../shared/colors';

export interface ChartSpec extends Curves<SeriesId> {
  readonly id: ChartId;
}

const single = (
  id: Exclude<ChartId, 'loss' | 'score'>,
  color: ChartColor,
  format: ChartSpec['format'],
): ChartSpec => ({
  id,
  fromZero: true,
  format,
  series: [{ id, color, width: 1.5, dash: [], points: false, alpha: 1 }],
});

const LOSS: ChartSpec = {
  id: 'loss',
  fromZero: false,
  format: (f, value) => f.value(value),
  series: [
    { id: 'loss', color: 'blue', width: 1, dash: [], points: false, alpha: 0.6 },
    { id: 'smoothed', color: 'blue', width: 2.5, dash: [], points: false, alpha: 1 },
    { id: 'validation', color: 'red', width: 2, dash: [6, 4], points: true, alpha: 1 },
  ],
};

/** Charts that every run has. */
export const CHARTS: readonly ChartSpec[] = [
  LOSS,
  single('learning_rate', 'red', (f, value) => f.rate(value)),
  single('grad_norm', 'green', (f, value) => f.value(value)),
  single('tokens_per_second', 'blue', (f, value) => f.speed(value)),
  { ...single('memory', 'purple', (f, value) => f.bytes(value)), tickStep: byteTickStep },
];

const UNBOUNDED: ReadonlySet<ScoreName> = new Set(['perplexity', 'rmse']);

/**
 * How good the model is at its task, by the names that its evaluations have; null before the first.
 */
export function scoreChart(history: RunHistory): ChartSpec | null {
  const names = SCORE_NAMES.filter((name) =>
    history.lines.some((line) => line.kind === 'eval' && line.scores?.[name] !== undefined),
  );
  if (names.length === 0) return null;
  return {
    id: 'score',
    fromZero: false,
    format: (f, value) => f.value(value),
    ...(names.every((name) => !UNBOUNDED.has(name)) && { most: 1 }),
    series: names.map((id, i) => ({
      id,
      color: i === 0 ? 'green' : 'purple',
      width: 2,
      dash: i === 0 ? [] : [6, 4],
      points: true,
      alpha: 1,
    })),
  };
}
