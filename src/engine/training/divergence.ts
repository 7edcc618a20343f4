import { linesOf } from '../../data/examples/example';
import type { Example } from '../../data/examples/example';
import { LoraError } from '../../shared/errors';

/** What the advice about a diverged training depends on. */
export interface DivergedTraining {
  /** 0: gradients are not clipped. */
  readonly max_grad_norm: number;
  /** The step of the newest checkpoint; null if there is none. */
  readonly checkpoint: number | null;
}

/**
 * The error of a training run whose numbers are no longer finite. `what`: a clause without a full
 * stop. `file`: the rows.
 */
export function divergenceError(
  what: string,
  file: string,
  { max_grad_norm, checkpoint }: DivergedTraining,
): LoraError {
  const clipping =
    max_grad_norm > 0 ? 'or max_grad_norm' : 'or clip the gradients with max_grad_norm = 1';
  const kept =
    checkpoint === null
      ? 'There is no checkpoint yet.'
      : `The checkpoint of step ${checkpoint} is kept.`;
  return new LoraError('run', `${what}: the training diverged.`, {
    place: { file },
    fix: `Lower learning_rate ${clipping}, and check the rows. ${kept}`,
  });
}

/** The outcome of one step. `value`: the loss or gradient norm that is not finite. */
export function describeStep(step: number, value: number, examples: readonly Example[]): string {
  const lines = examples.flatMap(linesOf).join(', ');
  return `The loss or its gradient became ${value} at step ${step}, in the rows at lines ${lines}`;
}
