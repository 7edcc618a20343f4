import { dirname, isAbsolute, resolve } from 'node:path';
import { findNodeAtLocation, type JSONPath } from 'jsonc-parser';
import { isInFolder, isSamePath } from '../../common/samePath';
import { formatPlace, type Place, type Problem } from '../../shared/errors';
import { placeOfKey } from '../../shared/recipeFile';
import { recipeRoot } from '../../shared/recipeTree';

/** Keys whose values are paths, or lists of them. */
const PATH_KEYS: readonly JSONPath[] = [
  ['base'],
  ['dataset'],
  ['validation'],
  ['objective', 'teacher'],
  ['lora', 'init_adapter'],
  ['lora', 'frozen_adapters'],
];

/**
 * What `lora check` found in a recipe, each at a line of it: a problem of a file that the recipe
 * names at its key, one of none at the start.
 *
 * @param shown Keys that have a problem already: their files are not there.
 */
export function recipeProblems(
  problems: readonly Problem[],
  text: string,
  file: string,
  shown: ReadonlySet<string> = new Set(),
): Problem[] {
  const named = namedFiles(text, file);
  return problems.flatMap((problem): Problem[] => {
    const { place } = problem;
    const isHere = place !== undefined && isSamePath(place.file, file);
    if (isHere && place.line !== undefined) return [problem];
    const key = isHere ? place.key : keyOf(place, named);
    if (key !== undefined && shown.has(key)) return [];
    return [
      {
        ...problem,
        message: withOtherFile(problem, file),
        place: key === undefined ? { file, line: 1, column: 1 } : placeOfKey(text, file, key),
      },
    ];
  });
}

interface NamedFile {
  readonly key: string;
  readonly path: string;
}

function namedFiles(text: string, file: string): NamedFile[] {
  const root = recipeRoot(text);
  return PATH_KEYS.flatMap((location) => {
    const node = root && findNodeAtLocation(root, location);
    const values = (node?.type === 'array' ? node.children : node && [node]) ?? [];
    return values.flatMap(({ value }: { readonly value?: unknown }) =>
      typeof value === 'string' && value !== ''
        ? [
            {
              key: location.join('.'),
              path: isAbsolute(value) ? resolve(value) : resolve(dirname(file), value),
            },
          ]
        : [],
    );
  });
}

/** The key that names a file, or a folder that it is in: the innermost. */
function keyOf(place: Place | undefined, named: readonly NamedFile[]): string | undefined {
  if (!place) return undefined;
  return named
    .filter(({ path }) => isSamePath(place.file, path) || isInFolder(place.file, path))
    .sort((a, b) => b.path.length - a.path.length)[0]?.key;
}

const withOtherFile = ({ message, place }: Problem, file: string): string =>
  place === undefined || isSamePath(place.file, file)
    ? message
    : `${formatPlace(place)}: ${message}`;
