import { headerFault } from './decode';
import { readJpegFile } from './jpegFile';
import { isWholePng, pngOrientation } from './png';
import type { Picture } from './resize';

/** The size of an image as it is shown, without its pixels. */
export type ImageSize = Pick<Picture, 'width' | 'height'>;

/** From this orientation on, the sides are exchanged. */
const FIRST_TURNED = 5;
const JPEG = Buffer.from([0xff, 0xd8]);

/**
 * The size that the picture of a PNG or JPEG will have.
 *
 * @throws Error with what is wrong: another format, too many pixels, a file that is cut short
 */
export function imageSize(bytes: Buffer): ImageSize {
  const fault = headerFault(bytes);
  if (fault) throw new Error(fault.message.replace(/\.$/, ''));
  const { width, height, orientation } = bytes.subarray(0, 2).equals(JPEG)
    ? readJpegFile(bytes)
    : pngHeader(bytes);
  return orientation >= FIRST_TURNED ? { width: height, height: width } : { width, height };
}

function pngHeader(bytes: Buffer): ImageSize & { readonly orientation: number } {
  if (!isWholePng(bytes)) throw new Error('the file is cut short');
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  return { width, height, orientation: pngOrientation(bytes) };
}
