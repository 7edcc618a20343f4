import path from 'node:path';
import { refuseLinks } from '../../common/withoutLinks';

/** Where the recipe of a run may be run again and written. */
export interface RecipePlace {
  /** The recipe's file; null unless it is in the project of the run or in the workspace. */
  readonly file: string | null;
  /** For a new recipe. */
  readonly folder: string;
}

/**
 * Where a run is repeated. run.json may be untrusted: the path of the recipe in it counts
 * only inside of the run's project or of a workspace folder, without a link on the way.
 */
export async function recipePlace(
  runDir: string,
  recipePath: string | null,
  workspaceFolders: readonly string[],
): Promise<RecipePlace> {
  const project = path.resolve(runDir, '../../..');
  if (recipePath !== null && path.isAbsolute(recipePath)) {
    for (const root of [project, ...workspaceFolders]) {
      if (isBelow(recipePath, root) && (await hasNoLinks(recipePath, root)))
        return { file: recipePath, folder: path.dirname(recipePath) };
    }
  }
  return { file: null, folder: project };
}

function isBelow(file: string, root: string): boolean {
  const relative = path.relative(root, file);
  return relative !== '' && !path.isAbsolute(relative) && relative.split(path.sep)[0] !== '..';
}

const hasNoLinks = (file: string, root: string): Promise<boolean> =>
  refuseLinks(file, root).then(
    () => true,
    () => false,
  );
