import path from 'node:path';
import { extractAdapter, listed, type Extracted } from '../extract/extractAdapter';
import { jobProgress } from './terminal';
import { rangeOf } from './describe';
import type { Context } from './context';
import { readOptions, required, resizeTarget } from './options';

export const EXTRACT_USAGE =
  'lora extract --base MODEL --tuned MODEL --rank N | --energy 0.99 | --error 0.05 --output DIR [--target-modules all-linear|NAME,NAME…] [--json]';

/** An adapter from a fully tuned model: the best of its rank, and what it leaves out. */
export async function extract(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(
    args,
    {
      base: { type: 'string' },
      tuned: { type: 'string' },
      rank: { type: 'string' },
      energy: { type: 'string' },
      error: { type: 'string' },
      output: { type: 'string' },
      'target-modules': { type: 'string' },
    },
    EXTRACT_USAGE,
  );
  const output = path.resolve(required(values.output, 'output', EXTRACT_USAGE));
  const targets = values['target-modules'] ?? 'all-linear';
  const progress = jobProgress(context);
  const extracted = await extractAdapter({
    base: required(values.base, 'base', EXTRACT_USAGE),
    tuned: required(values.tuned, 'tuned', EXTRACT_USAGE),
    output,
    target: resizeTarget(values, EXTRACT_USAGE),
    target_modules: targets === 'all-linear' ? targets : targets.split(','),
    signal: context.signal,
    onProgress: (fraction) => progress.show('extracting', fraction),
  }).finally(() => progress.end());
  context.print(
    context.json
      ? JSON.stringify({ kind: 'result', output, ...extracted })
      : inWords(output, extracted),
  );
  return 0;
}

function inWords(output: string, { modules, error, left_out }: Extracted): string {
  return [
    `${output}: ${modules.length} layers of rank ${rangeOf(modules.map((m) => m.r))}, error ${(100 * error).toFixed(2)} % of ‖dW‖`,
    ...(left_out.length === 0
      ? []
      : [`Not carried, as they are no layers that were targeted: ${listed(left_out)}`]),
  ].join('\n');
}
