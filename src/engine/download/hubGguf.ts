import { mkdtemp, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openForAppending, removeWithin } from '../../common/withoutLinks';
import {
  MAX_GGUF_HEADER,
  MoreBytesNeeded,
  parseGgufHeader,
  type GgufHeader,
  type GgufTensor,
} from '../../formats/gguf/header';
import { isRotaryFactors } from '../../formats/gguf/names';
import { ggufParts, isNoBase } from '../../formats/gguf/partNames';
import { openBase } from '../../formats/openBase';
import type { StepMachine } from '../../lora/stepPlan';
import { LoraError } from '../../shared/errors';
import type { StepMemory } from '../../shared/stepMemory';
import { usualMemory } from '../../formats/architecture/usualMemory';
import { requestHubFile } from './hub';
import { bodyOf, type Hub } from './hubFetch';
import { ggufFiles, hubFileSize, type HubFile } from './plan';

/** What a training run on a .gguf file of the Hub would need. */
export interface GgufOnHub {
  /** Of a model in parts, the first of them. */
  readonly file: string;
  /** Of all parts. */
  readonly bytes: number;
  readonly memory: StepMemory;
}

/** A model in parts that lacks one of them. */
export interface IncompleteGguf {
  readonly file: string;
  /** The first part that is not there. */
  readonly missing: string;
}

export interface GgufRepository {
  readonly family: string;
  readonly parameters: number;
  /** The smallest file first. */
  readonly files: readonly GgufOnHub[];
  /** Those in folders that may have other models, without a verdict. */
  readonly others: readonly Pick<GgufOnHub, 'file' | 'bytes'>[];
  /** What has no verdict. */
  readonly incomplete: readonly IncompleteGguf[];
}

/** A model of a repository with its files in order. */
interface ListedModel {
  readonly file: string;
  readonly parts: readonly HubFile[];
  readonly bytes: number;
}

/** Bytes of a number from which on a file is not quantized. */
const HALF_BYTES = 1.9;

/** Models with more parts than this lend their headers to no other verdict. */
const MAX_HEADERS = 64;

/**
 * The memory of a training run on each .gguf model of a repository, before any is downloaded: the
 * header of the smallest is read, and the others have the same matrices in as many bytes as they
 * are large. Of a model in parts the headers of all are read, since each lists its own tensors.
 * Folders count as the same model if their names are those of quantizations.
 *
 * @param named Only this file, or the first part of this model; null: all.
 * @throws LoraError('base') when the Hub refuses, a part of the named model is missing, or a header
 *   cannot be read
 */
export async function ggufOnHub(
  hub: Hub,
  all: readonly HubFile[],
  named: string | null,
  machine: StepMachine,
): Promise<GgufRepository> {
  const listed = listedModels(all, named);
  const { incomplete } = listed;
  const { models, others } = inOneGroup(listed.models);
  const source = models.find(({ parts }) => parts.length === 1) ?? models[0];
  if (!source || source.parts.length > MAX_HEADERS)
    throw noVerdict(hub, named, incomplete, source ?? null);
  const folder = await mkdtemp(path.join(tmpdir(), 'lora-gguf-'));
  try {
    const base = await openBase(await headersOnly(hub, source, folder));
    try {
      const { spec, parameters } = base;
      const ofModel = (model: ListedModel): GgufOnHub => {
        const { file, bytes } = model;
        const stored = bytes < HALF_BYTES * parameters ? bytes : null;
        const own = model === source ? undefined : stored;
        return { file, bytes, memory: usualMemory(base, machine, own) };
      };
      return { family: spec.family, parameters, files: models.map(ofModel), others, incomplete };
    } finally {
      await base.close();
    }
  } finally {
    await removeWithin(folder);
  }
}

/** The models that can be named, the smallest first, and those of which a part is missing. */
function listedModels(
  all: readonly HubFile[],
  named: string | null,
): { readonly models: readonly ListedModel[]; readonly incomplete: readonly IncompleteGguf[] } {
  const byPath = new Map(all.map((own) => [own.path, own]));
  const models: ListedModel[] = [];
  const incomplete: IncompleteGguf[] = [];
  for (const { path: file } of ggufFiles(all)) {
    if (named === null ? isNoBase(file) : file !== named) continue;
    const names = ggufParts(file) ?? [file];
    const missing = names.find((name) => !byPath.has(name));
    if (missing !== undefined) {
      incomplete.push({ file, missing });
      continue;
    }
    const parts = names.flatMap((name) => byPath.get(name) ?? []);
    models.push({ file, parts, bytes: parts.reduce((sum, own) => sum + hubFileSize(own), 0) });
  }
  return { models: models.sort((a, b) => a.bytes - b.bytes), incomplete };
}

/** The name of a quantization at the end of a folder's name, as in Q4_K_M or NAME-UD-Q4_K_XL. */
const QUANTIZATION = /(?:^|[-._])(?:UD-)?(?:I?Q\d\w*|TQ\d_\d|B?F16|F32|FP16|MXFP4\w*)$/i;

