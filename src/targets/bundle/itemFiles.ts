import { stat } from 'node:fs/promises';
import path from 'node:path';
import { fileErrorReason, pathExists } from '../../common/fileStatus';
import { listFolder } from '../../common/regularFile';
import { excludedFileOf } from '../../formats/excludedRows';
import { ggufParts } from '../../formats/gguf/partNames';
import { hubNameOfPath } from '../../formats/hub/hubName';
import { isLayersModelPath } from '../../formats/layersModel/file';
import { LoraError } from '../../shared/errors';
import { MAX_FILES } from '../target';
import type { PathKind } from './recipePaths';
import { imagesOfRows, type ImageRecipe } from './rowImages';

/** A file to send: its place in the item, and here. */
export interface SentSource {
  readonly path: string;
  readonly source: string;
}

/** The files of what a recipe names. */
export interface Sources {
  /** The file or folder within the item. */
  readonly entry: string;
  readonly files: readonly SentSource[];
}

/** What a key of a recipe names, to be sent. */
export interface Named {
  readonly key: string;
  readonly kind: PathKind;
  readonly file: string;
  /** Says whether rows of a dataset can name images. */
  readonly recipe: ImageRecipe;
}

/** Of the base: its weights, and the small files that describe it and its tokenizer. */
const BASE_FILE = /\.(?:json|jinja|txt|model|safetensors)$/i;
/** Of an adapter in PEFT's format. */
const ADAPTER_FILE = /\.(?:json|jinja|txt|model|safetensors)$/i;
const MAX_DEPTH = 8;

/** The files that a recipe's key names. @throws LoraError('target') when they cannot be sent */
export async function sourcesOf(named: Named): Promise<Sources> {
  const { file } = named;
  const info = await stat(file).catch((error: unknown) => {
    throw refused(named, fileErrorReason(error));
  });
  if (info.isFile()) return fileSources(named);
  if (!info.isDirectory()) throw refused(named, 'it is neither a file nor a folder');
  const isSent = { base: BASE_FILE, adapter: ADAPTER_FILE, dataset: /./ }[named.kind];
  const depth = named.kind === 'dataset' ? MAX_DEPTH : 1;
  const entry = folderName(file);
  refuseName(named, entry);
  const files = await collect(named, { folder: file, prefix: `${entry}/`, depth });
  const sent = files.filter((each) => isSent.test(each.path));
  if (sent.length === 0) throw refused(named, 'the folder is empty');
  await refuseOtherImages(named, sent);
  return { entry, files: sent };
}

/**
 * A folder keeps its name, by which runs and adapters call it; in the Hub cache, the folders
 * above it have the name of the model.
 */
function folderName(folder: string): string {
  const parts = path.resolve(folder).split(path.sep);
  const kept = parts.slice(hubNameOfPath(folder) === null ? -1 : -3);
  return kept.join('/');
}

/** A file, and the other parts of a model that is split. */
async function fileSources(named: Named): Promise<Sources> {
  const name = path.basename(named.file);
  refuseName(named, name);
  if (named.kind === 'base' && isLayersModelPath(name))
    throw refused(named, 'layers models of TensorFlow.js are trained on this machine only');
  if (named.kind === 'dataset') await refuseImages(named);
  const folder = path.dirname(named.file);
  const names = named.kind === 'base' ? (ggufParts(name) ?? [name]) : [name];
  const files = names.map((part) => ({ path: part, source: path.join(folder, part) }));
  for (const { source } of files)
    if (!(await pathExists(source))) throw refused(named, `${path.basename(source)} is missing`);
  const list = excludedFileOf(named.file);
  if (named.kind === 'dataset' && (await pathExists(list)))
    files.push({ path: path.basename(list), source: list });
  return { entry: name, files };
}

/** @throws LoraError('target') for a file whose rows name images, which is sent alone */
async function refuseImages(named: Named): Promise<void> {
  const { file, recipe } = named;
  const { done: hasNone } = await imagesOfRows(file, recipe).next();
  if (recipe.task === 'contrastive' || !hasNone)
    throw refused(
      named,
      'its images would stay here; name the folder that has the rows and images',
    );
}

/** @throws LoraError('target') for an image that is not among the files that are sent */
async function refuseOtherImages(named: Named, sent: readonly SentSource[]): Promise<void> {
  if (named.kind !== 'dataset') return;
  const known = new Set(sent.map(({ source }) => path.resolve(source)));
  for await (const { file, row, image } of imagesOfRows(named.file, named.recipe)) {
    const isSent = !path.isAbsolute(image) && known.has(path.resolve(path.dirname(file), image));
    if (isSent) continue;
    throw refused(
      named,
      `the image ${image} of row ${row} of ${path.basename(file)} is not sent with it; put it into the folder and name it relative to its rows, not by a hidden name`,
    );
  }
}

interface Place {
  readonly folder: string;
  readonly prefix: string;
  readonly depth: number;
}

/** The files of a folder, by name; hidden ones are left out. Links are followed, as in training. */
async function collect(named: Named, { folder, prefix, depth }: Place): Promise<SentSource[]> {
  const files: SentSource[] = [];
  const entries = await listFolder(folder);
  for (const { name } of [...entries].sort(byName)) {
    if (name.startsWith('.')) continue;
    refuseName(named, name);
    const source = path.join(folder, name);
    const info = await stat(source).catch(() => null);
    if (info?.isFile()) files.push({ path: `${prefix}${name}`, source });
    if (info?.isDirectory() && depth > 1)
      files.push(
        ...(await collect(named, {
          folder: source,
          prefix: `${prefix}${name}/`,
          depth: depth - 1,
        })),
      );
    if (files.length > MAX_FILES)
      throw refused(named, `it has more than ${MAX_FILES} files; make it a .jsonl file`);
  }
  return files;
}

const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : 1;

/** Names that Linux and macOS can have too, and that no shell or terminal acts on. */
function refuseName(named: Named, name: string): void {
  if (/\p{Cc}/u.test(name)) throw refused(named, 'a name in it has control characters');
}

const refused = ({ key, file }: Named, reason: string): LoraError =>
  new LoraError('target', `What ${key} names cannot be sent: ${reason}.`, { place: { file, key } });
