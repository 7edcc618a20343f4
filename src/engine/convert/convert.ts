import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  detectAdapter,
  readAdapter,
  type AdapterFormat,
  type FoundAdapter,
} from '../../formats/adapterFormat';
import { openBase } from '../../formats/openBase';
import { conversionLosses } from '../../formats/conversionLosses';
import { writeGgufAdapter } from '../../formats/gguf/adapter';
import { familyOf } from '../../formats/architecture/families';
import { writeKohyaAdapter } from '../../formats/kohya/write';
import { writeMlxAdapter } from '../../formats/mlx/write';
import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { writeMadeAdapter } from '../combine/writeAdapter';
import { checkOutput } from '../merge/place';
import { baseOptionsOf } from '../model/openModel';
import { described } from '../commands/describe';

export interface ConvertOptions {
  readonly adapter: string;
  readonly to: AdapterFormat;
  /** Null: the one that the adapter names, where it lies on this disk. */
  readonly base: string | null;
  readonly output: string;
  readonly warn: (message: string) => void;
}

export type Converted =
  | {
      readonly kind: 'written';
      readonly from: AdapterFormat;
      readonly base: string | null;
      readonly modules: number;
      readonly notes: readonly string[];
    }
  /** Nothing was written: a merged model would carry all of it. */
  | {
      readonly kind: 'not carried';
      readonly base: string | null;
      readonly lost: readonly string[];
    };

/** Writes an adapter in another format, with every scale. Errors: LoraError. */
export async function convertAdapter({
  adapter: given,
  to,
  base: named,
  output,
  warn,
}: ConvertOptions): Promise<Converted> {
  const found = await detectAdapter(given);
  if (found.format === to)
    throw new LoraError('usage', `The adapter is in this format already (${to}).`, {
      place: { file: found.path },
      fix: 'Name another one with --to.',
    });
  await checkOutput(output, [found.path]);
  const base = await openBaseFor(found, named);
  try {
    const { adapter, warnings } = await readAdapter(found, base);
    for (const warning of warnings) warn(described(warning));
    const lost = conversionLosses(adapter, base, to);
    if (lost.length > 0) return { kind: 'not carried', base: base?.path ?? null, lost };
    const own = {
      ...adapter,
      config: {
        ...adapter.config,
        base_model_name_or_path: adapter.config.base_model_name_or_path ?? base?.path ?? null,
      },
    };
    await write(own, to, base, output, found);
    return {
      kind: 'written',
      from: found.format,
      base: base?.path ?? null,
      modules: adapter.modules.length,
      notes: notesOf(own, to),
    };
  } finally {
    await base?.close();
  }
}

async function openBaseFor(found: FoundAdapter, named: string | null): Promise<BaseModel | null> {
  if (found.format !== 'peft') return named === null ? null : openBase(named);
  const options = baseOptionsOf(await readAdapterTask(found.path));
  if (named !== null) return openBaseUnder(named, found.path, options);
  const { adapter } = await readAdapter(found, null);
  const own = adapter.config.base_model_name_or_path;
  const isThere =
    own !== null &&
    path.isAbsolute(own) &&
    (await stat(own).then(
      () => true,
      () => false,
    ));
  return isThere ? openBaseUnder(own, found.path, options) : null;
}

async function write(
  adapter: Adapter,
  to: AdapterFormat,
  base: BaseModel | null,
  output: string,
  found: FoundAdapter,
): Promise<void> {
  switch (to) {
    case 'peft':
      return writeMadeAdapter(
        output,
        adapter,
        [found.path],
        `converted from the format of ${found.format}`,
        { task: base?.spec.task ?? 'causal_lm', labels: null },
      );
    case 'mlx':
      return writeMlxAdapter(output, adapter, base?.spec.num_layers ?? null);
    case 'kohya':
      return writeKohyaAdapter(output, adapter);
    case 'gguf':
      return writeGguf(output, adapter, base, found);
  }
}

async function writeGguf(
  output: string,
  adapter: Adapter,
  base: BaseModel | null,
  found: FoundAdapter,
): Promise<void> {
  if (!base)
    throw new LoraError(
      'usage',
      'An adapter for llama.cpp needs its base: the names of the tensors and the order of their rows follow from it.',
      { place: { file: found.path }, fix: 'Name it with --base.' },
    );
  const { name } = path.parse(found.path);
  await writeGgufAdapter(output, adapter, {
    family: familyOf(base.spec).gguf!, // conversionLosses has found it
    head_dim: base.spec.layers[0]!.attention.head_dim,
    name: name === 'adapter' ? path.basename(path.dirname(found.path)) : name,
  });
}

/** What a user should know of how the scales went over. */
function notesOf({ modules }: Adapter, to: AdapterFormat): string[] {
  const differ = (values: readonly number[]) => new Set(values).size > 1;
  if (to === 'mlx' && differ(modules.map((m) => m.scaling)))
    return ['The layers have different scales: mlx-lm knows one, the others went into B.'];
  if (to === 'mlx' && differ(modules.map((m) => m.r)))
    return [
      'The layers have different ranks: mlx-lm knows one, smaller ones were filled up with zeros.',
    ];
  if (to === 'gguf' && differ(modules.map((m) => m.scaling * m.r)))
    return [
      'The layers have different values of alpha: llama.cpp knows one, the others went into B.',
    ];
  return [];
}

/** What Ollama makes a model of: the base, and the adapter on it. */
export async function writeModelfile(file: string, base: string, adapter: string): Promise<void> {
  await writeFile(file, `FROM ${base}\nADAPTER ${adapter}\n`, { flag: 'wx', flush: true });
}
