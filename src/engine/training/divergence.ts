import { linesOf } from '../../data/examples/example';
import type { Example } from '../../data/examples/example';
import { LoraError } from '../../shared/errors';

/**
 * The error of a training whose numbers are no longer finite. `what`: a clause without a full stop.
 * `file`: the rows.
 */
export function divergenceError(what: string, file: string): LoraError {
  return new LoraError('run', `${what}: the training diverged.`, {
    place: { file },
    fix: 'Lower learning_rate or max_grad_norm, and check the rows. The last checkpoint is kept.',
  });
}

/** The same for one step. `value`: the loss or gradient norm that is not finite. */
export function stepDivergenceError(
  step: number,
  value: number,
  examples: readonly Example[],
  file: string,
): LoraError {
  const lines = examples.flatMap(linesOf).join(', ');
  return divergenceError(
    `The loss or its gradient became ${value} at step ${step}, in the rows at lines ${lines}`,
    file,
  );
}
