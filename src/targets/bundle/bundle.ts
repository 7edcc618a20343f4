import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { fileErrorReason } from '../../common/fileStatus';
import { cachedHash } from '../../common/hashCache';
import { isHubSource } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import type { BundleFile, BundleItem } from '../target';
import { engineFiles } from './engineFiles';
import { sourcesOf, type Named, type SentSource } from './itemFiles';
import { baseThere, namesOfBase, type KnownBases } from './knownBases';
import { PATH_KEYS } from './recipePaths';

/** What a job needs on a target. */
export interface Bundle {
  readonly items: readonly BundleItem[];
  /** The id of the item that holds dist/cli.js. */
  readonly engine: string;
  /** The text of the recipe, with the paths that the files have there. */
  readonly recipe: string;
  /** The bases that the target has already, by the path there. */
  readonly there: readonly string[];
}

/** What a bundle is made of. */
export interface BundleOptions extends KnownBases {
  /** The folder of the bundles. */
  readonly dist: string;
  readonly signal: AbortSignal;
  /** Bytes that have been read so far, to be hashed. */
  readonly onBytes?: (bytes: number) => void;
}

/** How many characters of a hash identify an item. */
const ID_LENGTH = 40;
/** From the folder of a job to the items. */
const ITEMS_FROM_JOB = '../../items';

/**
 * Collects what a recipe needs: the engine, the base, the datasets, the adapters.
 *
 * @throws LoraError('target') naming the key of what cannot be sent; 'cancelled'
 */
export async function makeBundle(recipe: Recipe, options: BundleOptions): Promise<Bundle> {
  const hash = hasher(options);
  const engine = await itemOf('engine', await engineFiles(options.dist), hash);
  const items = new Map([[engine.id, engine]]);
  const there: string[] = [];
  let sent = recipe;
  for (const { key, kind, read, write } of PATH_KEYS) {
    const paths: string[] = [];
    for (const file of read(recipe)) {
      if (isHubSource(file)) {
        // the target downloads it itself
        paths.push(file);
        continue;
      }
      const named = { key, kind, file, recipe };
      const known =
        kind === 'base' ? await baseThere(namesOfBase(file), options, options.signal) : null;
      if (known !== null) {
        there.push(known);
        paths.push(known);
        continue;
      }
      const { item, place } = await sentItem(named, hash);
      const hashes = item.files.map(({ sha256 }) => sha256);
      const own = kind === 'base' ? await baseThere(hashes, options, options.signal) : null;
      if (own === null) items.set(item.id, item);
      else there.push(own);
      paths.push(own ?? place);
    }
    sent = write(sent, paths);
  }
  return {
    items: [...items.values()],
    engine: engine.id,
    recipe: `${JSON.stringify(sent, null, 2)}\n`,
    there,
  };
}

/** The bytes of items. */
export const bytesOf = (items: readonly BundleItem[]): number =>
  items.flatMap(({ files }) => files).reduce((sum, { size }) => sum + size, 0);

async function sentItem(
  named: Named,
  hash: Hash,
): Promise<{ readonly item: BundleItem; readonly place: string }> {
  const { entry, files } = await sourcesOf(named);
  const item = await itemOf(named.key, files, hash);
  return { item, place: path.posix.join(ITEMS_FROM_JOB, item.id, entry) };
}

type Hash = (file: SentSource) => Promise<BundleFile>;

async function itemOf(
  label: string,
  sources: readonly SentSource[],
  hash: Hash,
): Promise<BundleItem> {
  const files: BundleFile[] = [];
  // one after the other: they may be gigabytes
  for (const source of sources) files.push(await hash(source));
  const names = files.map(({ path: name, size, sha256 }) => JSON.stringify([name, size, sha256]));
  const id = createHash('sha256').update(names.sort().join('\n')).digest('hex').slice(0, ID_LENGTH);
  return { id, label, files };
}

function hasher({ signal, onBytes }: BundleOptions): Hash {
  let total = 0;
  return async ({ path: name, source }) => {
    let read = 0;
    const sha256 = await cachedHash(source, {
      signal,
      onBytes: (count) => {
        read += count;
        total += count;
        onBytes?.(total);
      },
    }).catch((error: unknown) => {
      if (signal.aborted) throw new LoraError('cancelled', 'Nothing was sent.');
      throw new LoraError('target', `The file cannot be sent: ${fileErrorReason(error)}.`, {
        place: { file: source },
        cause: error,
      });
    });
    const { size } = await stat(source);
    if (size !== read) throw changed(source);
    return { path: name, source, size, sha256 };
  };
}

const changed = (file: string): LoraError =>
  new LoraError('target', 'The file changed while it was read.', {
    place: { file },
    fix: 'Start again when nothing writes it.',
  });
