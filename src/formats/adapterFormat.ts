import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Adapter } from '../lora/adapter';
import { withRankPatterns } from '../lora/combine';
import { LoraError } from '../shared/errors';
import { isLora, readGgufAdapter } from './gguf/adapter';
import { Metadata } from './gguf/metadata';
import { GgufFile } from './gguf/read';
import { canonicalPath } from './architecture/names';
import { modulesOf } from './architecture/modules';
import type { AdapterDtype } from '../lora/adapter';
import { fileErrorReason, isFile } from '../common/fileStatus';
import { commonDtype } from './adapterDtype';
import type { ImportedAdapter } from './importedAdapter';
import { readKohyaAdapter } from './kohya/read';
import { MLX_CONFIG, MLX_WEIGHTS, readMlxAdapter } from './mlx/read';
import {
  adapterBaseOf,
  checkAgainstBase,
  type AdapterBase,
  type AdapterFiles,
} from './peft/againstBase';
import { tiedPaths, withTiedFactors } from './peft/tying';
import { CONFIG_FILE, readPeftAdapter, WEIGHTS_FILE } from './peft/read';
import { withSafetensors } from './safetensors/read';
import type { BaseModel } from './baseModel';

/** PEFT; mlx-lm; llama.cpp; kohya's scripts. */
export const ADAPTER_FORMATS = ['peft', 'mlx', 'gguf', 'kohya'] as const;
export type AdapterFormat = (typeof ADAPTER_FORMATS)[number];

/** An adapter on disk. */
export interface FoundAdapter {
  readonly format: AdapterFormat;
  /** A folder (peft, mlx) or a file (gguf, kohya). */
  readonly path: string;
}

const FIX =
  "Name an adapter: the folder that PEFT or mlx-lm wrote, a .gguf file, or a .safetensors file of kohya's scripts.";

/**
 * Detects the format of an adapter by its files and its tensors' names.
 *
 * @throws LoraError('adapter') when the folder or file doesn't hold an adapter.
 */
export async function detectAdapter(given: string): Promise<FoundAdapter> {
  const found = await stat(given).catch((error: unknown) => {
    throw new LoraError('adapter', `The adapter cannot be opened: ${fileErrorReason(error)}.`, {
      place: { file: given },
      fix: FIX,
      cause: error,
    });
  });
  return found.isDirectory() ? detectInFolder(given) : detectFile(given);
}

async function detectInFolder(folder: string): Promise<FoundAdapter> {
  const names = await readdir(folder);
  if (names.includes(MLX_WEIGHTS)) return { format: 'mlx', path: folder };
  if (names.includes(CONFIG_FILE) || names.includes(WEIGHTS_FILE))
    return { format: 'peft', path: folder };
  if (names.includes('adapters.npz'))
    throw new LoraError(
      'adapter',
      'The adapter is in the NumPy format of mlx-lm before 2024, which is not supported.',
      {
        place: { file: path.join(folder, 'adapters.npz') },
        fix: 'Save it again with a newer mlx-lm.',
      },
    );
  const files = names.filter((name) => /\.(?:gguf|safetensors)$/.test(name));
  if (files.length === 1) return detectFile(path.join(folder, files[0]!));
  throw new LoraError(
    'adapter',
    files.length === 0
      ? 'The folder does not hold an adapter.'
      : `The folder holds ${files.length} files that could be adapters.`,
    { place: { file: folder }, fix: files.length === 0 ? FIX : 'Name one of them.' },
  );
}

async function detectFile(file: string): Promise<FoundAdapter> {
  const name = path.basename(file);
  if (name === WEIGHTS_FILE || name === CONFIG_FILE || name === MLX_WEIGHTS)
    return detectInFolder(path.dirname(file));
  if (name.endsWith('.gguf')) return { format: 'gguf', path: await checkedGguf(file) };
  if (name.endsWith('.safetensors')) return { format: 'kohya', path: await checkedKohya(file) };
  throw new LoraError('adapter', 'The file is not an adapter.', { place: { file }, fix: FIX });
}

async function checkedGguf(file: string): Promise<string> {
  if (await isGgufAdapter(file)) return file;
  throw new LoraError('adapter', 'The file is not a LoRA adapter.', {
    place: { file, key: 'general.type' },
    fix: 'Name the .gguf file of an adapter, not of a model.',
  });
}

/** @throws LoraError('base') when it is not a valid GGUF file. */
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
    throw new LoraError(
      'adapter',
      "The file holds no LoRA tensors with the names of kohya's scripts.",
      {
        place: { file },
        fix: FIX,
      },
    );
  });
}

/** The files of an adapter. */
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

/**
 * Detects the format of an adapter and reads it.
 *
 * @throws LoraError('adapter'), as `detectAdapter` and `readAdapter`.
 */
export const readAnyAdapter = async (
  given: string,
  base: BaseModel | null,
): Promise<ImportedAdapter> => readAdapter(await detectAdapter(given), base);

/**
 * Reads an adapter of any format, and checks that it fits its base when that is given.
 *
 * @throws LoraError('adapter') naming file, tensor or key.
 */
export async function readAdapter(
  { format, path: own }: FoundAdapter,
  base: BaseModel | null,
): Promise<ImportedAdapter> {
  const against = base ? adapterBaseOf(base) : undefined;
  const dtype = await storedDtype({ format, path: own });
  if (format === 'peft') {
    const { adapter, warnings } = await readPeftAdapter(own, against);
    return { adapter: { ...adapter, dtype }, warnings };
  }
  const files = { config: own, weights: own };
  const read = await readImported(format, own, base);
  const adapter = against ? withTiedModules(read.adapter, against, files) : read.adapter;
  return {
    adapter: { ...adapter, dtype },
    warnings: [...read.warnings, ...(against ? checkAgainstBase(adapter, against, files) : [])],
  };
}

/** The adapter with the update of a tied output layer that its config asks for. */
function withTiedModules(adapter: Adapter, base: AdapterBase, files: AdapterFiles): Adapter {
  const tied = tiedPaths(adapter.config, base, []);
  const modules = withTiedFactors(adapter.modules, tied, adapter.config, files);
  return modules === adapter.modules ? adapter : withRankPatterns(adapter, modules);
}

/** The element type in which the file of an adapter stores its factors. */
async function storedDtype(found: FoundAdapter): Promise<AdapterDtype> {
  const file = adapterFiles(found).at(-1)!;
  if (!(await isFile(file))) return 'F32'; // what reads the adapter says that it is missing
  if (found.format !== 'gguf')
    return withSafetensors(file, (source) => Promise.resolve(commonDtype(source.tensors.values())));
  const source = await GgufFile.open(file);
  await source.close();
  return commonDtype(source.header.tensors.values());
}

function readImported(
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
