import type { FileMetaData } from 'hyparquet';

const MOST_NODES = 20_000;
const MOST_DEPTH = 64;

/**
 * The paths of the columns that have values: the leaves of the schema, whose nodes are listed depth
 * first.
 *
 * @throws RangeError where the schema is no tree, or names a column twice
 */
export function leafPaths({ schema }: Pick<FileMetaData, 'schema'>): string[][] {
  if (schema.length > MOST_NODES) throw new RangeError(`it has more than ${MOST_NODES} columns`);
  const leaves: string[][] = [];
  const open: { readonly name: string; left: number }[] = [];
  const [root, ...nodes] = schema;
  open.push({ name: '', left: root?.num_children ?? 0 });
  for (const { name, num_children = 0 } of nodes) {
    const parent = open.at(-1);
    if (!parent || open.length > MOST_DEPTH) throw new RangeError('its schema is damaged');
    parent.left--;
    if (num_children > 0) open.push({ name, left: num_children });
    else leaves.push([...open.slice(1).map((own) => own.name), name]);
    while (open.at(-1)?.left === 0) open.pop();
  }
  if (open.length > 0) throw new RangeError('its schema is damaged');
  if (new Set(leaves.map((path) => JSON.stringify(path))).size !== leaves.length)
    throw new RangeError('two columns have the same name');
  return leaves;
}
