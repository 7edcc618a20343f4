import { writeErrorReason } from '../../common/fileStatus';
import { ADAPTER_FORMATS, type AdapterFormat } from '../../formats/adapterFormat';
import { ADAPTER_DTYPES, type AdapterDtypeChoice } from '../../formats/adapterDtype';
import { shellQuote } from '../../common/shellQuote';
import { LoraError } from '../../shared/errors';
import { convertAdapterFile, writeModelfile, type Converted } from '../convert/convertAdapterFile';
import { convertModel } from '../convert/convertModel';
import { mergeModel } from '../merge/mergeModel';
import { createOps, findMergeKernel } from '../model/backend';
import { llamaProgram, llamaServer } from '../use/llamaCommands';
import { useRuntime } from '../useRuntime';
import { defineCommand, form } from './command';
import { partialOption } from './commonOptions';
import { printResult, type CommandContext } from './context';
import { flag, optional, required, withDefault } from './options';
import { absolutePath, anyText, byteSize, isWeightFile, oneOf } from './optionValues';
import { withProgress } from './progress';
import { countOf } from '../../shared/values';
import { joinLines } from '../report';

/** The formats that are a single file, with its extension. */
const EXTENSIONS: Readonly<Partial<Record<Target, string>>> = {
  gguf: '.gguf',
  kohya: '.safetensors',
  diffusers: '.safetensors',
  'ai-toolkit': '.safetensors',
};

/** A Hugging Face model folder, which is made from a base alone. */
const FOLDER = 'folder';
const TARGETS = [...ADAPTER_FORMATS, FOLDER] as const;
type Target = (typeof TARGETS)[number];

interface Request {
  readonly adapter: string | null;
  readonly to: Target;
  readonly output: string;
  readonly base: string | null;
  readonly merge: boolean;
  readonly partial: boolean;
  readonly modelfile: string | null;
  readonly dtype: AdapterDtypeChoice;
  readonly 'max-shard-size': number | null;
}

/** lora convert. */
export const convertCommand = defineCommand({
  name: 'convert',
  summary:
    'Converts an adapter between the formats of PEFT, mlx-lm, kohya-ss, Diffusers, ai-toolkit and llama.cpp, or a .gguf model to a Hugging Face folder.',
  forms: [
    form({
      options: {
        adapter: optional(anyText, 'PATH', 'adapter in any of the formats'),
        to: required(
          oneOf(TARGETS),
          TARGETS.join('|'),
          'format to write; folder: without --adapter',
        ),
        output: required(absolutePath, 'PATH', 'folder or file to write'),
        base: optional(anyText, 'PATH', 'base model (default: the one that the adapter names)'),
        partial: partialOption,
        merge: flag('merge the adapter into its base instead'),
        modelfile: optional(absolutePath, 'FILE', 'with --to gguf: write a Modelfile for Ollama'),
        dtype: withDefault(
          'keep',
          oneOf(ADAPTER_DTYPES),
          ADAPTER_DTYPES.join('|'),
          'dtype of the numbers; keep makes quantised weights float16',
        ),
        'max-shard-size': optional(
          byteSize,
          'SIZE',
          'with --to folder: largest weight file (default: 5GB)',
        ),
      },
      check: ({ options }) => problemOf(options),
      run: async ({ options }, context) => {
        const { adapter, to } = options;
        if (adapter === null || to === FOLDER) {
          return convertBase(options, context);
        }
        return convertAdapter({ ...options, adapter, to }, context);
      },
    }),
  ],
});

/** Options that do not fit together: a sentence, or null. */
function problemOf(options: Request): string | null {
  const { adapter, to, base, merge, modelfile } = options;
  if (to === FOLDER && (adapter !== null || merge)) {
    return '--to folder converts a base alone. Use lora merge to add an adapter to it.';
  }
  if (to === FOLDER && base === null) {
    return '--to folder needs --base, the .gguf file to convert.';
  }
  if (to !== FOLDER && adapter === null) {
    return '--adapter is missing.';
  }
  if (to !== FOLDER && options['max-shard-size'] !== null) {
    return '--max-shard-size needs --to folder.';
  }
  const misnamed = outputProblem(options);
  if (misnamed !== null) {
    return misnamed;
  }
  return modelfile !== null && to !== 'gguf' ? '--modelfile needs --to gguf.' : null;
}

/** The problem of an output that is named as another format: a sentence, or null. */
function outputProblem({ to, output, merge }: Request): string | null {
  const extension = EXTENSIONS[to];
  if (extension !== undefined && !output.endsWith(extension)) {
    return `--output must be a file that ends with ${extension}.`;
  }
  if (extension === undefined && !merge && isWeightFile(output)) {
    return `--output must be a folder with --to ${to}.`;
  }
  return null;
}

async function convertBase(
  { base, output, dtype, 'max-shard-size': shardSize }: Request,
  context: CommandContext,
): Promise<number> {
  const converted = await withProgress(context, ({ show, warn }) =>
    convertModel({
      base: base!,
      output,
      dtype,
      max_shard_size: shardSize,
      signal: context.signal,
      warn,
      onProgress: (fraction) => show('converting', fraction),
    }),
  );
  printResult(
    context,
    { from: 'gguf', to: FOLDER, output, ...converted },
    () =>
      `${output}: ${countOf(converted.tensors, 'tensor')} in ${countOf(converted.files.length, 'file')}, for transformers`,
  );
  return 0;
}

