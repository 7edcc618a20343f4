import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { adaptedBase, isLora, notLora, readGgufAdapter } from './gguf/adapter';
import { Metadata } from './gguf/metadata';
import { GgufFile } from './gguf/read';
import { modulePathIn } from './architecture/modulePath';
import type { Adapter, AdapterDtype } from '../lora/adapter';
import { withRankPatterns } from '../lora/combine';
import { fileErrorReason, isFile } from '../common/fileStatus';
import { commonDtype } from './adapterDtype';
import type { ImportedAdapter } from './importedAdapter';
import { readLoraFile } from './loraFile/read';
import { holdsOther } from './loraFile/algorithm';
import { foreignTensor, hasKohyaNames, hasLoraNames } from './loraFile/tensors';
import { MLX_CONFIG, MLX_WEIGHTS, readMlxAdapter } from './mlx/read';
import {
  adapterBaseOf,
  fitToBase,
  type AdapterBase,
  type AdapterFiles,
  type FitOptions,
} from './peft/againstBase';
import { tiedPaths, withTiedFactors } from './peft/tying';
import { CONFIG_FILE, DIFFUSERS_FILE, isPeftFile } from './peft/fileNames';
import { hasWeights, weightFiles, withAdapterWeights } from './peft/files';
import { readPeftAdapter } from './peft/read';
import { withSafetensors } from './safetensors/read';
import type { BaseModel } from './baseModel';

/** The formats that are written. */
export const ADAPTER_FORMATS = ['peft', 'mlx', 'gguf', 'kohya', 'diffusers', 'ai-toolkit'] as const;
export type AdapterFormat = (typeof ADAPTER_FORMATS)[number];
/**
 * The formats that are distinguished when they are read: ai-toolkit's are Diffusers' or kohya's.
 */
export type FoundFormat = Exclude<AdapterFormat, 'ai-toolkit'>;

/** An adapter on disk. */
export interface FoundAdapter {
  readonly format: FoundFormat;
  /** A folder (peft, mlx) or a file (gguf, kohya, diffusers). */
  readonly path: string;
}

const FIX =
  "Name an adapter: the folder that PEFT or mlx-lm wrote, a .gguf file, or a .safetensors file of kohya's scripts or Diffusers.";

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
  if (names.includes(MLX_WEIGHTS)) {
    if (await hasWeights(folder)) throw holdsBoth(folder);
    return { format: 'mlx', path: folder };
  }
  if (names.some(isPeftFile)) return { format: 'peft', path: folder };
  if (names.includes(DIFFUSERS_FILE)) return detectFile(path.join(folder, DIFFUSERS_FILE));
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
  const pickle = names.find((name) => PICKLE.test(name));
  if (files.length === 0 && pickle !== undefined) throw isPickle(path.join(folder, pickle));
  throw new LoraError(
    'adapter',
    files.length === 0
      ? 'The folder does not contain an adapter.'
      : `The folder holds ${files.length} files that could be adapters.`,
    { place: { file: folder }, fix: files.length === 0 ? FIX : 'Name one of them.' },
  );
}

const holdsBoth = (folder: string): LoraError =>
  new LoraError(
    'adapter',
    `The folder holds weights of PEFT and of mlx-lm (${MLX_WEIGHTS}), so it is not clear which the adapter is.`,
    { place: { file: folder }, fix: 'Put each adapter into a folder of its own.' },
  );

const PICKLE = /\.(?:bin|pt|pth|ckpt)$/;

const isPickle = (file: string): LoraError =>
  new LoraError('adapter', 'The file is a pickle, which is not read because it can run code.', {
    place: { file },
    fix: 'Save the adapter again in safetensors.',
  });

async function detectFile(file: string): Promise<FoundAdapter> {
  const name = path.basename(file);
  if (isPeftFile(name) || name === MLX_WEIGHTS) return detectInFolder(path.dirname(file));
  if (name.endsWith('.gguf')) return { format: 'gguf', path: await checkedGguf(file) };
  if (name.endsWith('.safetensors')) return { format: await formatOfFile(file), path: file };
  if (PICKLE.test(name)) throw isPickle(file);
  throw new LoraError('adapter', 'The file is not an adapter.', { place: { file }, fix: FIX });
}

async function checkedGguf(file: string): Promise<string> {
  const { tensors, metadata } = await ggufHeader(file);
  if (isLora(metadata)) return file;
  throw notLora(metadata, tensors);
}

