import type { EvalLine, MetricLine, StepLine } from '../../src/shared/metrics/lines';
import { RunHistory } from '../../src/shared/runHistory';

/** A step with plain values; tests name those that matter. */
export function stepLine(
  step: number,
  values: Partial<Omit<StepLine, 'kind' | 'step'>> = {},
): StepLine {
  return {
    kind: 'step',
    step,
    epoch: step / 100,
    loss: 2,
    grad_norm: 0.5,
    learning_rate: 1e-4,
    tokens: 100,
    labelled_tokens: 40,
    tokens_per_second: 50,
    memory: 1e9,
    elapsed: 2 * step,
    ...values,
  };
}

export function evalLine(step: number, loss: number): EvalLine {
  return { kind: 'eval', step, loss, labelled_tokens: 10, elapsed: step };
}

export function historyOf(...lines: readonly MetricLine[]): RunHistory {
  const history = new RunHistory();
  for (const line of lines) history.append(line);
  return history;
}
