import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  detectAdapter,
  readAdapter,
  type AdapterFormat,
  type FoundAdapter,
  type FoundFormat,
} from '../../formats/adapterFormat';
import { dtypeToWrite, type AdapterDtypeChoice } from '../../formats/adapterDtype';
import { isPipelineBase } from '../../formats/diffusion/base';
import { baseOnDisk } from '../../formats/hub/baseOnDisk';
import { openBase } from '../../formats/openBase';
import { conversionLosses } from '../../formats/conversionLosses';
import { adaptedBase, writeGgufAdapter } from '../../formats/gguf/adapter';
import { ggufFamilyFor } from '../../formats/gguf/families';
import { expertCount } from '../../formats/architecture/modules';
import {
  writeAiToolkitAdapter,
  writeDiffusersAdapter,
  writeKohyaScriptsAdapter,
} from '../../formats/diffusion/write';
import type { PipelineKind } from '../../formats/diffusion/kinds';
import { isInDiffusers, isOfFlux } from '../../formats/diffusion/spellings';
import { hasUNetNames } from '../../formats/diffusion/unetSpelling';
import { writeMlxAdapter } from '../../formats/mlx/write';
import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { ModelTask } from '../../shared/task';
import type { LlamaOutput } from '../../shared/useTools';
import { checkAgainstPipeline } from '../merge/pipeline/mergePipeline';
import { withBaseName, writeDerivedAdapter } from '../adapters/writeDerivedAdapter';
import { baseOptionsOf } from '../model/openModel';
import { clearUnfinished } from '../../common/unfinished';
import { checkOutput } from '../outputPath';
import { llamaOutputOf } from '../use/llamaCommands';
import { modelfileText } from '../use/modelfile';
import { warnOfProblems } from '../report';

/** What to convert, and into what. */
export interface ConvertOptions {
  readonly adapter: string;
  readonly to: AdapterFormat;
  /** Null: the base that the adapter names, if it is on this disk. */
  readonly base: string | null;
  readonly output: string;
  /** Leave out the modules that do not fit the base. */
  readonly partial: boolean;
  readonly dtype: AdapterDtypeChoice;
  /** Only finds out what would be lost: the adapter is merged instead. */
  readonly merge: boolean;
  /** Whether a Modelfile is to be written for it. Not given: no. */
  readonly for_ollama?: boolean;
  readonly warn: (message: string) => void;
}

/** The outcome of a conversion. */
export type Converted =
  | {
      readonly kind: 'written';
      readonly from: FoundFormat;
      readonly base: string | null;
      readonly modules: number;
      readonly notes: readonly string[];
      /** What llama.cpp makes with it; null: nothing, or the base is not given. */
      readonly makes: LlamaOutput | null;
    }
  /** Nothing was written: it is to be merged, or the format cannot hold all of the adapter. */
  | {
      readonly kind: 'unsupported';
      readonly base: string | null;
      readonly lost: readonly string[];
    };

/**
 * Writes an adapter in another format, with the same updates.
 * @throws LoraError when the adapter has this format already, does not fit its base, or the output
 * exists.
 */
export async function convertAdapterFile(options: ConvertOptions): Promise<Converted> {
  const { to, output, partial, warn } = options;
  const found = await detectAdapter(options.adapter);
  // the modules of an image model may have other names in a file of the same format
  const isNamedTwice = to === 'diffusers' || to === 'kohya';
  if (found.format === to && !isNamedTwice && !options.merge) throw hasFormat(found);
  if (!options.merge) {
    await checkOutput(output, [found.path]);
    await clearUnfinished(output);
  }
  const { base, kind } = await openChecked(found, options);
  try {
    const { adapter, warnings } = await readAdapter(found, base, { partial });
    warnOfProblems(warnings, warn);
    if (found.format === to && !options.merge && hasItsNames(adapter, found))
      throw hasFormat(found);
    const lost = conversionLosses(adapter, base, to);
    const basePath = base?.path ?? options.base;
    if (lost.length > 0 || options.merge) {
      return { kind: 'unsupported', base: basePath, lost };
    }
    refuseWithoutText(base, options);
    const dtype = dtypeToWrite([adapter], options.dtype);
    const named = withBaseName({ ...adapter, dtype }, base);
    await writeAs(to, output, { adapter: named, base, found, kind });
    return {
      kind: 'written',
      from: found.format,
      base: basePath,
      modules: named.modules.length,
      notes: scaleNotes(named, to),
      makes: base && llamaOutputOf(base),
    };
  } finally {
    await base?.close();
  }
}

/** @throws LoraError('usage') for a model that Ollama applies no adapters to */
function refuseWithoutText(base: BaseModel | null, { for_ollama = false }: ConvertOptions): void {
  if (!for_ollama || base === null || llamaOutputOf(base) === 'text') return;
  throw new LoraError(
    'usage',
    'Ollama takes adapters only of models that write text, so no Modelfile is written.',
    {
      place: { file: base.path },
      fix: 'Use the adapter with llama-server, or merge it into its base.',
    },
  );
}

const hasFormat = ({ format, path: file }: FoundAdapter): LoraError =>
  new LoraError('usage', `The adapter has this format already (${format}).`, {
    place: { file },
    fix: 'Choose another format (--to).',
  });

/** Whether the modules have the names that they get in the adapter's own format. */
const hasItsNames = (adapter: Adapter, { format, path: file }: FoundAdapter): boolean =>
  format === 'kohya' ? hasUNetNames(adapter, file, 'kohya') : isInDiffusers(adapter);

/** The base that names the modules; of an image model its kind, which is checked alone. */
interface CheckedBase {
  readonly base: BaseModel | null;
  readonly kind: PipelineKind | null;
}

