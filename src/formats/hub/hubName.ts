import path from 'node:path';
import type { Metadata } from '../gguf/metadata';

/** owner/name, with the characters that the Hub allows. */
const HUB_NAME = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Whether a text has the form owner/name of the Hub. */
export const isHubName = (text: string): boolean => HUB_NAME.test(text);

/**
 * The model's name on the Hub, from its place in the Hub cache
 * (models--owner--name/snapshots/revision, or a file in there); null: it is elsewhere.
 */
export function hubNameOfPath(file: string): string | null {
  const [, cached] =
    /(?:^|[\\/])models--([^\\/]+)[\\/]snapshots[\\/][^\\/]+(?:[\\/]|$)/.exec(path.resolve(file)) ??
    [];
  const name = cached?.replace('--', '/');
  return name !== undefined && (isHubName(name) || /^[\w.-]+$/.test(name)) ? name : null;
}

/** A file's path within its repository, from its place in the Hub cache; elsewhere its name. */
export function pathOnHub(file: string): string {
  const [, within] =
    /(?:^|[\\/])models--[^\\/]+[\\/]snapshots[\\/][^\\/]+[\\/](.+)$/.exec(path.resolve(file)) ?? [];
  return within?.replaceAll('\\', '/') ?? path.basename(file);
}

/**
 * The Hub's name of the model that a .gguf file was converted from; null: the metadata doesn't say.
 * Keys: docs/gguf.md of ggml. general.base_model is what the converted model was made from, which
 * is the same model for a quantised file, but not for one that was fine-tuned (general.finetune).
 */
export function hubNameOfGguf(metadata: Metadata): string | null {
  const at = (key: string) => textAt(metadata, `general.${key}`);
  const sources = [at('source.huggingface.repository'), at('source.repo_url'), at('source.url')];
  const own = [at('repo_url'), at('url')];
  const parent = isFineTuned(metadata) ? [] : parentNames(metadata);
  return [...sources, ...parent, ...own].map(hubNameIn).find((name) => name !== null) ?? null;
}

/** The base that an adapter's .gguf file names: on the Hub if that is known; null: none. */
export function parentNameOfGguf(metadata: Metadata): string | null {
  const hub = parentNames(metadata)
    .map(hubNameIn)
    .find((name) => name !== null);
  const name = hub ?? textAt(metadata, 'general.base_model.0.name');
  return name === '' ? null : name;
}

function parentNames(metadata: Metadata): readonly string[] {
  const count = numberAt(metadata, 'general.base_model.count');
  if (count > 1) return []; // a merge of several models is none of them
  const at = (key: string) => textAt(metadata, `general.base_model.0.${key}`);
  const [organization, name] = [at('organization'), at('name')];
  const pair = organization && name ? [`${organization}/${name}`.replaceAll(' ', '-')] : [];
  return [at('repo_url'), ...pair, ...(isHubName(name) ? [name] : [])];
}

/** Whether the file's model was fine-tuned from the one that it names as its base model. */
function isFineTuned(metadata: Metadata): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  const finetune = plain(textAt(metadata, 'general.finetune'));
  const parent = ['name', 'repo_url'].map((key) =>
    plain(textAt(metadata, `general.base_model.0.${key}`)),
  );
  return finetune !== '' && !parent.some((text) => text.includes(finetune));
}

/** owner/name in a hub's address, or alone. */
function hubNameIn(text: string): string | null {
  const [, inAddress] =
    /^(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)\/([^/?#]+\/[^/?#]+?)(?:\.git)?(?:[/?#].*)?$/i.exec(
      text.trim(),
    ) ?? [];
  const name = inAddress ?? text.trim();
  return isHubName(name) && !/^(?:datasets|spaces|docs|models)\//.test(name) ? name : null;
}

/** A text, or '' where there is none: these keys are optional and written by many tools. */
function textAt(metadata: Metadata, key: string): string {
  try {
    return metadata.string(key, '');
  } catch {
    return '';
  }
}

function numberAt(metadata: Metadata, key: string): number {
  try {
    return metadata.number(key, 0);
  } catch {
    return 0;
  }
}
