import { asPlainObject } from '../../shared/exactValues';
import { isObject } from '../../shared/values';
import type { ContentPart } from '../chat/chat';
import { embeddedFault, isEmbedded } from '../images/embedded';
import { kindOf, quote } from './describe';
import type { RowReport } from './rowReport';

/** Characters; systems allow less or as much. */
const LONGEST_PATH = 4096;
/** In a message; rows may have more. */
const MOST_IMAGES = 64;
const ADDRESS = /^(?:[a-z][a-z0-9+.-]+:\/\/|data:)/i;

/** The image of a part that has one, under any of the names that transformers reads. */
export const sourceOfPart = (part: Readonly<Record<string, unknown>>): unknown =>
  part['image'] ?? part['path'] ?? part['url'];

/** What is wrong with the path of an image; null: nothing. */
export function imagePathFault(image: string): string | null {
  if (image.length > LONGEST_PATH) return `has more than ${LONGEST_PATH} characters`;
  if (image.includes('\0')) return 'has a null character, which no path has';
  return ADDRESS.test(image)
    ? 'must be the path of a file, not an address: nothing is downloaded'
    : null;
}

/** The same for an image of a chat, which may be within the row. */
export const chatImageFault = (image: string): string | null =>
  isEmbedded(image) ? embeddedFault(image) : imagePathFault(image);

/**
 * The content of a message that is a list of texts and images: their text if there are no images.
 * Null: it is wrong, which is reported.
 *
 * @param role Null: it is wrong itself.
 */
export function readParts(
  content: readonly unknown[],
  role: string | null,
  key: string,
  report: RowReport,
): string | readonly ContentPart[] | null {
  const parts = content.map((part, i) => readPart(part, `${key}[${i}]`, report));
  if (!parts.every((part) => part !== null)) return null;
  const images = parts.filter(({ type }) => type === 'image').length;
  if (images === 0) return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  if (images > MOST_IMAGES)
    return report.error(`A message can have at most ${MOST_IMAGES} images.`, key);
  if (role === 'assistant')
    return report.error("An assistant's answer is text: it cannot have an image.", key);
  return parts;
}

function readPart(part: unknown, key: string, report: RowReport): ContentPart | null {
  if (!isObject(part) || typeof part['type'] !== 'string')
    return report.error(
      `A part must be {"type": "text", "text": "…"} or {"type": "image", "image": "FILE"}, not ${kindOf(part)}.`,
      key,
    );
  const { type, text } = part;
  switch (type) {
    case 'text':
      return typeof text === 'string'
        ? { type, text }
        : report.error(`"text" must be text, not ${kindOf(text)}.`, `${key}.text`);
    case 'image':
      return readImage(sourceOfPart(part), `${key}.image`, report);
    case 'image_url':
      return readLink(part['image_url'], `${key}.image_url`, report);
    default:
      return report.error(
        `Parts of the type ${quote(type)} are not supported, only text, image and image_url.`,
        `${key}.type`,
      );
  }
}

/** OpenAI's {"url": …}, or the address itself. */
function readLink(given: unknown, key: string, report: RowReport): ContentPart | null {
  const link = asPlainObject(given);
  return isObject(link)
    ? readImage(link['url'], `${key}.url`, report)
    : readImage(link, key, report);
}

function readImage(image: unknown, key: string, report: RowReport): ContentPart | null {
  const name = key.slice(key.lastIndexOf('.') + 1);
  if (typeof image !== 'string' || image.trim() === '')
    return report.error(
      `"${name}" must be the path of a PNG or JPEG file, not ${image === '' ? 'an empty text' : kindOf(image)}.`,
      key,
    );
  const fault = chatImageFault(image);
  return fault === null ? { type: 'image', image } : report.error(`"${name}" ${fault}.`, key);
}
