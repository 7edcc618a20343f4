import { isDeviceOfWindows } from '../../common/windowsNames';
import { ggufParts, isLaterPart } from '../../formats/gguf/partNames';
import { LoraError } from '../../shared/errors';

/** A file of a repository as the Hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** git's SHA-1 of the file as a blob; for an LFS file, of its pointer. */
  readonly oid?: string | undefined;
  /** The SHA-256 and the size of an LFS file. */
  readonly lfs?: { readonly oid: string; readonly size: number } | undefined;
}

/** A model on the Hub. */
export interface HubName {
  /** owner/model */
  readonly repository: string;
  /** One .gguf file of it, with its folder if it is in one; null: the whole model. */
  readonly file: string | null;
}

/** The real size of a file in bytes. */
export const hubFileSize = ({ size, lfs }: HubFile): number => lfs?.size ?? size;

const JSON_FILES = [
  'config',
  'generation_config',
  'tokenizer',
  'tokenizer_config',
  'special_tokens_map',
  'added_tokens',
  'vocab',
  'preprocessor_config',
  'processor_config',
  'model\\.safetensors\\.index',
  'modules',
  'config_sentence_transformers',
  'sentence_bert_config',
  'chat_template',
];
const OTHER_FILES = [
  'merges\\.txt',
  'vocab\\.txt',
  'tokenizer\\.model',
  'spiece\\.model',
  'sentencepiece\\.bpe\\.model',
  'spm\\.model',
  'chat_template\\.jinja',
  'README\\.md',
  'LICENSE(?:\\.\\w+)?',
];
/** The files of a model folder that are not weights. */
const SIDE_FILE = new RegExp(
  `^(?:(?:${JSON_FILES.join('|')})\\.json|${OTHER_FILES.join('|')})$`,
  'i',
);
const WEIGHTS = /^model(?:-\d+-of-\d+)?\.safetensors$/;
const CONFIG = 'config.json';
/** Written by sentence-transformers: the list of a model's parts, and how one of them pools. */
const MODULES = 'modules.json';
const POOLING = '1_Pooling/config.json';

/**
 * The files to download. config.json is the last one: a folder without it is not recognized as a
 * model.
 * @throws LoraError('base') when the repository lacks the named file, weights or config.json.
 */
export function planDownload(
  files: readonly HubFile[],
  { repository, file }: HubName,
): readonly HubFile[] {
  const lacks = (problem: string) =>
    new LoraError('base', `${repository} has no ${problem}.`, {
      fix: suggestGguf(files, repository),
    });
  if (file !== null) {
    const found = files.find(({ path }) => path === file);
    if (!found || !isSafeFile(file)) throw lacks(`file ${file}`);
    const parts = (ggufParts(file) ?? [file]).map((part) => {
      const own = files.find(({ path }) => path === part);
      if (!own) throw lacks(`file ${part}, which is a part of the model`);
      return own;
    });
    return verifiable(parts);
  }
  const topLevel = files.filter(({ path }) => isSafeName(path));
  const weights = topLevel.filter(({ path }) => WEIGHTS.test(path));
  if (weights.length === 0) {
    throw lacks('model.safetensors');
  }
  const pooling = files.filter(({ path }) => path === POOLING);
  const sideFiles = [...topLevel.filter(({ path }) => SIDE_FILE.test(path)), ...pooling];
  const config = sideFiles.filter(({ path }) => path === CONFIG);
  if (config.length === 0) {
    throw lacks('config.json, so it is not a model for transformers');
  }
  return verifiable([...sideFiles.filter(({ path }) => path !== CONFIG), ...weights, ...config]);
}

const SHA1 = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/**
 * The files, if each has a checksum and a place of its own.
 * @throws LoraError('base') otherwise.
 */
function verifiable(files: readonly HubFile[]): readonly HubFile[] {
  const names = new Set<string>();
  for (const { path, oid, lfs } of files) {
    const refused = (problem: string) =>
      new LoraError('base', problem, { place: { file: path }, fix: 'Choose another model.' });
    if (!(lfs ? SHA256.test(lfs.oid) : SHA1.test(oid ?? ''))) {
      throw refused('The Hub names no checksum of this file, so it cannot be verified.');
    }
    if (names.has(path.toLowerCase())) {
      throw refused('The model has two files of this name, which differ in upper case only.');
    }
    names.add(path.toLowerCase());
  }
  return files;
}

/** A name from the Hub must not lead to another folder, to a device, or to another name. */
const isSafeName = (path: string) =>
  /^\w[\w.-]{0,199}$/.test(path) && !/\.\.|\.$/.test(path) && !isDeviceOfWindows(path);

/** Whether each part of a path is a name that may be used here. */
export const isSafeFile = (path: string): boolean => path.split('/').every(isSafeName);

const MAX_SUGGESTIONS = 12;

/** The .gguf files of a repository that can be named; of one in parts, the first. */
export const ggufFiles = (files: readonly HubFile[]): readonly HubFile[] =>
  files.filter(({ path }) => path.endsWith('.gguf') && isSafeFile(path) && !isLaterPart(path));

/** Whether a folder of the repository may say how sentence embeddings are pooled. */
export const isOfSentences = (files: readonly HubFile[]): boolean =>
  files.some(({ path }) => path === MODULES);

/** Whether a repository has the weights of a model as safetensors. */
export const hasSafetensors = (files: readonly HubFile[]): boolean =>
  files.some(({ path }) => WEIGHTS.test(path));

function suggestGguf(files: readonly HubFile[], repository: string): string {
  const names = ggufFiles(files).map(({ path }) => path);
  if (names.length === 0) {
    return 'Choose a model that is stored as safetensors.';
  }
  const shown = names.slice(0, MAX_SUGGESTIONS).join(', ');
  const more = names.length > MAX_SUGGESTIONS ? ', …' : '';
  return `Name one of its .gguf files, as in ${repository}/${names[0]!}: ${shown}${more}`;
}

const ADDRESS = String.raw`(?:https?:\/\/[^/]+\/)?`;
const REPOSITORY = String.raw`(\w[\w.-]*\/\w[\w.-]*)`;
const FILE = String.raw`(?:\/(?:(?:blob|resolve|tree)\/[^/]+\/?)?((?:[^/]+\/)*[^/]+\.gguf)?)?`;
const HUB_NAME = new RegExp(`^${ADDRESS}${REPOSITORY}${FILE}$`);

/**
 * Parses owner/model, owner/model/NAME.gguf, owner/model/FOLDER/NAME.gguf, or the address of one of
 * their pages.
 * @throws LoraError('usage') for anything else.
 */
export function parseHubName(name: string): HubName {
  const [, repository, file] = HUB_NAME.exec(name.trim()) ?? [];
  if (repository !== undefined && !repository.includes('..')) {
    return { repository, file: file ?? null };
  }
  throw new LoraError('usage', `${JSON.stringify(name)} is not the name of a model.`, {
    fix: 'Write owner/model, such as HuggingFaceTB/SmolLM2-135M-Instruct, or owner/model/NAME.gguf.',
  });
}
