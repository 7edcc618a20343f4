import { LoraError } from '../../shared/errors';

/** A training whose numbers have left what numbers can hold. `file`: its rows. */
export function divergenceError(what: string, file: string): LoraError {
  return new LoraError('run', `${what}: the training went astray.`, {
    place: { file },
    fix: 'Take a lower learning_rate or a smaller max_grad_norm, and look at the rows. The last checkpoint is kept.',
  });
}
