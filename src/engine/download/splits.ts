import type { DatasetSource } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { hubFileSize, type HubFile } from './plan';

/** A dataset on the Hub. */
export interface DatasetName {
  /** owner/name */
  readonly name: string;
  /** Branch, tag or commit; null: the newest. */
  readonly revision: string | null;
}

const DATASET_NAME = /^hf:\/\/(?:datasets\/)?(\w[\w.-]*\/\w[\w.-]*)(?:@([\w./-]+))?$/;

/** Parses hf://owner/name@revision. @throws LoraError('dataset') for anything else */
export function parseDatasetName(text: string): DatasetName {
  const [, name, revision = null] = DATASET_NAME.exec(text) ?? [];
  if (name !== undefined && !text.includes('..')) return { name, revision };
  throw new LoraError('dataset', `${JSON.stringify(text)} is not the name of a dataset.`, {
    place: { file: text },
    fix: 'Write hf://owner/name, with @revision if need be, and name its split by "split".',
  });
}

interface SplitFile {
  readonly config: string;
  readonly split: string;
  /** Whether the Hub has converted only the first part of the split. */
  readonly isPartial: boolean;
  readonly file: HubFile;
}

/** As the Hub's own branch names them: CONFIG/SPLIT/0000.parquet. */
const CONVERTED = /^([^/]+)\/(partial-)?([^/]+)\/\d+\.parquet$/;
/** As people name them: data/train-00000-of-00002-HASH.parquet, CONFIG/test.parquet. */
const NAMED = /^(?:(.*)\/)?([A-Za-z]\w*?)(?:-\d+(?:-of-\d+)?(?:-\w+)?)?\.parquet$/;

function splitOf(file: HubFile): SplitFile[] {
  const [, config, partial, split] = CONVERTED.exec(file.path) ?? [];
  if (config !== undefined && split !== undefined)
    return [{ config, split, isPartial: partial !== undefined, file }];
  const [, folder = '', name] = NAMED.exec(file.path) ?? [];
  if (name === undefined) return [];
  const own = folder === '' || folder === 'data' ? 'default' : folder.replace(/^data\//, '');
  return [{ config: own, split: name, isPartial: false, file }];
}

/** A split of a configuration. */
export interface NamedSplit {
  readonly config: string;
  readonly split: string;
  readonly bytes: number;
}

/**
 * The splits that can be read, by their names.
 *
 * @throws LoraError('dataset') where there are none
 */
export function splitsOf(files: readonly HubFile[], name: string): readonly NamedSplit[] {
  const found = new Map<string, NamedSplit>();
  for (const { config, split, file, isPartial } of files.flatMap(splitOf)) {
    const key = `${config}/${split}`;
    const bytes = (found.get(key)?.bytes ?? 0) + hubFileSize(file);
    if (!isPartial) found.set(key, { config, split, bytes });
  }
  if (found.size === 0) throw withoutFiles(name);
  return [...found.values()];
}

const withoutFiles = (name: string): LoraError =>
  new LoraError('dataset', 'The dataset has no Parquet files on the Hub.', {
    place: { file: name },
    fix: 'Download its files, and name them or their folder.',
  });

/**
 * The Parquet files of the split that a source names, in order. Without a configuration: the only
 * one, or "default"; without a split: "train", or the only one.
 *
 * @throws LoraError('dataset') naming those that there are
 */
export function filesOfSplit(
  files: readonly HubFile[],
  { path: name, config, split }: Pick<DatasetSource, 'path' | 'config' | 'split'>,
): readonly HubFile[] {
  const all = files.flatMap(splitOf);
  const refuse = (message: string, fix: string) =>
    new LoraError('dataset', message, { place: { file: name }, fix });
  if (all.length === 0) throw withoutFiles(name);
  const configs = namesOf(all.map((own) => own.config));
  const ownConfig = config ?? chosen(configs, 'default');
  if (ownConfig === null || !configs.includes(ownConfig))
    throw refuse(
      `${config === null ? 'The dataset has several configurations' : `The dataset has no configuration ${JSON.stringify(config)}`}.`,
      `Name one by "config": ${listed(configs)}.`,
    );
  const inConfig = all.filter((own) => own.config === ownConfig);
  const splits = namesOf(inConfig.map((own) => own.split));
  const ownSplit = split ?? chosen(splits, 'train');
  if (ownSplit === null || !splits.includes(ownSplit))
    throw refuse(
      `${split === null ? 'The dataset has no split "train"' : `The dataset has no split ${JSON.stringify(split)}`}.`,
      `Name one by "split": ${listed(splits)}.`,
    );
  const found = inConfig.filter((own) => own.split === ownSplit);
  if (found.some(({ isPartial }) => isPartial))
    throw refuse(
      'The Hub has only the first part of this split as Parquet.',
      'Name the revision of its own Parquet files, such as @main, or download its files.',
    );
  return found.map(({ file }) => file).sort((a, b) => (a.path < b.path ? -1 : 1));
}

const namesOf = (names: readonly string[]): string[] => [...new Set(names)].sort();

const chosen = (names: readonly string[], preferred: string): string | null => {
  if (names.includes(preferred)) return preferred;
  return names.length === 1 ? names[0]! : null;
};

const MOST_LISTED = 12;

const listed = (names: readonly string[]): string =>
  `${names.slice(0, MOST_LISTED).join(', ')}${names.length > MOST_LISTED ? ', …' : ''}`;
