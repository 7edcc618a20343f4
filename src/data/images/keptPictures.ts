import { stat } from 'node:fs/promises';
import { KEPT_PICTURES } from '../../shared/imageCounts';
import { imageKey, isEmbedded } from './embedded';
import type { Picture } from './resize';

/**
 * The decoded and resized pictures of the images that were used last, so that a later epoch does
 * not read them again. A file is known by its path, size and time: one that has changed is read.
 */
export class KeptPictures {
  private readonly kept = new Map<string, Picture>();
  private bytes = 0;

  constructor(private readonly most = KEPT_PICTURES) {}

  /** The picture of an image, a file or a data: URL. Rejects as `read` does. */
  async of(image: string, read: () => Promise<Picture>): Promise<Picture> {
    const key = await imageVersion(image);
    const known = this.kept.get(key);
    if (known) {
      this.kept.delete(key); // the last one that is removed
      this.kept.set(key, known);
      return known;
    }
    const picture = await read();
    if (key !== (await imageVersion(image))) return picture; // written meanwhile
    this.add(key, picture);
    return picture;
  }

  /** A picture that two rows have read at the same time is counted once. */
  private add(key: string, picture: Picture): void {
    if (this.kept.has(key) || picture.data.byteLength > this.most) return;
    this.kept.set(key, picture);
    this.bytes += picture.data.byteLength;
    for (const [oldest, { data }] of this.kept) {
      if (this.bytes <= this.most) break;
      this.kept.delete(oldest);
      this.bytes -= data.byteLength;
    }
  }
}

/**
 * Tells images apart, also a file before and after a change: by its path, size and time. A missing
 * file has no time; reading it says why.
 */
export async function imageVersion(image: string): Promise<string> {
  if (isEmbedded(image)) return imageKey(image);
  const info = await stat(image, { bigint: true }).catch(() => null);
  return info ? `${image}\n${info.size} ${info.mtimeNs}` : image;
}
