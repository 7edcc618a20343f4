import path from 'node:path';
import { LoraError } from '../shared/errors';
import { isObject } from '../shared/values';
import { isNamed, fileErrorReason } from '../common/fileStatus';
import { MAX_BYTES, readTextFile } from '../common/regularFile';
import { readJsonObject } from './json';
import type { TokenizerFiles } from './baseModel';

type Config = Readonly<Record<string, unknown>>;

/**
 * Reads tokenizer.json, tokenizer_config.json and the chat template: from chat_template.jinja, or
 * else chat_template.json, or else the config.
 *
 * @throws LoraError('tokenizer') when there is no tokenizer.json or a file cannot be read.
 */
export async function readFolderTokenizer(folder: string): Promise<TokenizerFiles> {
  const source = path.join(folder, 'tokenizer.json');
  if (!(await isNamed(source))) throw await noTokenizer(folder);
  const tokenizer = await readJsonObject(source, 'tokenizer');
  const own = await optionalJson(path.join(folder, 'tokenizer_config.json'));
  const config = { ...(await optionalJson(path.join(folder, 'special_tokens_map.json'))), ...own };
  return { tokenizer, config, source, ...(await readTemplate(folder, config)) };
}

async function noTokenizer(folder: string): Promise<LoraError> {
  const names = ['tokenizer.model', 'spiece.model'];
  const found = await Promise.all(names.map((name) => isNamed(path.join(folder, name))));
  const own = names.find((_, i) => found[i]);
  const other = own === undefined ? '' : `, only a ${own}, which is not read`;
  return new LoraError('tokenizer', `The model has no tokenizer.json${other}.`, {
    place: { file: folder },
    fix: 'Put the tokenizer.json of the original model into the folder.',
  });
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

async function readText(file: string): Promise<string> {
  try {
    return await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople });
  } catch (error) {
    throw new LoraError('tokenizer', `The file cannot be read: ${fileErrorReason(error)}.`, {
      place: { file },
      cause: error,
    });
  }
}
