import path from 'node:path';
import { isInFolder, isSamePath } from '../../common/samePath';
import type { Writer } from '../server/writers';

/** How the setting names a model: by its place, within the workspace if it is there. */
export function settingOf({ id }: Pick<Writer, 'id'>, folders: readonly string[]): string {
  const folder = folders.find((own) => isInFolder(id, own));
  return folder === undefined ? id : path.relative(folder, id).replaceAll('\\', '/');
}

/** The model that the setting names; undefined: none, or it is not there. */
export const chosenModel = <W extends Pick<Writer, 'id'>>(
  setting: string,
  writers: readonly W[],
  folders: readonly string[],
): W | undefined =>
  setting === ''
    ? undefined
    : writers.find(({ id }) =>
        [setting, ...folders.map((folder) => path.resolve(folder, setting))].some((place) =>
          isSamePath(place, id),
        ),
      );

/** Whether completion is on for a language. */
export const isOnFor = (language: string, languages: readonly string[]): boolean =>
  languages.includes(language) || languages.includes('*');
