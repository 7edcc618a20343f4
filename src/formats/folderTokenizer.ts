import path from 'node:path';
import { LoraError } from '../shared/errors';
import { isObject } from '../shared/values';
import { isNamed, fileErrorReason } from '../common/fileStatus';
import { MAX_BYTES, readRegularFile, readTextFile } from '../common/regularFile';
import { readJsonObject } from './json';
import { readSentencePiece } from './sentencePiece/model';
import { tokenizerOfSentencePiece } from './sentencePiece/tokenizer';
import type { TokenizerFiles } from './baseModel';

type Config = Readonly<Record<string, unknown>>;

/** The names of SentencePiece files: Llama's and Gemma's, T5's and ALBERT's, XLM-R's, DeBERTa's. */
export const SENTENCE_PIECE_FILES: readonly string[] = [
  'tokenizer.model',
  'spiece.model',
  'sentencepiece.bpe.model',
  'spm.model',
];
/** The largest have 5 MB. */
const MOST_SENTENCE_PIECE_BYTES = 2 ** 26;

/**
 * Reads tokenizer.json, or else a SentencePiece file, then tokenizer_config.json and the chat
 * template: from chat_template.jinja, or else chat_template.json, or else the config.
 *
 * @param modelFolder Of the model that it belongs to, whose config.json names its family.
 * @throws LoraError('tokenizer') when there is neither, or a file cannot be read.
 */
export async function readFolderTokenizer(
  folder: string,
  modelFolder = folder,
): Promise<TokenizerFiles> {
  const own = await optionalJson(path.join(folder, 'tokenizer_config.json'));
  const config = { ...(await optionalJson(path.join(folder, 'special_tokens_map.json'))), ...own };
  const files = await readVocabulary(folder, config, modelFolder);
  return { ...files, ...(await readTemplate(folder, config)) };
}

type Vocabulary = Pick<TokenizerFiles, 'tokenizer' | 'config' | 'source'>;

/** Whether a folder has a tokenizer of its own. */
export async function hasTokenizer(folder: string): Promise<boolean> {
  const names = ['tokenizer.json', ...SENTENCE_PIECE_FILES];
  const found = await Promise.all(names.map((name) => isNamed(path.join(folder, name))));
  return found.includes(true);
}

async function readVocabulary(
  folder: string,
  config: Config,
  modelFolder: string,
): Promise<Vocabulary> {
  const source = path.join(folder, 'tokenizer.json');
  if (await isNamed(source))
    return { tokenizer: await readJsonObject(source, 'tokenizer'), config, source };
  for (const name of SENTENCE_PIECE_FILES) {
    const file = path.join(folder, name);
    if (await isNamed(file)) return readPieces(file, config, modelFolder);
  }
  throw new LoraError('tokenizer', 'The model has no tokenizer.json.', {
    place: { file: folder },
    fix: `Put the tokenizer.json of the original model into the folder, or its SentencePiece file (${SENTENCE_PIECE_FILES.join(', ')}).`,
  });
}

async function readPieces(
  source: string,
  config: Config,
  modelFolder: string,
): Promise<Vocabulary> {
  const folder = path.dirname(source);
  const bytes = await readBytes(source);
  const { model_type } = await optionalJson(path.join(modelFolder, 'config.json'));
  const added = await optionalJson(path.join(folder, 'added_tokens.json'));
  const model = readSentencePiece(bytes, source);
  return { source, ...tokenizerOfSentencePiece({ model, config, added, model_type, source }) };
}

const optionalJson = async (file: string): Promise<Config> =>
  (await isNamed(file)) ? readJsonObject(file, 'tokenizer') : {};

type TemplateFile = Pick<TokenizerFiles, 'chat_template' | 'chat_template_file'>;

async function readTemplate(folder: string, config: Config): Promise<TemplateFile> {
  const jinja = path.join(folder, 'chat_template.jinja');
  if (await isNamed(jinja))
    return { chat_template: await readText(jinja), chat_template_file: jinja };
  const json = path.join(folder, 'chat_template.json');
  const beside = (await optionalJson(json))['chat_template'];
  if (beside !== undefined && beside !== null)
    return { chat_template: storedTemplate(beside), chat_template_file: json };
  return {
    chat_template: storedTemplate(config['chat_template']),
    chat_template_file: path.join(folder, 'tokenizer_config.json'),
  };
}

function storedTemplate(stored: unknown): string | null {
  if (typeof stored === 'string') return stored;
  return Array.isArray(stored) ? namedTemplate(stored) : null;
}

/** Some configs have several templates: the one named default is used. */
function namedTemplate(templates: readonly unknown[]): string | null {
  const found = templates.find(
    (template) => isObject(template) && template['name'] === 'default' && 'template' in template,
  );
  return isObject(found) && typeof found['template'] === 'string' ? found['template'] : null;
}

const readBytes = (file: string): Promise<Buffer> =>
  readWith(file, () => readRegularFile(file, { maxBytes: MOST_SENTENCE_PIECE_BYTES }));

const readText = (file: string): Promise<string> =>
  readWith(file, () => readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }));

async function readWith<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new LoraError('tokenizer', `The file cannot be read: ${fileErrorReason(error)}.`, {
      place: { file },
      cause: error,
    });
  }
}
