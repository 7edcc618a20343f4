import { LoraError, type Problem } from '../../shared/errors';
import { countOf } from '../../shared/values';
import type { TensorInfo } from '../tensorInfo';
import type { WantedTensor } from './layerTensors';
import { tensorsOf } from './modules';
import type { Spec } from './spec';

const MAX_PROBLEMS = 20;

/**
 * Compares a checkpoint's tensors with its spec. Returns the names of the classifier's tensors that
 * must be newly initialized: they are missing, have another shape, or `new_head` is set.
 *
 * @throws LoraError('base') with the first 20 tensors that are missing or have another shape.
 */
export function checkTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  spec: Spec,
  file: string,
  new_head = false,
): readonly string[] {
  const { body, head } = tensorsOf(spec);
  const fits = ({ name, shape }: WantedTensor) => tensors.get(name)?.shape.join() === shape.join();
  const problems = body
    .filter((wanted) => !fits(wanted))
    .map(({ name, shape }): Problem => {
      const found = tensors.get(name);
      const message = found
        ? `Its shape is [${found.shape.join(', ')}], the config asks for [${shape.join(', ')}].`
        : 'It is missing.';
      return { severity: 'error', message, place: { file, tensor: name } };
    });
  if (problems.length > 0) {
    throw new LoraError(
      'base',
      `The weights do not fit the config: ${problems.length} of ${countOf(body.length, 'tensor')} ${problems.length === 1 ? 'is missing or has' : 'are missing or have'} another shape.`,
      {
        place: { file },
        problems: problems.slice(0, MAX_PROBLEMS),
        fix: 'Download the model again, all of its files, and check that they belong together.',
      },
    );
  }
  const isNew = ({ name }: WantedTensor) =>
    new_head && spec.head.kind === 'labels' && name.startsWith(`${spec.head.output.path}.`);
  return head.filter((wanted) => isNew(wanted) || !fits(wanted)).map(({ name }) => name);
}
