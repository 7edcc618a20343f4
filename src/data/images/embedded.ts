import { createHash } from 'node:crypto';

/** Characters of an image within a text, which stands for 6 MiB. */
export const LONGEST_EMBEDDED = 8 * 2 ** 20;
const FORM = /^data:image\/[a-z0-9.+-]+;base64,/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Whether an image is a data: URL, not the path of a file. */
export const isEmbedded = (image: string): boolean => /^data:/i.test(image);

/** What is wrong with a data: URL; null: nothing that can be seen without decoding the image. */
export function embeddedFault(image: string): string | null {
  if (image.length > LONGEST_EMBEDDED)
    return `has more than ${LONGEST_EMBEDDED} characters: name a file instead`;
  const head = FORM.exec(image.slice(0, 128))?.[0];
  if (head === undefined)
    return 'must begin with data:image/png;base64, or data:image/jpeg;base64,';
  const data = image.slice(head.length);
  return data.length % 4 === 0 && BASE64.test(data) ? null : 'has no valid base64 behind its comma';
}

/** The bytes of a data: URL without faults. */
export const embeddedBytes = (image: string): Buffer =>
  Buffer.from(image.slice(image.indexOf(',') + 1), 'base64');

/** How messages call an image: by its path, or, within a text, by its length. */
export const imageName = (image: string): string =>
  isEmbedded(image)
    ? `${image.slice(0, image.indexOf(',') + 1)}… (${image.length} characters)`
    : image;

/** Tells images apart: a path, or the hash of what is within the text. */
export const imageKey = (image: string): string =>
  isEmbedded(image) ? createHash('sha256').update(image).digest('hex') : image;
