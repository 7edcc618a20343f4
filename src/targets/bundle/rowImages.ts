import { stat } from 'node:fs/promises';
import path from 'node:path';
import { listFolder } from '../../common/regularFile';
import { readJsonObject } from '../../formats/json';
import { openTable } from '../../formats/tables/openTable';
import type { RawRow } from '../../formats/tables/table';
import { kindByName } from '../../formats/tables/tableKind';
import { sourcesOf } from '../../shared/datasetSources';
import type { Recipe } from '../../shared/recipe';
import { isObject } from '../../shared/values';

/** An image that a row names. */
export interface NamedImage {
  /** The file of the row. */
  readonly file: string;
  /** The number of the row, or of its line. */
  readonly row: number;
  /** Relative to the folder of the row's file, or absolute. */
  readonly image: string;
}

/** What of a recipe says whether rows name images, and in which columns. */
export type ImageRecipe = Pick<Recipe, 'task' | 'base' | 'dataset' | 'columns'>;

/** Messages within messages are not read. */
const MOST_DEPTH = 16;
/** The columns of images, where the recipe does not name them. */
const IMAGE_COLUMNS: readonly string[] = ['image', 'images'];
/** What a row with images has in its text, whose letters may be escaped. */
const MAYBE = /image|\\u/i;

/**
 * The images that the rows of a dataset name, all of them: of chats for a base with a vision
 * encoder, and of pairs of images and texts. What cannot be read has none: the training says why.
 *
 * @param dataset A file of rows, or a folder with such files.
 */
export async function* imagesOfRows(
  dataset: string,
  recipe: ImageRecipe,
): AsyncGenerator<NamedImage> {
  const { task, base } = recipe;
  if (task !== 'contrastive' && !(task === 'causal_lm' && (await mayReadImages(base)))) return;
  const columns = imageColumns(recipe);
  for (const file of await filesOf(dataset)) {
    const found: NamedImage[] = [];
    const add = (row: RawRow) => {
      for (const image of imagesOf(row, columns)) found.push({ file, row: row.number, image });
    };
    await readRows(file, add).catch(() => undefined);
    yield* found;
  }
}

async function readRows(file: string, onRow: (row: RawRow) => void): Promise<void> {
  const table = await openTable(file);
  try {
    await table.readAll(onRow);
  } finally {
    await table.close();
  }
}

/** False: the base is a folder of a model that reads texts alone. */
async function mayReadImages(base: string): Promise<boolean> {
  const config = await readJsonObject(path.join(base, 'config.json'), 'base').catch(() => null);
  return config === null || 'vision_config' in config;
}

async function filesOf(dataset: string): Promise<readonly string[]> {
  if (!(await stat(dataset)).isDirectory()) return [dataset];
  const entries = await listFolder(dataset);
  return entries
    .filter(({ name }) => !name.startsWith('.') && kindByName(name) !== null)
    .map(({ name }) => path.join(dataset, name));
}

function valuesOfText(bytes: Buffer | null, columns: readonly string[]): unknown {
  const text = bytes?.toString('utf8') ?? '';
  if (!MAYBE.test(text) && !columns.some((name) => text.includes(name))) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The columns of images, including those that have other names in the data. */
const imageColumns = ({ dataset, columns }: ImageRecipe): readonly string[] => [
  ...IMAGE_COLUMNS,
  ...[columns, ...sourcesOf(dataset, columns).map((source) => source.columns)].flatMap(
    ({ image }) => image ?? [],
  ),
];

function imagesOf(row: RawRow, columns: readonly string[]): readonly string[] {
  if (row.kind === 'fault') return [];
  const values = row.kind === 'json' ? valuesOfText(row.bytes, columns) : row.values;
  return isObject(values) ? imagesOfColumns(values, columns) : [];
}

/** Those of the columns of images, and those of the parts of messages. */
function imagesOfColumns(
  row: Readonly<Record<string, unknown>>,
  columns: readonly string[],
): readonly string[] {
  const listed = columns.flatMap((name) => row[name]);
  return [
    ...listed.map((own) => (isObject(own) ? own['path'] : own)).filter(isText),
    ...Object.values(row).flatMap((value) => imagesOfParts(value, 0)),
  ].filter((own) => !/^\s*$|^(?:data|https?):/i.test(own));
}

const isText = (value: unknown): value is string => typeof value === 'string';

function imagesOfParts(value: unknown, depth: number): readonly string[] {
  if (depth > MOST_DEPTH) return [];
  // the cells of a CSV file are text
  if (typeof value === 'string')
    return depth === 0 && /^\s*\[/.test(value) && MAYBE.test(value) ? imagesOfCell(value) : [];
  if (Array.isArray(value)) return value.flatMap((own: unknown) => imagesOfParts(own, depth + 1));
  if (!isObject(value)) return [];
  const { type, image_url: link } = value;
  const image = value['image'] ?? value['path'] ?? value['url'];
  if (type === 'image' && typeof image === 'string') return [image];
  if (type === 'image_url') {
    const url = isObject(link) ? link['url'] : link;
    return typeof url === 'string' ? [url] : [];
  }
  return Object.values(value).flatMap((own) => imagesOfParts(own, depth + 1));
}

function imagesOfCell(text: string): readonly string[] {
  try {
    return imagesOfParts(JSON.parse(text), 1);
  } catch {
    return [];
  }
}
