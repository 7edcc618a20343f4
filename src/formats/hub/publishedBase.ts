import type { BaseModel } from '../baseModel';
import { isHubName, pathOnHub } from './hubName';

/** How files that are published name a base model. */
export interface PublishedBase {
  /** Its name without a local path. */
  readonly title: string;
  /** Its name on the Hub; null: not known. */
  readonly hub: string | null;
  /** base_model_name_or_path: its name on the Hub, or where it is on this disk. */
  readonly name_or_path: string;
  /** The name of its .gguf file, where transformers needs it to load the base; else null. */
  readonly gguf_file: string | null;
}

/** How published files name an open base. */
export function publishedBase({
  hub,
  path: own,
  name,
  format,
}: Pick<BaseModel, 'hub' | 'path' | 'name' | 'format'>): PublishedBase {
  const needsFile = format === 'gguf' && (hub === null || /gguf$/i.test(hub));
  return {
    title: hub ?? withoutFolders(name),
    hub,
    name_or_path: hub ?? own,
    gguf_file: needsFile ? pathOnHub(own) : null,
  };
}

/** How published files name the base that an adapter names; null: it names none. */
export function publishedNamed(name: string | null): PublishedBase | null {
  if (name === null || name === '') return null;
  const isLocal = isLocalPath(name);
  return {
    title: withoutFolders(name),
    hub: isLocal ? null : name,
    name_or_path: name,
    gguf_file: isLocal && name.endsWith('.gguf') ? withoutFolders(name) : null,
  };
}

/** Whether base_model_name_or_path is a path rather than a name on the Hub. */
export const isLocalPath = (name: string): boolean =>
  !isHubName(name) && (/[\\/]/.test(name) || name.endsWith('.gguf') || name.startsWith('.'));

/** The last part of a path; a name on the Hub stays. */
export const withoutFolders = (name: string): string =>
  isLocalPath(name) ? (name.split(/[\\/]/).filter(Boolean).at(-1) ?? name) : name;
