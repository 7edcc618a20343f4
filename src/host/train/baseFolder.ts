import type { Dirent } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { openRegularFile, readHead } from '../../common/regularFile';
import { ggufParts, isLaterPart, isNoBase } from '../../formats/gguf/partNames';
import { walkFolders } from '../../common/walkFolders';

/** Where a base model was found. */
export type BaseSource = 'workspace' | 'folder' | 'hub' | 'ollama' | 'lmstudio';

/** A base model that was found but not opened. */
export interface BaseCandidate {
  /** The Hugging Face folder, the GGUF file, or the model.json of a layers model. */
  readonly path: string;
  readonly name: string;
  readonly source: BaseSource;
  readonly format: 'safetensors' | 'gguf' | 'tensorflow.js';
  /** Size of the weight files. */
  readonly bytes: number;
}

/** The weight files of a Hugging Face model in a folder with these files; none if it has none. */
export const modelWeights = (names: readonly string[]): string[] =>
  names.includes('config.json')
    ? names.filter((name) => name.endsWith('.safetensors') && name !== 'adapter_model.safetensors')
    : [];

/**
 * The base models in one folder: the folder itself if it is a Hugging Face model, else its .gguf
 * files and its layers model. One that is split into parts is one model, named by the first part,
 * if all are there.
 */
export async function basesIn(
  dir: string,
  names: readonly string[],
  source: BaseSource,
  nameOf: (file: string) => string,
): Promise<BaseCandidate[]> {
  const weights = modelWeights(names);
  if (weights.length > 0) {
    return [
      {
        path: dir,
        name: nameOf(dir),
        source,
        format: 'safetensors',
        bytes: await totalSize(dir, weights),
      },
    ];
  }
  const files = names.filter(
    (name) => name.toLowerCase().endsWith('.gguf') && !isNoBase(name) && !isLaterPart(name),
  );
  const checked = await Promise.all(
    files.map(async (name) => {
      const file = path.join(dir, name);
      const parts = ggufParts(name) ?? [name];
      if (!parts.every((part) => names.includes(part))) return null;
      const candidate = await ggufCandidate(file, nameOf(file), source);
      return candidate && { ...candidate, bytes: await totalSize(dir, parts) };
    }),
  );
  const layers = await layersCandidate(dir, names, source, nameOf);
  return [...checked, layers].filter((candidate) => candidate !== null);
}

const LAYERS_MODEL = 'model.json';
/** Holds the first keys of a model.json, which say what it is. */
const HEAD_BYTES = 4096;

/** Whether the head of a model.json is that of a layers model, not of a graph or something else. */
export const isLayersHead = (head: string): boolean =>
  /"(?:modelTopology|weightsManifest)"/.test(head) && !/"format"\s*:\s*"graph-model"/.test(head);

/** The layers model of TensorFlow.js in a folder; null without one. */
async function layersCandidate(
  dir: string,
  names: readonly string[],
  source: BaseSource,
  nameOf: (file: string) => string,
): Promise<BaseCandidate | null> {
  if (!names.includes(LAYERS_MODEL)) return null;
  const file = path.join(dir, LAYERS_MODEL);
  const head = await readHead(file, HEAD_BYTES).catch(() => null);
  if (head === null || !isLayersHead(head.toString('utf8'))) return null;
  const shards = names.filter((name) => name.endsWith('.bin') || /^group\d+-shard/.test(name));
  const bytes = await totalSize(dir, [LAYERS_MODEL, ...shards]);
  return { path: file, name: nameOf(file), source, format: 'tensorflow.js', bytes };
}

/** A .gguf file as a candidate; null unless it starts with the GGUF magic number. */
export async function ggufCandidate(
  file: string,
  name: string,
  source: BaseSource,
): Promise<BaseCandidate | null> {
  const bytes = await ggufSize(file);
  return bytes === null ? null : { path: file, name, source, format: 'gguf', bytes };
}

async function ggufSize(file: string): Promise<number | null> {
  const opened = await openRegularFile(file).catch(() => null);
  if (!opened) return null;
  const { handle, info } = opened;
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.toString('latin1') === 'GGUF' ? info.size : null;
  } catch {
    return null;
  } finally {
    await handle.close();
  }
}

async function totalSize(dir: string, names: readonly string[]): Promise<number> {
  const sizes = await Promise.all(
    names.map((name) =>
      stat(path.join(dir, name)).then(
        (info) => info.size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The names of the files and links in a folder. */
export const fileNames = (entries: readonly Dirent[]): string[] =>
  entries.filter((e) => e.isFile() || e.isSymbolicLink()).map((e) => e.name);

/** Every base model in a folder and below. */
export async function* basesUnder(root: string, source: BaseSource): AsyncGenerator<BaseCandidate> {
  for await (const { dir, entries } of walkFolders(root)) {
    yield* await basesIn(
      dir,
      fileNames(entries),
      source,
      (file) => path.relative(root, file) || path.basename(root),
    );
  }
}
