import { stat } from 'node:fs/promises';
import path from 'node:path';
import { resizeFactors, type Resized } from '../../lora/resize';
import { readAdapters, writeMadeAdapter } from '../combine/writeAdapter';
import { rangeOf } from './describe';
import type { Context } from './context';
import { readOptions, required, resizeTarget } from './options';

export const RESIZE_USAGE =
  'lora resize --adapter DIR --rank N | --energy 0.99 | --error 0.05 --output DIR [--json]';

/** The best adapter of smaller ranks: what rank was needed? */
export async function resize(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(
    args,
    {
      adapter: { type: 'string' },
      rank: { type: 'string' },
      energy: { type: 'string' },
      error: { type: 'string' },
      output: { type: 'string' },
    },
    RESIZE_USAGE,
  );
  const folder = required(values.adapter, 'adapter', RESIZE_USAGE);
  const output = path.resolve(required(values.output, 'output', RESIZE_USAGE));
  const target = resizeTarget(values, RESIZE_USAGE);
  const [adapter] = await readAdapters([folder], context.warn);
  const resized = resizeFactors(adapter!, target);
  await writeMadeAdapter(
    output,
    resized.adapter,
    [folder],
    `brought to smaller ranks (${Object.entries(target)
      .filter(([key]) => key !== 'kind')
      .map(([key, value]) => `${key} ${value}`)
      .join()})`,
  );
  const [before, after] = (await Promise.all(
    [folder, output].map(
      async (own) => (await stat(path.join(own, 'adapter_model.safetensors'))).size,
    ),
  )) as [number, number];
  const { error, modules } = resized;
  context.print(
    context.json
      ? JSON.stringify({
          kind: 'result',
          output,
          error,
          modules,
          bytes_before: before,
          bytes_after: after,
        })
      : inWords(output, resized, before, after),
  );
  return 0;
}

function inWords(
  output: string,
  { error, modules }: Resized,
  before: number,
  after: number,
): string {
  return `${output}: rank ${rangeOf(modules.map((m) => m.before))} -> ${rangeOf(modules.map((m) => m.after))}, error ${(100 * error).toFixed(2)} % of ‖dW‖, ${Math.round(before / 1024).toLocaleString('en-US')} -> ${Math.round(after / 1024).toLocaleString('en-US')} KiB`;
}
