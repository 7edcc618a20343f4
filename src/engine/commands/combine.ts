import path from 'node:path';
import {
  combineUpdates,
  COMBINATIONS,
  type Combined,
  type CombineOptions,
} from '../../lora/combine';
import { readAdapters, refused, writeMadeAdapter } from '../combine/writeAdapter';
import type { Context } from './context';
import { readOptions, required, shareOf, usageError, wholeNumber } from './options';

export const COMBINE_USAGE = `lora combine --adapter DIR --adapter DIR… --weights 0.7,0.3 --type ${COMBINATIONS.join('|')} --output DIR [--rank N] [--density D] [--sign total|frequency] [--peft] [--json]`;

/**
 * Several adapters of one base as one; says how far that is from the weighted sum of their updates.
 */
export async function combine(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(
    args,
    {
      adapter: { type: 'string', multiple: true },
      weights: { type: 'string' },
      type: { type: 'string' },
      output: { type: 'string' },
      rank: { type: 'string' },
      density: { type: 'string' },
      sign: { type: 'string' },
      peft: { type: 'boolean' },
    },
    COMBINE_USAGE,
  );
  const folders = values.adapter ?? [];
  const output = path.resolve(required(values.output, 'output', COMBINE_USAGE));
  const options: CombineOptions = {
    type: typeOf(values.type),
    weights: weightsOf(values.weights, folders.length),
    rank:
      values.rank === undefined
        ? null
        : Math.max(1, wholeNumber(values.rank, 'rank', 1, COMBINE_USAGE)),
    density: shareOf(values.density, 'density', 0.5, COMBINE_USAGE),
    majority_sign_method: signOf(values.sign),
    peft: values.peft ?? false,
  };
  const adapters = await readAdapters(folders, context.warn);
  const combined = attempt(() => combineUpdates(adapters, options), folders[0] ?? output);
  await writeMadeAdapter(
    output,
    combined.adapter,
    folders,
    `${options.type} of ${folders.length} with the weights ${options.weights.join(', ')}`,
  );
  const { error, errors, adapter } = combined;
  context.print(
    context.json
      ? JSON.stringify({
          kind: 'result',
          output,
          error,
          errors: Object.fromEntries(errors),
          ranks: Object.fromEntries(adapter.modules.map((m) => [m.path, m.r])),
        })
      : inWords(output, combined),
  );
  return 0;
}

function attempt<T>(make: () => T, folder: string): T {
  try {
    return make();
  } catch (error) {
    return refused(error, folder);
  }
}

function inWords(output: string, { adapter, error, errors }: Combined): string {
  const worst = [...errors].reduce((most, own) => (own[1] > most[1] ? own : most), ['', 0]);
  const ranks = [...new Set(adapter.modules.map((m) => m.r))].join(', ');
  const exact = error !== null && error < 1e-6;
  return `${output}: ${adapter.modules.length} layers of rank ${ranks}\n${
    exact
      ? 'It does exactly what the weighted sum of the updates does.'
      : `Error against the weighted sum of the updates: ${((error ?? 0) * 100).toFixed(2)} %${worst[0] === '' ? '' : `, most in ${worst[0]} (${(worst[1] * 100).toFixed(2)} %)`}`
  }`;
}

function typeOf(value: string | undefined): CombineOptions['type'] {
  const type = COMBINATIONS.find((own) => own === required(value, 'type', COMBINE_USAGE));
  if (type) return type;
  throw usageError(
    `--type must be one of ${COMBINATIONS.join(', ')}, not ${JSON.stringify(value)}`,
    COMBINE_USAGE,
  );
}

function weightsOf(value: string | undefined, count: number): number[] {
  if (value === undefined) return new Array<number>(count).fill(1);
  const weights = value.split(',').map(Number);
  if (weights.every(Number.isFinite)) return weights;
  throw usageError(
    `--weights must be numbers with commas between, not ${JSON.stringify(value)}`,
    COMBINE_USAGE,
  );
}

function signOf(value: string | undefined): CombineOptions['majority_sign_method'] {
  if (value === undefined || value === 'total' || value === 'frequency') return value ?? 'total';
  throw usageError(
    `--sign must be total or frequency, not ${JSON.stringify(value)}`,
    COMBINE_USAGE,
  );
}
