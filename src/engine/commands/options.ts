import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { ResizeTarget } from '../../lora/resize';
import { LoraError } from '../../shared/errors';
import { BASE_DTYPES, type BaseDtype } from '../../shared/recipe';

type Options = NonNullable<ParseArgsConfig['options']>;

type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true; strict: true }>
>;

/** Arguments by their specification. Errors: LoraError('usage'). */
export function readOptions<O extends Options>(
  args: readonly string[],
  options: O,
  usage: string,
): Parsed<O> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw usageError(error instanceof Error ? error.message.split('. ')[0]! : String(error), usage);
  }
}

export const usageError = (what: string, usage: string): LoraError =>
  new LoraError('usage', `${what}.`, { fix: usage });

export function required(value: string | undefined, name: string, usage: string): string {
  if (value === undefined || value === '') throw usageError(`--${name} is missing`, usage);
  return value;
}

export function wholeNumber(
  value: string | undefined,
  name: string,
  missing: number,
  usage: string,
): number {
  if (value === undefined) return missing;
  if (/^\d+$/.test(value)) return Number(value);
  throw usageError(`--${name} must be a whole number, not ${JSON.stringify(value)}`, usage);
}

export function temperatureOf(value: string | undefined, usage: string): number {
  const number = Number(value ?? '0');
  if (Number.isFinite(number) && number >= 0) return number;
  throw usageError(`--temperature must be 0 or above, not ${JSON.stringify(value)}`, usage);
}

/** In what the base is held. */
export function dtypeOf(value: string | undefined, missing: BaseDtype, usage: string): BaseDtype {
  const known = BASE_DTYPES.find((own) => own === (value ?? missing));
  if (known) return known;
  throw usageError(
    `--base-dtype must be ${BASE_DTYPES.join(', ')}, not ${JSON.stringify(value)}`,
    usage,
  );
}

/** A number from 0 to 1. */
export function shareOf(
  value: string | undefined,
  name: string,
  missing: number,
  usage: string,
): number {
  const share = Number(value ?? missing);
  if (Number.isFinite(share) && share >= 0 && share <= 1) return share;
  throw usageError(`--${name} must be a number from 0 to 1, not ${JSON.stringify(value)}`, usage);
}

/** How small a rank may be, by one of three options. */
export function resizeTarget(
  {
    rank,
    energy,
    error,
  }: {
    readonly rank?: string | undefined;
    readonly energy?: string | undefined;
    readonly error?: string | undefined;
  },
  usage: string,
): ResizeTarget {
  if ([rank, energy, error].filter((value) => value !== undefined).length !== 1)
    throw usageError('Name one of --rank, --energy and --error', usage);
  if (rank !== undefined) {
    const own = wholeNumber(rank, 'rank', 1, usage);
    if (own < 1) throw usageError('--rank must be at least 1', usage);
    return { kind: 'rank', rank: own };
  }
  return energy !== undefined
    ? { kind: 'energy', energy: shareOf(energy, 'energy', 1, usage) }
    : { kind: 'error', error: shareOf(error, 'error', 0, usage) };
}
