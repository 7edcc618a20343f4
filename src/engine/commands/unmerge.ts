import { unmergeModelFile, type Unmerged } from '../unmerge/unmergeModelFile';
import { defineCommand, form } from './command';
import { printResult } from './context';
import { list, required } from './options';
import { absolutePath, anyText } from './optionValues';
import { withProgress } from './progress';
import { countOf } from '../../shared/values';
import { joinLines } from '../report';

/** lora unmerge. */
export const unmergeCommand = defineCommand({
  name: 'unmerge',
  summary: 'Restores the base from a model that lora merge wrote.',
  forms: [
    form({
      options: {
        merged: required(absolutePath, 'DIR|FILE.gguf', 'merged model'),
        output: required(absolutePath, 'DIR|FILE.gguf', 'restored base, of the same kind'),
        adapter: list(anyText, 'DIR', 'adapter, if it has moved; repeat in the order of the merge'),
      },
      run: async ({ options: { merged, output, adapter } }, context) => {
        const unmerged = await withProgress(context, ({ show }) =>
          unmergeModelFile({
            merged,
            output,
            adapters: adapter,
            signal: context.signal,
            onProgress: show,
          }),
        );
        printResult(context, { output, ...unmerged }, () => describeUnmerged(output, unmerged));
        return 0;
      },
    }),
  ],
});

function describeUnmerged(output: string, { tensors, largest_difference }: Unmerged): string {
  const bound = Math.max(0, ...tensors.map((tensor) => tensor.bound));
  return joinLines([
    `${output}: the updates were subtracted from ${countOf(tensors.length, 'tensor')}; rounding changes an element by at most ${bound.toExponential(1)}`,
    largest_difference === null
      ? 'The base no longer exists, so the result was not compared with it.'
      : `Largest difference from the base: ${largest_difference.toExponential(1)}.`,
  ]);
}
