import type { RunHistory } from '../../../src/shared/runHistory';
import type { RunRecord, RunState } from '../../../src/shared/run';
import type { LogMessage } from '../../../src/shared/pages/dashboard/protocol';
import { bestMetricOf, type BestMetric } from '../../../src/shared/bestMetric';
import { bestEvaluation } from './summary';

/** Something that happened in a run; `step` is null if it belongs to no step. */
export type TimelineEvent =
  | { readonly kind: 'created' | 'started'; readonly step: null; readonly time: string }
  | { readonly kind: 'ended'; readonly step: null; readonly time: string; readonly state: RunState }
  | { readonly kind: 'checkpoint'; readonly step: number; readonly path: string }
  | { readonly kind: 'resume'; readonly step: number }
  | {
      readonly kind: 'best';
      readonly step: number;
      readonly metric: BestMetric;
      readonly value: number;
    }
  | {
      readonly kind: 'warn' | 'error';
      readonly step: null;
      readonly time: string;
      readonly message: string;
    };

/** All events of a run, the newest first. */
export function eventsOf(
  run: RunRecord | null,
  history: RunHistory,
  log: readonly LogMessage[],
): TimelineEvent[] {
  const metric = bestMetricOf(run);
  const best = bestEvaluation(history, metric);
  const bySteps = history.lines.flatMap((line): TimelineEvent[] => {
    if (line.kind === 'checkpoint')
      return [{ kind: 'checkpoint', step: line.step, path: line.path }];
    if (line.kind === 'resume') return [{ kind: 'resume', step: line.step }];
    return line.kind === 'eval' && line.step === best?.step
      ? [{ kind: 'best', step: line.step, metric, value: best.value }]
      : [];
  });
  return [
    ...(run ? [{ kind: 'created', step: null, time: run.created } as const] : []),
    ...(run?.started ? [{ kind: 'started', step: null, time: run.started } as const] : []),
    ...bySteps,
    ...log.map((entry): TimelineEvent => ({
      kind: entry.level,
      step: null,
      time: entry.time,
      message: entry.message,
    })),
    ...(run?.ended
      ? [{ kind: 'ended', step: null, time: run.ended, state: run.state } as const]
      : []),
  ].reverse();
}
