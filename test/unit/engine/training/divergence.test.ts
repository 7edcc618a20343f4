import { expect, it } from 'vitest';
import { divergenceError } from '../../../../src/engine/training/divergence';

it.each([
  [
    1,
    null,
    'Lower learning_rate or max_grad_norm, and check the rows. There is no checkpoint yet.',
  ],
  [
    0,
    40,
    'Lower learning_rate or clip the gradients with max_grad_norm = 1, and check the rows. The checkpoint of step 40 is kept.',
  ],
])('with max_grad_norm %s and the checkpoint %s', (max_grad_norm, checkpoint, fix) => {
  const error = divergenceError('The loss became NaN', 'data.jsonl', { max_grad_norm, checkpoint });
  expect(error).toMatchObject({
    area: 'run',
    message: 'The loss became NaN: the training diverged.',
    fix,
  });
});