/** The folder of a file, without the names of quantizations. */
const modelFolder = (file: string): string =>
  file
    .split('/')
    .slice(0, -1)
    .map((name) => name.replace(QUANTIZATION, ''))
    .filter(Boolean)
    .join('/')
    .toLowerCase();

/**
 * The files of one model: those that are in no folder, or else of the smallest, and those in
 * folders that are named for them. Others may have other matrices.
 */
function inOneGroup(all: readonly ListedModel[]): {
  readonly models: readonly ListedModel[];
  readonly others: readonly Pick<GgufOnHub, 'file' | 'bytes'>[];
} {
  const top = all.find(({ file }) => !file.includes('/'))?.file.toLowerCase();
  const groupOf = ({ file }: ListedModel): string => {
    const folder = modelFolder(file);
    return top?.startsWith(folder) === true ? '' : folder;
  };
  const [smallest] = all;
  const chosen = top !== undefined || !smallest ? '' : groupOf(smallest);
  const others = all.filter((model) => groupOf(model) !== chosen);
  return {
    models: all.filter((model) => groupOf(model) === chosen),
    others: others.map(({ file, bytes }) => ({ file, bytes })),
  };
}

function noVerdict(
  { repository }: Hub,
  named: string | null,
  [incomplete]: readonly IncompleteGguf[],
  source: ListedModel | null,
): LoraError {
  const fix = 'Download it, and use lora inspect: it says the memory that a training needs.';
  if (source) {
    const problem = `${source.file} has ${source.parts.length} parts; headers of up to ${MAX_HEADERS} are read.`;
    return new LoraError('base', problem, { fix });
  }
  if (incomplete) {
    const { file, missing } = incomplete;
    const problem = `${repository} lacks ${missing}, a part of the model ${file}.`;
    return new LoraError('base', problem, { fix: 'Choose another model.' });
  }
  const problem =
    named === null
      ? `${repository} has no .gguf file of a model.`
      : `${repository} has no file ${named}, or it is a later part of a model.`;
  return new LoraError('base', problem, { fix: 'Name a .gguf file, of several parts the first.' });
}

/** The first bytes of a file, and what they say. */
interface ReadHeader {
  readonly bytes: Buffer;
  readonly header: GgufHeader;
}

/** Files of the right sizes with the headers alone; the rest takes no space on most disks. */
async function headersOnly(hub: Hub, { parts }: ListedModel, folder: string): Promise<string> {
  for (const part of parts) {
    const size = hubFileSize(part);
    const read = await readHeader(hub, part, size);
    const handle = await openForAppending(
      path.join(folder, path.posix.basename(part.path)),
      folder,
    );
    try {
      await handle.write(read.bytes);
      for (const factors of unreadFactors(read)) await writeOnes(handle, factors);
      await handle.truncate(size);
    } finally {
      await handle.close();
    }
  }
  return path.join(folder, path.posix.basename(parts[0]?.path ?? ''));
}

/** Many more than half of a head's dimensions. */
const MAX_FACTOR_BYTES = 1 << 16;

/** Those that were not read with the header, in the order of the file. */
const unreadFactors = ({ bytes, header }: ReadHeader): GgufTensor[] =>
  [...header.tensors.values()]
    .filter(({ name, dtype }) => isRotaryFactors(name) && dtype === 'F32')
    .filter(({ start, end }) => end > bytes.length && end - start <= MAX_FACTOR_BYTES)
    .sort((a, b) => a.start - b.start);

/** Factors of RoPE become part of the config, where zeros would be refused; none needs memory. */
async function writeOnes(handle: FileHandle, { start, end }: GgufTensor): Promise<void> {
  const ones = new Float32Array((end - start) / Float32Array.BYTES_PER_ELEMENT).fill(1);
  await handle.truncate(start);
  await handle.appendFile(new Uint8Array(ones.buffer));
}

/** Reads as much as the header needs. The connection is closed then. */
async function readHeader(hub: Hub, file: HubFile, size: number): Promise<ReadHeader> {
  const response = await requestHubFile(hub, file, 0);
  const chunks: Uint8Array[] = [];
  let [length, tried] = [0, 0];
  for await (const chunk of bodyOf(response, hub)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length < 2 * tried && length < size) continue;
    tried = length;
    const bytes = Buffer.concat(chunks);
    const header = headerIn(bytes, size, file.path);
    if (header) return { bytes, header };
    if (length > MAX_GGUF_HEADER) break;
  }
  throw new LoraError('base', 'The header of the GGUF file is damaged.', {
    place: { file: file.path },
    fix: 'Choose another file.',
  });
}

/**
 * The header, or null if more bytes are needed.
 *
 * @throws LoraError('base') for a damaged header
 */
function headerIn(bytes: Buffer, size: number, file: string): GgufHeader | null {
  try {
    return parseGgufHeader(bytes, size, file);
  } catch (error) {
    if (error instanceof MoreBytesNeeded) return null;
    throw error;
  }
}
