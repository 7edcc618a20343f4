import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { mergeModel } from '../merge/mergeModel';
import { MERGE_DTYPES, type MergeDtype } from '../merge/form';
import { verifyMerge, type Verified } from '../merge/verify';
import { CERTIFICATE, type Certificate } from '../merge/certificate';
import { certificateName } from '../merge/ggufTarget';
import { createOps } from '../model/backend';
import { jobProgress } from './terminal';
import { useRuntime, type Context } from './context';
import { readOptions, required, usageError } from './options';

export const MERGE_USAGE = `lora merge --base PATH --adapter DIR… --output DIR|FILE.gguf [--scale S] [--dtype keep|float32|bfloat16|float16|q8_0] [--max-shard-size 5GB] [--no-parity] [--json]
lora merge --verify DIR|FILE.gguf [--json]`;

export async function merge(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    {
      base: { type: 'string' },
      adapter: { type: 'string', multiple: true },
      output: { type: 'string' },
      scale: { type: 'string' },
      dtype: { type: 'string' },
      'max-shard-size': { type: 'string' },
      'no-parity': { type: 'boolean' },
      verify: { type: 'string' },
    },
    MERGE_USAGE,
  );
  if (positionals.length > 0)
    throw usageError(`${JSON.stringify(positionals[0])} is not an option`, MERGE_USAGE);
  if (values.verify !== undefined) return verify(values.verify, context);
  const adapters = values.adapter ?? [];
  if (adapters.length === 0) throw usageError('--adapter is missing', MERGE_USAGE);
  const output = path.resolve(required(values.output, 'output', MERGE_USAGE));
  const progress = jobProgress(context);
  const certificate = await mergeModel({
    base: required(values.base, 'base', MERGE_USAGE),
    adapters,
    output,
    scale: scaleOf(values.scale),
    dtype: dtypeOf(values.dtype),
    max_shard_size: sizeOf(values['max-shard-size']),
    ops: values['no-parity']
      ? null
      : async () => createOps(await useRuntime(context), context.dist),
    signal: context.signal,
    warn: progress.warn,
    onProgress: progress.show,
  }).finally(() => progress.end());
  context.print(
    context.json
      ? JSON.stringify({
          kind: 'result',
          output,
          memory: 1024 * process.resourceUsage().maxRSS,
          ...certificate,
        })
      : inWords(output, certificate),
  );
  return 0;
}

async function verify(folder: string, context: Context): Promise<number> {
  const { outputs, inputs } = await verifyMerge(path.resolve(folder), context.signal);
  const isWhole = outputs.every(({ state }) => state === 'same');
  const words = (list: readonly Verified[]) =>
    list.map(({ file, state }) => `  ${state.padEnd(8)} ${file}`);
  context.print(
    context.json
      ? JSON.stringify({ kind: 'result', whole: isWhole, outputs, inputs })
      : ['The merged model:', ...words(outputs), 'What it was made of:', ...words(inputs)].join(
          '\n',
        ),
  );
  return isWhole ? 0 : 1;
}

function inWords(output: string, { tensors, parity, untied }: Certificate): string {
  const rounding = Math.max(0, ...tensors.map((t) => t.rounding_error));
  const unmoved = tensors.reduce((sum, t) => sum + t.unmoved, 0);
  const elements = tensors.reduce((sum, t) => sum + t.elements, 0);
  return [
    `${output}: ${tensors.length} tensors merged, largest rounding error ${rounding.toExponential(1)}, ${unmoved.toLocaleString('en-US')} of ${elements.toLocaleString('en-US')} numbers unmoved by it`,
    ...(untied
      ? [
          'The output layer, which was the embedding, has a tensor of its own now: merged into both, the adapter would act twice.',
        ]
      : []),
    parity === null
      ? 'Parity was not measured.'
      : `Base + adapter and merged model on ${parity.prompts} prompts: logits differ by at most ${parity.largest_gap.toExponential(1)} (of ${parity.largest_logit.toFixed(1)}), the same first choice at ${(100 * parity.top1_agreement).toFixed(1)} % of the positions`,
    `${output.endsWith('.gguf') ? certificateName(path.basename(output)) : CERTIFICATE} says how it was made; lora merge --verify checks it.`,
  ].join('\n');
}

function dtypeOf(value: string | undefined): MergeDtype {
  if (value === undefined || value === 'keep') return 'keep';
  if (Object.hasOwn(MERGE_DTYPES, value)) return value as MergeDtype;
  throw usageError(
    `--dtype must be keep, ${Object.keys(MERGE_DTYPES).join(', ')}, not ${JSON.stringify(value)}`,
    MERGE_USAGE,
  );
}

function scaleOf(value: string | undefined): number {
  const scale = Number(value ?? '1');
  if (Number.isFinite(scale) && scale !== 0) return scale;
  throw usageError(
    `--scale must be a number other than 0, not ${JSON.stringify(value)}`,
    MERGE_USAGE,
  );
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

function sizeOf(value: string | undefined): number | null {
  if (value === undefined) return null;
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(value) ?? [];
  const factor = UNITS[unit.toUpperCase()];
  if (number === undefined || factor === undefined || Number(number) * factor < 1)
    throw new LoraError(
      'usage',
      `--max-shard-size must be a size such as 5GB, not ${JSON.stringify(value)}.`,
      { fix: MERGE_USAGE },
    );
  return Number(number) * factor;
}
