import path from 'node:path';
import { jobProgress } from './terminal';
import { unmergeModel, type Unmerged } from '../unmerge/unmergeModel';
import type { Context } from './context';
import { readOptions, required } from './options';

export const UNMERGE_USAGE =
  'lora unmerge --merged DIR|FILE.gguf --output DIR|FILE.gguf [--adapter DIR…] [--json]';

/** The base again, from a model that lora merge wrote. */
export async function unmerge(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(
    args,
    {
      merged: { type: 'string' },
      output: { type: 'string' },
      adapter: { type: 'string', multiple: true },
    },
    UNMERGE_USAGE,
  );
  const output = path.resolve(required(values.output, 'output', UNMERGE_USAGE));
  const progress = jobProgress(context);
  const unmerged = await unmergeModel({
    merged: path.resolve(required(values.merged, 'merged', UNMERGE_USAGE)),
    output,
    adapters: values.adapter ?? [],
    signal: context.signal,
    onProgress: progress.show,
  }).finally(() => progress.end());
  context.print(
    context.json
      ? JSON.stringify({ kind: 'result', output, ...unmerged })
      : inWords(output, unmerged),
  );
  return 0;
}

function inWords(output: string, { tensors, largest_difference }: Unmerged): string {
  const bound = Math.max(0, ...tensors.map((tensor) => tensor.bound));
  return [
    `${output}: the updates were taken out of ${tensors.length} tensors; what rounding took can be up to ${bound.toExponential(1)} in a number`,
    largest_difference === null
      ? 'The base is not there any more to compare it with.'
      : `Beside the base, the largest difference is ${largest_difference.toExponential(1)}.`,
  ].join('\n');
}
