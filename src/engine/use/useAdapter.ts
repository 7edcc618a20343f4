import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { writeErrorReason } from '../../common/fileStatus';
import { makeFolder } from '../../common/makeFolder';
import { findProgram, safeEnvironment } from '../../common/programs';
import { shellLine } from '../../common/shellLine';
import { FileRefused } from '../../common/regularFile';
import { refuseLinks } from '../../common/withoutLinks';
import {
  detectAdapter,
  readAdapter,
  type AdapterFormat,
  type FoundAdapter,
} from '../../formats/adapterFormat';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import {
  NEEDS_MERGE,
  USE_LABELS,
  type CommandLine,
  type LlamaOutput,
  type PreparedUse,
  type UseTool,
} from '../../shared/useTools';
import { convertAdapterFile, openBaseFor } from '../convert/convertAdapterFile';
import { mergeModel } from '../merge/mergeModel';
import { checkOutput } from '../outputPath';
import { warnOfProblems } from '../report';
import { llamaOutputOf } from './llamaCommands';
import { modelNameOf } from './names';
import { USES, type Ready } from './uses';

/** Which adapter to use where. */
export interface UseOptions {
  readonly in: UseTool;
  readonly adapter: string;
  /** Null: the base that the adapter names, if it is on this disk. */
  readonly base: string | null;
  /** Folder for what is written; null: nothing needs to be, or the program has its own. */
  readonly output: string | null;
  /** Null: made from the adapter's place. */
  readonly name: string | null;
  /** Merge the adapter into its base. */
  readonly merge: boolean;
  readonly partial: boolean;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly onProgress: (phase: string, fraction: number) => void;
}

/**
 * Writes the files that another program needs to use an adapter, and shows how to start it.
 *
 * @throws LoraError when the program cannot use the base or the adapter (place.key is `NEEDS_MERGE`
 *   where merging would help), when files exist, or as converting and merging do
 */
export async function useAdapter(options: UseOptions): Promise<PreparedUse> {
  const found = await detectAdapter(options.adapter);
  const base = await openBaseFor(found, options.base);
  if (!base)
    throw new LoraError('usage', 'The base of the adapter is not known.', {
      place: { file: found.path },
      fix: 'Choose it (--base).',
    });
  try {
    return await prepare(options, found, base);
  } finally {
    await base.close();
  }
}

async function prepare(
  options: UseOptions,
  found: FoundAdapter,
  base: BaseModel,
): Promise<PreparedUse> {
  const { in: tool, merge, partial, warn } = options;
  checkBase(tool, base);
  const { adapter, warnings } = await readAdapter(found, base, { partial });
  warnOfProblems(warnings, warn);
  if (!merge) checkAdapter(tool, adapter, base, found);
  const plan = planOf(options, found, base);
  const ready = {
    ...plan,
    rank: Math.max(1, ...adapter.modules.map((m) => m.r)),
    makes: llamaOutputOf(base) ?? 'text',
  };
  const { file, commands, notes } = USES[tool];
  const beside = file?.(ready);
  const text = beside && { file: path.join(plan.folder, beside.name), text: beside.text };
  const files = [plan.output, text?.file].filter((own) => typeof own === 'string');
  for (const own of files) await checkNew(own, plan.folder);
  if (plan.output !== null) await write(options, base.path, plan.output);
  if (text) await writeText(text.file, text.text);
  return prepared(tool, base.path, {
    ready,
    files,
    commands: commands(ready),
    notes: notes(ready),
  });
}

function checkBase(tool: UseTool, base: BaseModel): void {
  const made = llamaOutputOf(base);
  const { outputs = ['text'] } = USES[tool];
  if (tool !== 'server' && (made === null || !outputs.includes(made)))
    throw new LoraError('base', withoutText(tool, made), {
      place: { file: base.path },
      fix: 'Use it with transformers, or with a server if it computes embeddings (lora serve --http).',
    });
  const refusal = USES[tool].refuses(base);
  if (refusal)
    throw new LoraError('base', refusal.message, { place: { file: base.path }, fix: refusal.fix });
}

const withoutText = (tool: UseTool, made: LlamaOutput | null): string =>
  USES[tool].outputs === undefined || made !== null
    ? `${USE_LABELS[tool]} writes text, and the base does not.`
    : `${USE_LABELS[tool]} does not compute what the base does.`;