async function openChecked(found: FoundAdapter, options: ConvertOptions): Promise<CheckedBase> {
  const { base } = options;
  if (base === null || !(await isPipelineBase(base)))
    return { base: await openBaseFor(found, base), kind: null };
  return { base: null, kind: await checkedKind(found.path, base, options) };
}

/** Only a merge leaves out modules of an image model: a conversion would keep them. */
async function checkedKind(
  adapter: string,
  base: string,
  { partial, merge }: ConvertOptions,
): Promise<PipelineKind> {
  try {
    return await checkAgainstPipeline(adapter, base, partial && merge);
  } catch (error) {
    if (merge || !(error instanceof LoraError) || !error.fix?.includes('--partial')) throw error;
    throw new LoraError(error.area, error.message, {
      ...(error.place && { place: error.place }),
      fix: 'Choose the base that it was trained on (--base), or merge it (--merge): a conversion leaves out no modules of an image model.',
      cause: error,
    });
  }
}

/** The base that was named, else the one that a PEFT adapter names, if it is on this disk. */
export async function openBaseFor(
  found: FoundAdapter,
  named: string | null,
): Promise<BaseModel | null> {
  if (found.format !== 'peft') {
    return named === null ? null : openBase(named);
  }
  const options = baseOptionsOf(await readAdapterTask(found.path));
  if (named !== null) {
    return openBaseUnder(named, found.path, options);
  }
  const { adapter } = await readAdapter(found, null);
  const base = await baseOnDisk(found.path, adapter.config.base_model_name_or_path);
  return base === null ? null : openBaseUnder(base, found.path, options);
}

/** An adapter that was read, with its base and where it came from. */
interface ReadAdapter extends CheckedBase {
  readonly adapter: Adapter;
  readonly found: FoundAdapter;
}

async function writeAs(to: AdapterFormat, output: string, source: ReadAdapter): Promise<void> {
  const { adapter, base, found, kind } = source;
  switch (to) {
    case 'peft':
      return writeDerivedAdapter(output, adapter, {
        sources: [found.path],
        title: `converted from the format of ${found.format}`,
        base,
        given: [adapter.config],
        facts: { task: base?.spec.task ?? taskOf(adapter), labels: null },
      });
    case 'mlx':
      return writeMlxAdapter(output, adapter, base?.spec ?? null);
    case 'kohya':
      return writeKohyaScriptsAdapter(output, adapter, kind);
    case 'diffusers':
      return writeDiffusersAdapter(output, adapter);
    case 'ai-toolkit':
      return writeAiToolkitAdapter(output, adapter, kind);
    case 'gguf':
      return writeAsGguf(output, source);
  }
}

/** The modules of T5 in its checkpoints. */
const OF_ENCODER_DECODER = /^(?:encoder|decoder)\.block\./;

/** The task of an adapter whose format names none, and whose base is not given. */
const taskOf = ({ modules }: Adapter): ModelTask =>
  modules.some((m) => OF_ENCODER_DECODER.test(m.path)) ? 'seq2seq_lm' : 'causal_lm';

async function writeAsGguf(output: string, { adapter, base, found }: ReadAdapter): Promise<void> {
  if (!base) {
    throw new LoraError(
      'usage',
      'An adapter for llama.cpp needs its base, which determines tensor names and row order.',
      { place: { file: found.path }, fix: 'Choose it (--base).' },
    );
  }
  const { name } = path.parse(found.path);
  await writeGgufAdapter(output, adapter, {
    family: ggufFamilyFor(base.spec)!, // conversionLosses refuses families without it
    base: adaptedBase(base.spec),
    experts: expertCount(base.spec),
    name: name === 'adapter' ? path.basename(path.dirname(found.path)) : name,
  });
}

/** How scales and ranks were changed to fit the format; the updates stay the same. */
function scaleNotes(adapter: Adapter, to: AdapterFormat): string[] {
  const { modules } = adapter;
  const differ = (values: readonly number[]) => new Set(values).size > 1;
  if (to === 'diffusers' || (to === 'ai-toolkit' && isOfFlux(adapter))) {
    return storedScaleNotes(adapter, to);
  }
  if (to === 'mlx' && differ(modules.map((m) => m.scaling))) {
    return ['The modules have different scales: mlx-lm has only one, so B contains the others.'];
  }
  if (to === 'mlx' && differ(modules.map((m) => m.r))) {
    return [
      'The modules have different ranks: mlx-lm has only one, so smaller ones are padded with zeros.',
    ];
  }
  if (to === 'gguf' && differ(modules.map((m) => m.scaling * m.r))) {
    return [
      'The modules have different values of alpha: llama.cpp has only one, so B contains the others.',
    ];
  }
  return [];
}

function storedScaleNotes({ modules, dtype = 'F32' }: Adapter, to: AdapterFormat): string[] {
  const scaled = modules.filter((m) => m.scaling !== 1);
  if (scaled.length === 0) return [];
  const name = to === 'diffusers' ? 'Diffusers' : 'ai-toolkit';
  const isExact = dtype === 'F32' || scaled.every((m) => Number.isInteger(Math.log2(m.scaling)));
  const rounding = isExact ? '' : ` The products are rounded to ${dtype}.`;
  return [
    `Files of ${name} have no alpha that every program reads, so B contains the scale.${rounding}`,
  ];
}

/**
 * Writes a Modelfile, from which Ollama makes a model: base and adapter. Fails if it exists.
 *
 * @throws LoraError('usage') for a path that it cannot name
 */
export async function writeModelfile(file: string, base: string, adapter: string): Promise<void> {
  const text = modelfileText([
    ['FROM', base],
    ['ADAPTER', adapter],
  ]);
  await writeFile(file, text, { flag: 'wx', flush: true });
}
