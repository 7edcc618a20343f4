import { ADAPTER_FORMATS, type AdapterFormat } from '../../formats/adapterFormat';
import { LoraError } from '../../shared/errors';
import { convertAdapterFile, writeModelfile, type Converted } from '../convert/convertAdapterFile';
import { mergeModel } from '../merge/mergeModel';
import { createOps } from '../model/backend';
import { useRuntime } from '../useRuntime';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { flag, optional, required } from './options';
import { absolutePath, oneOf, anyText } from './optionValues';
import { withProgress } from './progress';
import { countOf } from '../../shared/values';

/** The formats that are a single file, with its extension. */
const EXTENSIONS: Readonly<Partial<Record<AdapterFormat, string>>> = {
  gguf: '.gguf',
  kohya: '.safetensors',
};

/** lora convert. */
export const convertCommand = defineCommand({
  name: 'convert',
  summary: 'Converts an adapter between the formats of PEFT, mlx-lm, kohya-ss and llama.cpp.',
  forms: [
    form({
      options: {
        adapter: required(anyText, 'PATH', 'adapter in any of the formats'),
        to: required(oneOf(ADAPTER_FORMATS), ADAPTER_FORMATS.join('|'), 'format to write'),
        output: required(absolutePath, 'PATH', 'folder or file to write'),
        base: optional(anyText, 'PATH', 'base model (default: the one that the adapter names)'),
        merge: flag('merge into the base if the format cannot hold all of the adapter'),
        modelfile: optional(absolutePath, 'FILE', 'with --to gguf: write a Modelfile for Ollama'),
      },
      check: ({ options: { to, output, modelfile } }) => {
        const extension = EXTENSIONS[to];
        if (extension !== undefined && !output.endsWith(extension)) {
          return `--output must be a file that ends with ${extension}.`;
        }
        return modelfile !== null && to !== 'gguf' ? '--modelfile needs --to gguf.' : null;
      },
      run: async ({ options }, context) => {
        const { adapter, to, base, output, merge, modelfile } = options;
        const converted = await convertAdapterFile({
          adapter,
          to,
          base,
          output,
          warn: context.warn,
        });
        if (converted.kind === 'unsupported') {
          const certificate = await mergeInstead(converted, { adapter, output, merge }, context);
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
        const { from, base: usedBase, modules, notes } = converted;
        const facts = { from, base: usedBase, modules, notes, to, output, modelfile };
        printResult(context, facts, () => describeConverted(converted, to, output));
        return 0;
      },
    }),
  ],
});

async function writeModelfileFor(adapter: string, base: string, file: string): Promise<void> {
  await writeModelfile(file, base, adapter).catch((error: unknown) => {
    throw new LoraError('disk', 'The Modelfile could not be written: it may exist already.', {
      place: { file },
      fix: 'Choose another file.',
      cause: error,
    });
  });
}

interface MergeRequest {
  readonly adapter: string;
  readonly output: string;
  /** --merge was given. */
  readonly merge: boolean;
}

/**
 * Merges an adapter that the format cannot hold into its base.
 * @throws LoraError when --merge was not given or the base is not known.
 */
async function mergeInstead(
  { base, lost }: Extract<Converted, { kind: 'unsupported' }>,
  { adapter, output, merge }: MergeRequest,
  context: CommandContext,
) {
  const problem = `The format cannot hold all of the adapter: ${lost.join('; ')}.`;
  if (!merge) {
    throw new LoraError('adapter', problem, {
      place: { file: adapter },
      fix: 'Merge it into its base with --merge. If the adapter does not name its base, add --base.',
    });
  }
  if (base === null) {
    throw new LoraError('usage', problem, {
      place: { file: adapter },
      fix: 'Name the base to merge it into with --base.',
    });
  }
  context.warn(`${problem} It is merged into its base instead.`);
  const target = mergedOutput(output, base);
  const { parity } = await withProgress(context, ({ show, warn }) =>
    mergeModel({
      base,
      adapters: [adapter],
      output: target,
      scale: 1,
      dtype: 'keep',
      max_shard_size: null,
      ops: async () => createOps(await useRuntime(context), context.dist),
      signal: context.signal,
      warn,
      onProgress: show,
    }),
  );
  return { output: target, parity };
}

/** A .gguf file if the base is one and the output is named so, otherwise a folder. */
function mergedOutput(output: string, base: string): string {
  return base.endsWith('.gguf') && output.endsWith('.gguf')
    ? output
    : output.replace(/\.(?:safetensors|gguf)$/, '');
}

function describeConverted(
  { from, modules, notes, base }: Extract<Converted, { kind: 'written' }>,
  to: AdapterFormat,
  output: string,
): string {
  const lines = [
    `${output}: ${countOf(modules, 'module')}, converted from ${from} to ${to}`,
    ...notes,
  ];
  if (to === 'gguf' && base !== null) {
    lines.push(
      'Use it with llama.cpp:',
      `  llama-cli -m BASE.gguf --lora ${output}`,
      'or with Ollama, by a Modelfile (--modelfile FILE writes it):',
      `  FROM ${base}`,
      `  ADAPTER ${output}`,
    );
  }
  return lines.join('\n');
}
