import path from 'node:path';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { isBetter, metricOf, type BestMetric } from '../../shared/bestMetric';
import type { MetricLine } from '../../shared/metrics/lines';
import { parseMetrics } from '../../shared/metrics/parse';
import { RUN_FILES } from '../../shared/run';
import type { Speed } from '../../shared/tune/plan';

/** The metrics of a run so far; empty before the first. */
export const metricsOf = async (dir: string): Promise<readonly MetricLine[]> =>
  parseMetrics(
    await readTextFile(path.join(dir, RUN_FILES.metrics), {
      maxBytes: MAX_BYTES.modelJson,
      links: 'refused',
    }).catch(() => ''),
  );

/**
 * The best value of a metric in the evaluations up to a step, whose weights are in best/; null
 * while the run has not been evaluated there. What was trained beyond that step does not count.
 */
export function scoreAt(
  lines: readonly MetricLine[],
  steps: number,
  metric: BestMetric,
): number | null {
  const values = lines.flatMap((line) =>
    line.kind === 'eval' && line.step > 0
      ? [{ step: line.step, value: metricOf(line, metric) }]
      : [],
  );
  if (!values.some(({ step }) => step >= steps)) return null;
  return values
    .filter(({ step }) => step <= steps)
    .reduce(
      (best, { value }) => (isBetter(value, best, metric) || Number.isNaN(best) ? value : best),
      NaN,
    );
}

/** How fast a run trained that took `seconds` from its start to its end. */
export function speedOf(lines: readonly MetricLine[], seconds: number): Speed | null {
  const last = lines.findLast((line) => line.kind === 'step');
  if (!last || !(last.elapsed > 0)) return null;
  return {
    seconds_per_step: last.elapsed / last.step,
    overhead: Math.max(0, seconds - last.elapsed),
  };
}
