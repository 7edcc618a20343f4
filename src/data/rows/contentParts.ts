import { isObject } from '../../shared/values';
import type { ContentPart } from '../chat/chat';
import { kindOf, quote } from './describe';
import type { RowReport } from './rowReport';

/** Characters; systems allow less or as much. */
const LONGEST_PATH = 4096;
/** In a message; rows may have more. */
const MOST_IMAGES = 64;
const ADDRESS = /^(?:[a-z][a-z0-9+.-]+:\/\/|data:)/i;

/** What is wrong with the path of an image; null: nothing. */
export function imagePathFault(image: string): string | null {
  if (image.length > LONGEST_PATH) return `has more than ${LONGEST_PATH} characters`;
  return ADDRESS.test(image) ? 'must be the path of a file, not an address' : null;
}

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
  const { type, text, image } = part;
  if (type === 'text')
    return typeof text === 'string'
      ? { type, text }
      : report.error(`"text" must be text, not ${kindOf(text)}.`, `${key}.text`);
  if (type !== 'image')
    return report.error(
      `Parts of the type ${quote(type)} are not supported, only text and image.`,
      `${key}.type`,
    );
  if (typeof image !== 'string' || image.trim() === '')
    return report.error(
      `"image" must be the path of a PNG or JPEG file, not ${image === '' ? 'an empty text' : kindOf(image)}.`,
      `${key}.image`,
    );
  const fault = imagePathFault(image);
  return fault === null ? { type, image } : report.error(`"image" ${fault}.`, `${key}.image`);
}
