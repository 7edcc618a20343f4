import { stat } from 'node:fs/promises';
import path from 'node:path';
import { resizeAdapter, type Resized, type ResizeTarget } from '../../lora/resize';
import { readAdapters, writeMadeAdapter } from '../combine/writeAdapter';
import type { Context } from './context';
import { readOptions, required, shareOf, usageError, wholeNumber } from './options';

export const RESIZE_USAGE = 'lora resize --adapter DIR --rank N | --energy 0.99 | --error 0.05 --output DIR [--json]';

/** The best adapter of smaller ranks: what rank was needed? */
export async function resize(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(args, { adapter: { type: 'string' }, rank: { type: 'string' }, energy: { type: 'string' }, error: { type: 'string' }, output: { type: 'string' } }, RESIZE_USAGE);
  const folder = required(values.adapter, 'adapter', RESIZE_USAGE);
  const output = path.resolve(required(values.output, 'output', RESIZE_USAGE));
  const target = targetOf(values);
  const [adapter] = await readAdapters([folder], context.warn);
  const resized = resizeAdapter(adapter!, target);
  await writeMadeAdapter(output, resized.adapter, [folder], `brought to smaller ranks (${Object.entries(target).filter(([key]) => key !== 'kind').map(([key, value]) => `${key} ${value}`).join()})`);
  const [before, after] = await Promise.all([folder, output].map(async (own) => (await stat(path.join(own, 'adapter_model.safetensors'))).size)) as [number, number];
  const { error, modules } = resized;
  context.print(context.json ? JSON.stringify({ kind: 'result', output, error, modules, bytes_before: before, bytes_after: after }) : inWords(output, resized, before, after));
  return 0;
}

function inWords(output: string, { error, modules }: Resized, before: number, after: number): string {
  const ranks = (which: 'before' | 'after') => {
    const all = modules.map((m) => m[which]);
    const [least, most] = [Math.min(...all), Math.max(...all)];
    return least === most ? String(least) : `${least} to ${most}`;
  };
  return `${output}: rank ${ranks('before')} -> ${ranks('after')}, error ${(100 * error).toFixed(2)} % of ‖dW‖, ${Math.round(before / 1024).toLocaleString('en-US')} -> ${Math.round(after / 1024).toLocaleString('en-US')} KiB`;
}

function targetOf({ rank, energy, error }: { readonly rank?: string | undefined; readonly energy?: string | undefined; readonly error?: string | undefined }): ResizeTarget {
  if ([rank, energy, error].filter((value) => value !== undefined).length !== 1) throw usageError('Name one of --rank, --energy and --error', RESIZE_USAGE);
  if (rank !== undefined) {
    const own = wholeNumber(rank, 'rank', 1, RESIZE_USAGE);
    if (own < 1) throw usageError('--rank must be at least 1', RESIZE_USAGE);
    return { kind: 'rank', rank: own };
  }
  return energy !== undefined ? { kind: 'energy', energy: shareOf(energy, 'energy', 1, RESIZE_USAGE) } : { kind: 'error', error: shareOf(error, 'error', 0, RESIZE_USAGE) };
}
