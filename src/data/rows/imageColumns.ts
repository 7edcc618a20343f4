import { asPlainObject } from '../../shared/exactValues';
import { countOf, isObject } from '../../shared/values';
import { sourceOfPart } from './contentParts';
import type { Columns } from './columns';
import { kindOf } from './describe';
import type { RowReport } from './rowReport';

// TRL's rows with images: https://huggingface.co/docs/trl/dataset_formats#vision-datasets

/** The columns of images beside messages. */
export const IMAGE_COLUMNS: readonly string[] = ['images', 'image'];
/** The columns of messages, in the order in which images are put into them. */
const MESSAGES: readonly string[] = ['messages', 'conversations', 'prompt'];

/**
 * Puts the images of the columns `images` and `image` into the places for them in the messages,
 * {"type": "image"}, in their order. Without any places they stand before the first message of the
 * user that is a text. Null: they do not fit, which is reported.
 */
export function withColumnImages(columns: Columns, report: RowReport): Columns | null {
  const given = IMAGE_COLUMNS.filter((key) => (columns[key] ?? null) !== null);
  if (given.length === 0) return columns;
  const images = readImages(columns, given, report);
  if (!images) return null;
  const others = Object.fromEntries(
    Object.entries(columns).filter(([key]) => !IMAGE_COLUMNS.includes(key)),
  );
  if (images.length === 0) return others;
  const key = MESSAGES.find((name) => Array.isArray(columns[name]));
  if (key === undefined)
    return report.error(
      'A row with images needs messages: "messages", or a "prompt" that is a list of messages.',
      given[0],
    );
  const messages = (columns[key] as unknown[]).map(asPlainObject);
  const places = messages.reduce<number>((sum, own) => sum + placesIn(own), 0);
  const filled = places === 0 ? inFront(messages, images) : filledIn(messages, images);
  if (filled && (places === 0 || places === images.length)) return { ...others, [key]: filled };
  return report.error(
    `The row has ${countOf(images.length, 'image')}, but its messages have ${countOf(places, 'place')} for images, {"type": "image"}.`,
    given[0],
  );
}

function readImages(
  columns: Columns,
  given: readonly string[],
  report: RowReport,
): readonly string[] | null {
  if (given.length > 1)
    return report.error('A row can have "images" or "image", not both.', given[1]);
  const key = given[0]!;
  const value = columns[key];
  if (key === 'images' && !Array.isArray(value))
    return report.error(`"images" must be a list of paths, not ${kindOf(value)}.`, key);
  const images = (Array.isArray(value) ? (value as unknown[]) : [value]).map(pathOf);
  const odd = images.findIndex((image) => typeof image !== 'string' || image.trim() === '');
  if (odd < 0) return images as readonly string[];
  const place = key === 'images' ? `images[${odd}]` : key;
  return report.error(
    `"${place}" must be the path of a PNG or JPEG file, not ${kindOf(images[odd])}. Images whose bytes are in the table are not read: save them as files.`,
    place,
  );
}

/** A path, also as the Image feature of datasets writes it: {"path": …, "bytes": null}. */
function pathOf(given: unknown): unknown {
  const value = asPlainObject(given);
  if (!isObject(value)) return value;
  return (value['bytes'] ?? null) === null && typeof value['path'] === 'string'
    ? value['path']
    : value;
}

const contentOf = (message: unknown): unknown =>
  isObject(message) ? message['content'] : undefined;

const partsOf = (message: unknown): readonly unknown[] => {
  const content = contentOf(message);
  return Array.isArray(content) ? (content as unknown[]).map(asPlainObject) : [];
};

/** Whether a part is a place for an image that is named elsewhere. */
const isPlace = (part: unknown): boolean =>
  isObject(part) && part['type'] === 'image' && (sourceOfPart(part) ?? null) === null;

const placesIn = (message: unknown): number => partsOf(message).filter(isPlace).length;

function filledIn(messages: readonly unknown[], images: readonly string[]): readonly unknown[] {
  let next = 0;
  return messages.map((message) =>
    isObject(message) && placesIn(message) > 0
      ? {
          ...message,
          content: partsOf(message).map((part) =>
            isPlace(part) ? { type: 'image', image: images[next++] } : part,
          ),
        }
      : message,
  );
}

/** Null: no message of the user is a text. */
function inFront(
  messages: readonly unknown[],
  images: readonly string[],
): readonly unknown[] | null {
  const isFirst = (own: unknown) =>
    isObject(own) && own['role'] === 'user' && typeof own['content'] === 'string';
  const at = messages.findIndex(isFirst);
  if (at < 0) return null;
  const parts = images.map((image) => ({ type: 'image', image }));
  return messages.map((own, i) =>
    i === at && isObject(own)
      ? { ...own, content: [...parts, { type: 'text', text: own['content'] }] }
      : own,
  );
}
