import { LoraError } from '../../shared/errors';

/** A file of a repository as the hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** git's SHA-1 of it as a blob; of a large file, of its pointer. */
  readonly oid?: string | undefined;
  readonly lfs?: { readonly oid: string; readonly size: number } | undefined;
}

/** What a model folder needs beside its weights. */
const SMALL =
  /^(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config|processor_config|model\.safetensors\.index|modules|config_sentence_transformers|sentence_bert_config)\.json$|^(?:merges\.txt|vocab\.txt|tokenizer\.model|spiece\.model|chat_template\.jinja|chat_template\.json|README\.md|LICENSE(?:\.\w+)?)$/i;
const WEIGHTS = /^model(?:-\d+-of-\d+)?\.safetensors$/;

/**
 * The files to take, the small ones first, config.json last: a folder without it is no model yet.
 * Errors: LoraError('base') where it holds no such weights.
 */
export function filesToTake(
  files: readonly HubFile[],
  { repository: name, file }: HubName,
): readonly HubFile[] {
  if (file !== null) {
    const found = files.find(({ path }) => path === file);
    if (found && isSafeName(file)) return [found];
    throw new LoraError('base', `${name} has no file ${file}.`, { fix: ggufWords(files, name) });
  }
  const top = files.filter(({ path }) => isSafeName(path));
  const weights = top.filter(({ path }) => WEIGHTS.test(path));
  if (weights.length === 0)
    throw new LoraError('base', `${name} has no model.safetensors.`, {
      fix: ggufWords(files, name),
    });
  const small = top.filter(({ path }) => SMALL.test(path));
  const config = small.filter(({ path }) => path === 'config.json');
  if (config.length === 0)
    throw new LoraError('base', `${name} has no config.json: it is no model of transformers.`, {
      fix: ggufWords(files, name),
    });
  return [...small.filter(({ path }) => path !== 'config.json'), ...weights, ...config];
}

/** What comes from outside names no other folder. */
const isSafeName = (path: string) => /^[\w][\w.-]*$/.test(path) && !path.includes('..');

function ggufWords(files: readonly HubFile[], name: string): string {
  const names = files
    .map(({ path }) => path)
    .filter((path) => path.endsWith('.gguf') && isSafeName(path));
  return names.length === 0
    ? 'Choose a model that is stored as safetensors.'
    : `Name one of its .gguf files, as in ${name}/${names[0]!}: ${names.slice(0, 12).join(', ')}${names.length > 12 ? ', …' : ''}`;
}

export const sizeOf = ({ size, lfs }: HubFile): number => lfs?.size ?? size;

export interface HubName {
  /** owner/model */
  readonly repository: string;
  /** One .gguf file of it; null: the whole model. */
  readonly file: string | null;
}

/**
 * owner/model, with a .gguf file of it behind or not; also as the address of its page. Errors:
 * LoraError('usage').
 */
export function hubNameOf(name: string): HubName {
  const [, repository, file] =
    /^(?:https?:\/\/[^/]+\/)?([\w.-]+\/[\w.-]+)(?:\/(?:(?:blob|resolve|tree)\/[^/]+\/?)?([^/]+\.gguf)?)?$/.exec(
      name.trim(),
    ) ?? [];
  if (repository !== undefined && !repository.includes('..'))
    return { repository, file: file ?? null };
  throw new LoraError('usage', `${JSON.stringify(name)} is no name of a model.`, {
    fix: 'Write owner/model, such as HuggingFaceTB/SmolLM2-135M-Instruct, or owner/model/NAME.gguf.',
  });
}
