import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { isLora, readGgufAdapter } from './gguf/adapter';
import { Metadata } from './gguf/metadata';
import { GgufFile } from './gguf/read';
import { canonicalPath } from './architecture/names';
import { modulesOf } from './architecture/modules';
import { fileErrorReason } from '../common/fileStatus';
import type { ImportedAdapter } from './importedAdapter';
import { readKohyaAdapter } from './kohya/read';
import { MLX_CONFIG, MLX_WEIGHTS, readMlxAdapter } from './mlx/read';
import { adapterBaseOf, checkAgainstBase } from './peft/againstBase';
import { CONFIG_FILE, readPeftAdapter, WEIGHTS_FILE } from './peft/read';
import { withSafetensors } from './safetensors/read';
import type { BaseModel } from './baseModel';

export const ADAPTER_FORMATS = ['peft', 'mlx', 'gguf', 'kohya'] as const;
export type AdapterFormat = (typeof ADAPTER_FORMATS)[number];

export interface FoundAdapter {
  readonly format: AdapterFormat;
  /** A folder (peft, mlx) or a file (gguf, kohya). */
  readonly path: string;
}

const FIX =
  "Name an adapter: the folder that PEFT or mlx-lm wrote, a .gguf file, or a .safetensors file of kohya's scripts.";

/**
 * What kind of adapter a folder or file holds, by its files and its tensors' names. Errors:
 * LoraError('adapter') where it holds none.
 */
export async function detectAdapter(given: string): Promise<FoundAdapter> {
  const found = await stat(given).catch((error: unknown) => {
    throw new LoraError('adapter', `There is no adapter: ${fileErrorReason(error)}.`, {
      place: { file: given },
      fix: FIX,
      cause: error,
    });
  });
  return found.isDirectory() ? inFolder(given) : ofFile(given);
}

async function inFolder(folder: string): Promise<FoundAdapter> {
  const names = await readdir(folder);
  if (names.includes(MLX_WEIGHTS)) return { format: 'mlx', path: folder };
  if (names.includes(CONFIG_FILE) || names.includes(WEIGHTS_FILE))
    return { format: 'peft', path: folder };
  if (names.includes('adapters.npz'))
    throw new LoraError(
      'adapter',
      "The adapter is in NumPy's format of mlx-lm before 2024, which is not read.",
      {
        place: { file: path.join(folder, 'adapters.npz') },
        fix: 'Save it again with a newer mlx-lm.',
      },
    );
  const files = names.filter((name) => /\.(?:gguf|safetensors)$/.test(name));
  if (files.length === 1) return ofFile(path.join(folder, files[0]!));
  throw new LoraError(
    'adapter',
    files.length === 0
      ? 'The folder holds no adapter.'
      : `The folder holds ${files.length} files that could be adapters.`,
    { place: { file: folder }, fix: files.length === 0 ? FIX : 'Name one of them.' },
  );
}

async function ofFile(file: string): Promise<FoundAdapter> {
  const name = path.basename(file);
  if (name === WEIGHTS_FILE || name === CONFIG_FILE || name === MLX_WEIGHTS)
    return inFolder(path.dirname(file));
  if (name.endsWith('.gguf')) return { format: 'gguf', path: await checkedGguf(file) };
  if (name.endsWith('.safetensors')) return { format: 'kohya', path: await checkedKohya(file) };
  throw new LoraError('adapter', 'The file is no adapter.', { place: { file }, fix: FIX });
}

async function checkedGguf(file: string): Promise<string> {
  if (await isGgufAdapter(file)) return file;
  throw new LoraError('adapter', 'The file is no LoRA adapter.', {
    place: { file, key: 'general.type' },
    fix: 'Name the .gguf file of an adapter, not of a model.',
  });
}

export async function isGgufAdapter(file: string): Promise<boolean> {
  const source = await GgufFile.open(file);
  try {
    return isLora(new Metadata(source.header.metadata, file));
  } finally {
    await source.close();
  }
}

function checkedKohya(file: string): Promise<string> {
  return withSafetensors(file, (source) => {
    if (
      [...source.tensors.keys()].some((name) =>
        /\.(?:lora_(?:down|up|mid)\.weight|hada_|lokr_)/.test(name),
      )
    )
      return Promise.resolve(file);
    throw new LoraError('adapter', "The file holds no LoRA tensors as kohya's scripts name them.", {
      place: { file },
      fix: FIX,
    });
  });
}

/** The files that an adapter is made of. */
export function adapterFiles({ format, path: own }: FoundAdapter): readonly string[] {
  switch (format) {
    case 'peft':
      return [path.join(own, CONFIG_FILE), path.join(own, WEIGHTS_FILE)];
    case 'mlx':
      return [path.join(own, MLX_CONFIG), path.join(own, MLX_WEIGHTS)];
    default:
      return [own];
  }
}

/** Finds out what a folder or file holds, and reads it. Errors: LoraError. */
export const readAnyAdapter = async (
  given: string,
  base: BaseModel | null,
): Promise<ImportedAdapter> => readAdapter(await detectAdapter(given), base);

/** Reads an adapter of any format, held against its base where that is given. Errors: LoraError. */
export async function readAdapter(
  { format, path: own }: FoundAdapter,
  base: BaseModel | null,
): Promise<ImportedAdapter> {
  const against = base ? adapterBaseOf(base) : undefined;
  if (format === 'peft') return readPeftAdapter(own, against);
  const read = await readForeign(format, own, base);
  return {
    adapter: read.adapter,
    warnings: [
      ...read.warnings,
      ...(against ? checkAgainstBase(read.adapter, against, { config: own, weights: own }) : []),
    ],
  };
}

function readForeign(
  format: Exclude<AdapterFormat, 'peft'>,
  own: string,
  base: BaseModel | null,
): Promise<ImportedAdapter> {
  switch (format) {
    case 'mlx':
      return readMlxAdapter(own);
    case 'gguf':
      return readGgufAdapter(
        own,
        base ? { head_dim: base.spec.layers[0]!.attention.head_dim } : 'unknown',
      );
    case 'kohya':
      return readKohyaAdapter(
        own,
        base && { modules: modulesOf(base.spec), rename: (old) => canonicalPath(old, base.spec) },
      );
  }
}
