import path from 'node:path';
import { isFile } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import type { GgufHeader, GgufTensor } from './header';
import { Metadata } from './metadata';
import { ggufParts, paddedPart } from './partNames';
import { GgufFile, type GgufSource } from './read';
import { countOf } from '../../shared/values';

/**
 * Opens a .gguf model; of one that is split into several files (NAME-00001-of-00003.gguf), any part
 * can be named. Close the result.
 *
 * @throws LoraError('base') when a part is missing, or the parts do not match.
 */
export async function openGgufModel(file: string): Promise<GgufSource> {
  const named = await GgufFile.open(file);
  const count = await orClose(named, partsOf);
  if (count === 1) return named;
  await named.close();
  const files = partFiles(file, count);
  const parts: GgufFile[] = [];
  try {
    for (const [i, own] of files.entries()) parts.push(await openPart(own, i, count));
    return new GgufParts(parts);
  } catch (error) {
    await Promise.all(parts.map((part) => part.close()));
    throw error;
  }
}

/** What `read` gives; closes the file when that throws. */
async function orClose<T>(source: GgufFile, read: (source: GgufFile) => T): Promise<T> {
  try {
    return read(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

const numberAt = ({ header, file }: GgufFile, key: string, missing: number) =>
  new Metadata(header.metadata, file).number(key, missing);

function partsOf(source: GgufFile): number {
  const count = numberAt(source, 'split.count', 1);
  return Number.isSafeInteger(count) && count > 1 ? count : 1;
}

function partFiles(file: string, count: number): string[] {
  const own = path.basename(file);
  const names = ggufParts(own);
  if (names?.length === count && !names.some((name) => isSameName(name, own)))
    throw new LoraError('base', `The file is no part of a model of ${count} parts.`, {
      place: { file, key: 'split.count' },
      fix: `Name ${names[0] ?? 'the first part'}, or give this file the name that it had.`,
    });
  if (names?.length !== count)
    throw new LoraError('base', `The file is one of ${count} parts of a model.`, {
      place: { file, key: 'split.count' },
      fix: `Give the parts their original names (NAME-00001-of-${paddedPart(count)}.gguf) again, or join them with llama.cpp's llama-gguf-split --merge.`,
    });
  return names.map((name) => path.join(path.dirname(file), name));
}

/** Names differ in upper case where the file system does not tell them apart. */
const isSameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

async function openPart(file: string, index: number, count: number): Promise<GgufFile> {
  if (!(await isFile(file)))
    throw new LoraError(
      'base',
      `A part of the model is missing: it has ${countOf(count, 'file')}.`,
      {
        place: { file },
        fix: 'Download all of its parts into one folder.',
      },
    );
  const part = await GgufFile.open(file);
  const [own, all] = await orClose(part, (): [number, number] => [
    numberAt(part, 'split.no', index),
    partsOf(part),
  ]);
  if (own === index && all === count) return part;
  await part.close();
  throw new LoraError(
    'base',
    `The file is part ${own + 1} of ${all}, but its name says ${index + 1} of ${count}.`,
    { place: { file, key: 'split.no' }, fix: 'Download all parts of the model again.' },
  );
}

/** Each part says how many tensors all have, so a part of another model is found. */
function checkCount(part: GgufFile, count: number): void {
  const expected = numberAt(part, 'split.tensors.count', count);
  if (expected === count) return;
  throw new LoraError(
    'base',
    `The parts of the model have ${countOf(count, 'tensor')} together, not ${expected}.`,
    {
      place: { file: part.file, key: 'split.tensors.count' },
      fix: 'Download all parts of the model again.',
    },
  );
}

/** The parts of a split model as one file. */
class GgufParts implements GgufSource {
  readonly header: GgufHeader;
  private readonly owners = new Map<string, GgufFile>();

  constructor(private readonly parts: readonly GgufFile[]) {
    const tensors = new Map<string, GgufTensor>();
    for (const part of parts) {
      for (const [name, tensor] of part.header.tensors) {
        if (this.owners.has(name))
          throw new LoraError('base', 'The tensor is in two parts of the model.', {
            place: { file: part.file, tensor: name },
            fix: 'Download all parts of the model again.',
          });
        this.owners.set(name, part);
        tensors.set(name, tensor);
      }
    }
    this.header = { ...this.first.header, tensors };
    for (const part of parts) checkCount(part, tensors.size);
  }

  private get first(): GgufFile {
    return this.parts[0]!;
  }

  get file(): string {
    return this.first.file;
  }

  get files(): readonly string[] {
    return this.parts.map(({ file }) => file);
  }

  readF32 = (tensor: GgufTensor, target?: Float32Array) =>
    this.ownerOf(tensor).readF32(tensor, target);
  readBF16 = (tensor: GgufTensor, target?: Uint16Array) =>
    this.ownerOf(tensor).readBF16(tensor, target);
  readRange = (tensor: GgufTensor, from: number, count: number) =>
    this.ownerOf(tensor).readRange(tensor, from, count);
  readTensorBytes: GgufSource['readTensorBytes'] = (tensor, from, length, into) =>
    this.ownerOf(tensor).readTensorBytes(tensor, from, length, into);
  readBytes = (start: number, length: number, what: string) =>
    this.first.readBytes(start, length, what);

  async close(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.close()));
  }

  private ownerOf({ name }: GgufTensor): GgufFile {
    return this.owners.get(name)!;
  }
}
