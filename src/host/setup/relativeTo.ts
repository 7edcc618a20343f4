import path from 'node:path';

/** Inside the folder, a relative path with slashes, so that the recipe works on other machines. */
export function relativeTo(folder: string, file: string): string {
  const relative = path.relative(folder, file);
  const leaves = path.isAbsolute(relative) || relative.split(path.sep)[0] === '..';
  const inside = relative !== '' && !leaves;
  return inside ? relative.split(path.sep).join('/') : file;
}
