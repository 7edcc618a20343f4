import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { findNodeAtLocation, type JSONPath, type Node } from 'jsonc-parser';
import { isRemotePath } from '../../common/remotePath';
import { isHubSource } from '../../shared/datasetSources';
import type { Place, Problem } from '../../shared/errors';
import { recipeRoot } from '../../shared/recipeTree';
import { t } from '../text/l10n';

/** Keys whose values are paths. */
const PATH_KEYS: readonly {
  readonly path: JSONPath;
  readonly missing: (value: string) => string;
}[] = [
  { path: ['base'], missing: (value) => t('There is no base model at {0}.', value) },
  { path: ['dataset'], missing: (value) => t('There is no dataset at {0}.', value) },
  { path: ['validation'], missing: (value) => t('There is no validation dataset at {0}.', value) },
  { path: ['objective', 'teacher'], missing: (value) => t('There is no teacher at {0}.', value) },
  { path: ['lora', 'init_adapter'], missing: (value) => t('There is no adapter at {0}.', value) },
];

/** Whether a recipe names a path that is not touched before the user asks for it. */
export function namesRemoteFiles(text: string): boolean {
  const root = recipeRoot(text);
  const values = PATH_KEYS.flatMap(({ path }): unknown[] =>
    root ? pathNodes(root, path).map((node): unknown => node.value) : [],
  );
  const frozen = root && findNodeAtLocation(root, ['lora', 'frozen_adapters']);
  const adapters = (frozen?.children ?? []).map((node): unknown => node.value);
  return [...values, ...adapters].some(
    (value) => typeof value === 'string' && (isRemotePath(value) || isHubSource(value)),
  );
}

/** The nodes of the paths at a key: one, or those of several sources. */
function pathNodes(root: Node, at: JSONPath): readonly Node[] {
  const node = findNodeAtLocation(root, at);
  const items = node?.type === 'array' ? (node.children ?? []) : nodesOf(node);
  return items.flatMap((item) =>
    item.type === 'object' ? (findNodeAtLocation(item, ['path']) ?? []) : item,
  );
}

const nodesOf = (node: Node | undefined): readonly Node[] => (node ? [node] : []);

/** A problem for each path in a recipe that doesn't exist, at its place in the text. */
export async function missingFiles(
  text: string,
  file: string,
  mayTouch: (value: string) => boolean = () => true,
): Promise<Problem[]> {
  const root = recipeRoot(text);
  if (!root) return [];
  const named = PATH_KEYS.flatMap((key) =>
    pathNodes(root, key.path).map((node) => ({ ...key, node })),
  );
  const checks = named.map(async ({ path, missing, node }): Promise<Problem | null> => {
    if (typeof node.value !== 'string' || node.value === '' || !mayTouch(node.value)) return null;
    if (isHubSource(node.value)) return null;
    const target = isAbsolute(node.value) ? node.value : resolve(dirname(file), node.value);
    if (await stat(target).catch(() => null)) return null;
    return {
      severity: 'error',
      message: missing(target),
      place: { ...placeAt(text, file, node.offset), key: path.join('.') },
    };
  });
  return (await Promise.all(checks)).filter((problem) => problem !== null);
}

function placeAt(text: string, file: string, offset: number): Place {
  const before = text.slice(0, offset).split('\n');
  return { file, line: before.length, column: before.at(-1)!.length + 1 };
}