type AdapterRequest = Request & { readonly adapter: string; readonly to: AdapterFormat };

async function convertAdapter(request: AdapterRequest, context: CommandContext): Promise<number> {
  const { to, output, modelfile } = request;
  const converted = await convertAdapterFile({
    ...request,
    for_ollama: modelfile !== null,
    warn: context.warn,
  });
  if (converted.kind === 'unsupported') {
    const certificate = await mergeInstead(converted, request, context);
    printResult(
      context,
      { merged: true, ...certificate },
      () => `${certificate.output}: the base with the adapter merged into it`,
    );
    return 0;
  }
  if (modelfile !== null) {
    await writeModelfileFor(output, converted.base!, modelfile);
  }
  const { from, base: usedBase, modules, notes, makes } = converted;
  const facts = { from, base: usedBase, modules, notes, makes, to, output, modelfile };
  printResult(context, facts, () => describeConverted(converted, to, output));
  return 0;
}

async function writeModelfileFor(adapter: string, base: string, file: string): Promise<void> {
  await writeModelfile(file, base, adapter).catch((error: unknown) => {
    throw error instanceof LoraError
      ? error
      : new LoraError('disk', `The Modelfile could not be written: ${writeErrorReason(error)}.`, {
          place: { file },
          fix: 'Choose another file.',
          cause: error,
        });
  });
}

/**
 * Merges an adapter into its base, as --merge asks.
 * @throws LoraError when the format cannot hold the adapter and --merge was not given, or the base
 * is not known.
 */
async function mergeInstead(
  { base, lost }: Extract<Converted, { kind: 'unsupported' }>,
  { adapter, to, output, merge, partial, dtype }: AdapterRequest,
  context: CommandContext,
) {
  const problem =
    lost.length === 0 ? null : `The format cannot hold all of the adapter: ${lost.join('; ')}.`;
  if (problem !== null && !merge) {
    throw new LoraError('adapter', problem, {
      place: { file: adapter },
      fix: `Merge it into its base (--merge)${to === 'gguf' ? ggufMerges(base) : ''}. If the adapter does not name its base, choose that, too (--base).`,
    });
  }
  if (base === null) {
    throw new LoraError(
      'usage',
      problem ?? 'The base of the adapter is not known, so it cannot be merged.',
      { place: { file: adapter }, fix: 'Choose the base to merge it into (--base).' },
    );
  }
  if (problem !== null) {
    context.warn(`${problem} It is merged into its base instead.`);
  }
  const target = mergedOutput(output, base);
  const { parity } = await withProgress(context, ({ show, warn }) =>
    mergeModel({
      base,
      adapters: [adapter],
      output: target,
      scale: 1,
      partial,
      dtype,
      max_shard_size: null,
      ops: async () => createOps(await useRuntime(context), context.dist),
      kernel: () => findMergeKernel(context),
      signal: context.signal,
      warn,
      onProgress: show,
    }),
  );
  return { output: target, parity };
}

/** What a merge makes where llama.cpp cannot have an adapter. */
const ggufMerges = (base: string | null): string =>
  base?.endsWith('.gguf')
    ? ', which makes a .gguf file of the merged model'
    : ": into its .gguf file (--base BASE.gguf), or into a folder, which llama.cpp's convert_hf_to_gguf.py converts where llama.cpp has the architecture";

/** A file if the base is one and the output is named so, otherwise a folder. */
function mergedOutput(output: string, base: string): string {
  const isSameKind = ['.gguf', '.safetensors'].some(
    (ending) => base.endsWith(ending) && output.endsWith(ending),
  );
  return isSameKind ? output : output.replace(/\.(?:safetensors|gguf)$/, '');
}

function describeConverted(
  converted: Extract<Converted, { kind: 'written' }>,
  to: AdapterFormat,
  output: string,
): string {
  const { from, modules, notes } = converted;
  return joinLines([
    `${output}: ${countOf(modules, 'module')}, converted from ${from} to ${to}`,
    ...notes,
    ...(to === 'gguf' ? usesOf(converted, output) : []),
  ]);
}

/** How llama.cpp and Ollama use the adapter. */
function usesOf(
  { base, makes }: Extract<Converted, { kind: 'written' }>,
  output: string,
): readonly string[] {
  if (base === null || makes === null) return [];
  const files = { model: base.endsWith('.gguf') ? base : 'BASE.gguf', adapter: output };
  const programs = [llamaProgram(makes, files), llamaServer(makes, files)].filter(
    (own) => own !== null,
  );
  const own = makes === 'text' ? programs.slice(0, 1) : programs;
  return [
    'Use it with llama.cpp:',
    ...own.map((command) => `  ${command.map((word) => shellQuote(word)).join(' ')}`),
    ...(makes === 'text'
      ? [
          'or with Ollama, by a Modelfile (--modelfile FILE writes it):',
          `  FROM ${base}`,
          `  ADAPTER ${output}`,
        ]
      : []),
  ];
}
