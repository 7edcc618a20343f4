import path from 'node:path';
import { ADAPTER_FORMATS, type AdapterFormat } from '../../formats/adapterFormat';
import { LoraError } from '../../shared/errors';
import { convertAdapter, writeModelfile, type Converted } from '../convert/convert';
import { mergeModel } from '../merge/mergeModel';
import { createOps } from '../model/backend';
import { jobProgress } from './terminal';
import { useRuntime, type Context } from './context';
import { readOptions, required, usageError } from './options';

export const CONVERT_USAGE = `lora convert --adapter PATH --to ${ADAPTER_FORMATS.join('|')} --output PATH [--base PATH] [--merge] [--modelfile FILE] [--json]`;

/**
 * An adapter in another format. What the format cannot carry is refused, or merged into the base
 * with --merge.
 */
export async function convert(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    {
      adapter: { type: 'string' },
      base: { type: 'string' },
      to: { type: 'string' },
      output: { type: 'string' },
      merge: { type: 'boolean' },
      modelfile: { type: 'string' },
    },
    CONVERT_USAGE,
  );
  if (positionals.length > 0)
    throw usageError(`${JSON.stringify(positionals[0])} is not an option`, CONVERT_USAGE);
  const to = formatOf(values.to);
  const adapter = required(values.adapter, 'adapter', CONVERT_USAGE);
  const output = outputOf(required(values.output, 'output', CONVERT_USAGE), to);
  if (values.modelfile !== undefined && to !== 'gguf')
    throw usageError('--modelfile goes with --to gguf', CONVERT_USAGE);
  const converted = await convertAdapter({
    adapter,
    to,
    base: values.base ?? null,
    output,
    warn: context.warn,
  });
  if (converted.kind === 'not carried')
    return merged(converted, adapter, output, values.merge ?? false, context);
  const modelfile = await modelfileOf(values.modelfile, converted.base, output);
  context.print(
    context.json
      ? JSON.stringify({ ...converted, kind: 'result', to, output, modelfile })
      : inWords(converted, to, output),
  );
  return 0;
}

function formatOf(value: string | undefined): AdapterFormat {
  const format = ADAPTER_FORMATS.find((own) => own === required(value, 'to', CONVERT_USAGE));
  if (format) return format;
  throw usageError(
    `--to must be one of ${ADAPTER_FORMATS.join(', ')}, not ${JSON.stringify(value)}`,
    CONVERT_USAGE,
  );
}

const ENDINGS: Readonly<Partial<Record<AdapterFormat, string>>> = {
  gguf: '.gguf',
  kohya: '.safetensors',
};

function outputOf(value: string, to: AdapterFormat): string {
  const ending = ENDINGS[to];
  if (ending === undefined || value.endsWith(ending)) return path.resolve(value);
  throw usageError(`--output must be a file that ends with ${ending}`, CONVERT_USAGE);
}

async function modelfileOf(
  file: string | undefined,
  base: string | null,
  adapter: string,
): Promise<string | null> {
  if (file === undefined) return null;
  const own = path.resolve(file);
  await writeModelfile(own, base!, adapter).catch((error: unknown) => {
    throw new LoraError('disk', 'The Modelfile could not be written: there may be one already.', {
      place: { file: own },
      fix: 'Name another file.',
      cause: error,
    });
  });
  return own;
}

async function merged(
  { base, lost }: Extract<Converted, { kind: 'not carried' }>,
  adapter: string,
  output: string,
  merge: boolean,
  context: Context,
): Promise<number> {
  const what = `The format cannot carry all of the adapter: ${lost.join('; ')}.`;
  if (!merge)
    throw new LoraError('adapter', what, {
      place: { file: adapter },
      fix: 'Merge it into its base: with --merge, and --base where the adapter does not say where that is.',
    });
  if (base === null)
    throw new LoraError('usage', what, {
      place: { file: adapter },
      fix: 'Name the base to merge it into with --base.',
    });
  const folder =
    base.endsWith('.gguf') && output.endsWith('.gguf')
      ? output
      : output.replace(/\.(?:safetensors|gguf)$/, '');
  context.warn(`${what} It is merged into its base.`);
  const progress = jobProgress(context);
  const certificate = await mergeModel({
    base,
    adapters: [adapter],
    output: folder,
    scale: 1,
    dtype: 'keep',
    max_shard_size: null,
    ops: async () => createOps(await useRuntime(context), context.dist),
    signal: context.signal,
    warn: progress.warn,
    onProgress: progress.show,
  }).finally(() => progress.end());
  context.print(
    context.json
      ? JSON.stringify({ kind: 'result', merged: true, output: folder, parity: certificate.parity })
      : `${folder}: the base with the adapter merged into it`,
  );
  return 0;
}

function inWords(
  { from, modules, notes, base }: Extract<Converted, { kind: 'written' }>,
  to: AdapterFormat,
  output: string,
): string {
  const use =
    to !== 'gguf' || base === null
      ? []
      : [
          'Use it with llama.cpp:',
          `  llama-cli -m BASE.gguf --lora ${output}`,
          'or with Ollama, by a Modelfile (--modelfile FILE writes it):',
          `  FROM ${base}`,
          `  ADAPTER ${output}`,
        ];
  return [`${output}: ${modules} layers, from ${from} to ${to}`, ...notes, ...use].join('\n');
}
