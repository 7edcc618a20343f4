import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { downloadBase } from '../download/downloadBase';
import { hubNameOf } from '../download/plan';
import type { Context } from './context';
import { readOptions, required, usageError } from './options';

export const DOWNLOAD_USAGE =
  'lora download OWNER/MODEL[/NAME.gguf] --output FOLDER [--revision main] [--json]  (HF_TOKEN, HF_ENDPOINT)';

/** A base from the hub. */
export async function download(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    { output: { type: 'string' }, revision: { type: 'string' } },
    DOWNLOAD_USAGE,
  );
  const [name] = positionals;
  if (name === undefined || positionals.length > 1)
    throw usageError('Name one model', DOWNLOAD_USAGE);
  const output = path.resolve(required(values.output, 'output', DOWNLOAD_USAGE));
  const endpoint = (process.env['HF_ENDPOINT'] ?? 'https://huggingface.co').replace(/\/+$/, '');
  const token = process.env['HF_TOKEN'] ?? '';
  if (token !== '' && !token.startsWith('hf_'))
    throw new LoraError('usage', 'HF_TOKEN is no token of the hub: they begin with hf_.');
  const { repository, file } = hubNameOf(name);
  let told = -1;
  const { base, bytes } = await downloadBase({
    hub: {
      endpoint,
      repository,
      revision: values.revision ?? 'main',
      token: token === '' ? null : token,
      signal: context.signal,
    },
    file,
    output,
    onProgress: (fraction) => {
      const percent = Math.floor(100 * fraction);
      if (percent === told) return;
      told = percent;
      if (context.json)
        context.print(JSON.stringify({ kind: 'progress', phase: 'downloading', fraction }));
      else if (percent % 10 === 0) context.warn(`${percent} %`);
    },
  });
  context.print(
    context.json
      ? JSON.stringify({ kind: 'result', base, bytes })
      : `${base} (${(bytes / 2 ** 20).toFixed(0)} MiB)`,
  );
  return 0;
}