function checkAdapter(tool: UseTool, adapter: Adapter, base: BaseModel, found: FoundAdapter): void {
  const losses = USES[tool].losses(adapter, base);
  if (losses.length === 0) return;
  throw new LoraError(
    'adapter',
    `${USE_LABELS[tool]} cannot use this adapter: ${losses.join('; ')}.`,
    {
      place: { file: found.path, key: NEEDS_MERGE },
      fix: 'Merge it into its base (--merge).',
    },
  );
}

/** The folder that was named, or that of LM Studio; without one, nothing is written. */
function folderOf({ in: tool, output }: UseOptions): string {
  if (output !== null) return output;
  return tool === 'lm-studio' ? path.join(homedir(), '.lmstudio', 'models') : '';
}

interface Plan extends Omit<Ready, 'rank' | 'makes'> {
  /** What is written; null: the adapter is used as it is. */
  readonly output: string | null;
}

/** Where everything will be. */
function planOf(options: UseOptions, found: FoundAdapter, base: BaseModel): Plan {
  const { in: tool, merge } = options;
  const { format, inner } = USES[tool];
  const name = options.name ?? modelNameOf(found.path);
  const folder = folderOf(options);
  if (merge) {
    const ending = base.format === 'gguf' ? '.gguf' : '';
    const output = path.join(folder, inner?.(name) ?? '', name + ending);
    return { name, folder, output, model: output, adapter: null };
  }
  const isReady = format === null || format === 'any' || format === found.format;
  const own = { name, folder, model: path.resolve(base.path) };
  if (isReady) return { ...own, output: null, adapter: path.resolve(found.path) };
  const output = path.join(folder, format === 'gguf' ? `${name}.gguf` : name);
  return { ...own, output, adapter: output };
}

async function write(options: UseOptions, base: string, output: string): Promise<void> {
  const { in: tool, adapter, merge, partial, signal, warn, onProgress } = options;
  await makeFolder(path.dirname(output)).catch((error: unknown) => {
    throw notWritten(output, error);
  });
  if (merge) {
    const settings = { scale: 1, partial, dtype: 'keep', max_shard_size: null, ops: null } as const;
    const watched = { signal, warn, onProgress };
    await mergeModel({ base, adapters: [adapter], output, ...settings, ...watched });
    return;
  }
  const to = USES[tool].format as AdapterFormat;
  const settings = { partial, dtype: 'keep', merge: false } as const;
  await convertAdapterFile({ adapter, to, base, output, ...settings, warn });
}

async function writeText(file: string, text: string): Promise<void> {
  try {
    await makeFolder(path.dirname(file));
    await writeFile(file, text, { flag: 'wx', flush: true });
  } catch (error) {
    throw notWritten(file, error);
  }
}

/** @throws LoraError('usage') without a folder, for a link in it, and for what exists */
async function checkNew(file: string, folder: string): Promise<void> {
  if (folder === '')
    throw new LoraError('usage', 'Files must be written: the folder for them is missing.', {
      fix: 'Choose one (--output).',
    });
  await refuseLinks(file, folder).catch((error: unknown) => {
    if (!(error instanceof FileRefused)) throw error;
    throw new LoraError('usage', `Nothing is written: ${error.message}.`, {
      fix: 'Choose another folder (--output).',
    });
  });
  await checkOutput(file, []);
}

const notWritten = (file: string, cause: unknown): LoraError =>
  new LoraError('disk', `The file cannot be written: ${writeErrorReason(cause)}.`, {
    place: { file },
    fix: 'Choose another folder (--output).',
    cause,
  });

interface Outcome {
  readonly ready: Ready;
  readonly files: readonly string[];
  readonly commands: readonly CommandLine[];
  readonly notes: readonly string[];
}

function prepared(
  tool: UseTool,
  base: string,
  { ready, files, commands, notes }: Outcome,
): PreparedUse {
  const lines = commands.map((command) => shellLine(command));
  const isPlain = lines.every((line) => line !== null);
  const [program] = commands.at(-1)!;
  return {
    in: tool,
    base,
    merged: ready.adapter === null,
    files,
    commands,
    lines: isPlain ? lines : null,
    program: findProgram(program, safeEnvironment(process.env)),
    notes: isPlain
      ? notes
      : [
          ...notes,
          'A path holds characters that a shell would act on: rename it to get the command.',
        ],
  };
}