async function ggufHeader(file: string) {
  const source = await GgufFile.open(file);
  await source.close();
  const { tensors, metadata } = source.header;
  return { tensors, metadata: new Metadata(metadata, file) };
}

function formatOfFile(file: string): Promise<'kohya' | 'diffusers'> {
  return withSafetensors(file, (source) => {
    const names = [...source.tensors.keys()];
    if (hasLoraNames(names))
      return Promise.resolve(hasKohyaNames(names) ? 'kohya' : ('diffusers' as const));
    const other = foreignTensor(names);
    if (other) throw holdsOther(other.method, { file, tensor: other.tensor });
    throw new LoraError(
      'adapter',
      "The file holds no LoRA tensors with the names of kohya's scripts or Diffusers.",
      { place: { file }, fix: FIX },
    );
  });
}

/**
 * The files of an adapter.
 *
 * @throws LoraError('adapter') when its index of weight files is not valid.
 */
export async function adapterFiles({
  format,
  path: own,
}: FoundAdapter): Promise<readonly string[]> {
  switch (format) {
    case 'peft':
      return [CONFIG_FILE, ...(await weightFiles(own))].map((name) => path.join(own, name));
    case 'mlx':
      return [path.join(own, MLX_CONFIG), path.join(own, MLX_WEIGHTS)];
    default:
      return [own];
  }
}

/** An adapter's weight files, in bytes. */
export async function adapterBytes(found: FoundAdapter): Promise<number> {
  const files = (await adapterFiles(found)).filter((file) => !file.endsWith('.json'));
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((a, b) => a + b, 0);
}

/**
 * Detects the format of an adapter and reads it.
 *
 * @throws LoraError('adapter'), as `detectAdapter` and `readAdapter`.
 */
export const readAnyAdapter = async (
  given: string,
  base: BaseModel | null,
  fit: FitOptions = {},
): Promise<ImportedAdapter> => readAdapter(await detectAdapter(given), base, fit);

/**
 * Reads an adapter of any format, and checks that it fits its base when that is given.
 *
 * @throws LoraError('adapter') naming file, tensor or key.
 */
export async function readAdapter(
  { format, path: own }: FoundAdapter,
  base: BaseModel | null,
  fit: FitOptions = {},
): Promise<ImportedAdapter> {
  const against = base ? adapterBaseOf(base) : undefined;
  const dtype = await storedDtype({ format, path: own });
  if (format === 'peft') {
    const { adapter, warnings } = await readPeftAdapter(own, against, fit);
    return { adapter: { ...adapter, dtype }, warnings };
  }
  const read = await readImported(format, own, base);
  const adapter = { ...read.adapter, dtype };
  if (!against) return { adapter, warnings: read.warnings };
  const files = { config: own, weights: own };
  const fitted = fitToBase(withTiedModules(adapter, against, files), against, files, fit);
  return { ...fitted, warnings: [...read.warnings, ...fitted.warnings] };
}

/** The adapter with the update of a tied output layer that its config asks for. */
function withTiedModules(adapter: Adapter, base: AdapterBase, files: AdapterFiles): Adapter {
  const tied = tiedPaths(adapter.config, base, []);
  const modules = withTiedFactors(adapter.modules, tied, adapter.config, files);
  return modules === adapter.modules ? adapter : withRankPatterns(adapter, modules);
}

/** The element type in which the files of an adapter store its factors. */
async function storedDtype(found: FoundAdapter): Promise<AdapterDtype> {
  const { format, path: own } = found;
  if (format === 'peft') {
    if (!(await hasWeights(own))) return 'F32'; // what reads the adapter says that it is missing
    return withAdapterWeights(own, ({ tensors }) => Promise.resolve(commonDtype(tensors.values())));
  }
  const file = (await adapterFiles(found)).at(-1)!;
  if (!(await isFile(file))) return 'F32';
  if (format !== 'gguf')
    return withSafetensors(file, (source) => Promise.resolve(commonDtype(source.tensors.values())));
  return commonDtype((await ggufHeader(file)).tensors.values());
}

function readImported(
  format: Exclude<FoundFormat, 'peft'>,
  own: string,
  base: BaseModel | null,
): Promise<ImportedAdapter> {
  const rename = base && ((stored: string) => modulePathIn(base.spec, stored));
  switch (format) {
    case 'mlx':
      return readMlxAdapter(own, rename);
    case 'gguf':
      return readGgufAdapter(own, base ? adaptedBase(base.spec) : 'unknown');
    case 'kohya':
    case 'diffusers':
      return readLoraFile(own, rename);
  }
}
