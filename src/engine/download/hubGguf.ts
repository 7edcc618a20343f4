import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openForAppending, removeWithin } from '../../common/withoutLinks';
import { MAX_GGUF_HEADER, MoreBytesNeeded, parseGgufHeader } from '../../formats/gguf/header';
import { ggufParts } from '../../formats/gguf/partNames';
import { openBase } from '../../formats/openBase';
import type { StepMachine } from '../../lora/stepPlan';
import { LoraError } from '../../shared/errors';
import type { StepMemory } from '../../shared/stepMemory';
import { usualMemory } from '../model/usualMemory';
import { requestHubFile } from './hub';
import { bodyOf, type Hub } from './hubFetch';
import { ggufFiles, hubFileSize, type HubFile } from './plan';

/** What a training run on a .gguf file of the Hub would need. */
export interface GgufOnHub {
  readonly file: string;
  readonly bytes: number;
  readonly memory: StepMemory;
}

export interface GgufRepository {
  readonly family: string;
  readonly parameters: number;
  /** The smallest file first. */
  readonly files: readonly GgufOnHub[];
}

/** Bytes of a number from which on a file is not quantized. */
const HALF_BYTES = 1.9;

/**
 * The memory of a training run on each .gguf file of a repository, before any is downloaded: the
 * header of the smallest is read, and the others have the same matrices in as many bytes as they
 * are large.
 *
 * @param named Only this file; null: all.
 * @throws LoraError('base') when the Hub refuses, or a header cannot be read
 */
export async function ggufOnHub(
  hub: Hub,
  all: readonly HubFile[],
  named: string | null,
  machine: StepMachine,
): Promise<GgufRepository> {
  const files = ggufFiles(all)
    .filter(({ path: own }) => named === null || own === named)
    .filter(({ path: own }) => ggufParts(own) === null)
    .sort((a, b) => hubFileSize(a) - hubFileSize(b));
  const [smallest] = files;
  if (!smallest)
    throw new LoraError(
      'base',
      named === null
        ? `${hub.repository} has no .gguf file that is whole.`
        : `${hub.repository} has no file ${named}, or it is one of several parts.`,
      { fix: 'Download it, and use lora inspect: it says the memory that a training needs.' },
    );
  const folder = await mkdtemp(path.join(tmpdir(), 'lora-gguf-'));
  try {
    const base = await openBase(await headerOnly(hub, smallest, folder));
    try {
      const { spec, parameters } = base;
      const ofFile = (file: HubFile): GgufOnHub => {
        const bytes = hubFileSize(file);
        const stored = bytes < HALF_BYTES * parameters ? bytes : null;
        const own = file === smallest ? undefined : stored;
        return { file: file.path, bytes, memory: usualMemory(base, machine, own) };
      };
      return { family: spec.family, parameters, files: files.map(ofFile) };
    } finally {
      await base.close();
    }
  } finally {
    await removeWithin(folder);
  }
}

/** A file of the right size with the header alone; the rest takes no space on most disks. */
async function headerOnly(hub: Hub, file: HubFile, folder: string): Promise<string> {
  const size = hubFileSize(file);
  const place = path.join(folder, 'model.gguf');
  const header = await headerBytes(hub, file, size);
  const handle = await openForAppending(place, folder);
  try {
    await handle.write(header);
    await handle.truncate(size);
  } finally {
    await handle.close();
  }
  return place;
}

/** The first bytes of a file, with its whole header. The connection is closed then. */
async function headerBytes(hub: Hub, file: HubFile, size: number): Promise<Buffer> {
  const response = await requestHubFile(hub, file, 0);
  const chunks: Uint8Array[] = [];
  let [length, tried] = [0, 0];
  for await (const chunk of bodyOf(response, hub)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length < 2 * tried && length < size) continue;
    tried = length;
    const bytes = Buffer.concat(chunks);
    if (isWhole(bytes, size, file.path)) return bytes;
    if (length > MAX_GGUF_HEADER) break;
  }
  throw new LoraError('base', 'The header of the GGUF file is damaged.', {
    place: { file: file.path },
    fix: 'Choose another file.',
  });
}

/** @throws LoraError('base') for a damaged header */
function isWhole(bytes: Buffer, size: number, file: string): boolean {
  try {
    parseGgufHeader(bytes, size, file);
    return true;
  } catch (error) {
    if (error instanceof MoreBytesNeeded) return false;
    throw error;
  }
}
