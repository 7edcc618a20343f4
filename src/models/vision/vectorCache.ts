import { KEPT_VECTORS } from '../../lora/memory';
import type { ImageVectors } from './placedImage';

/** The vectors of the images that were used last, as long as nothing changes the tower. */
export class VectorCache {
  private readonly kept = new Map<string, ImageVectors>();
  private bytes = 0;

  constructor(private readonly most = KEPT_VECTORS) {}

  /** Forgets all, because the tower has changed. */
  clear(): void {
    this.kept.clear();
    this.bytes = 0;
  }

  /** Those of an image, which are computed where they are not kept. */
  async of(
    keyOf: () => Promise<string>,
    compute: () => Promise<ImageVectors>,
  ): Promise<ImageVectors> {
    const key = await keyOf();
    const known = this.kept.get(key);
    if (known) {
      this.kept.delete(key); // the last one that is removed
      this.kept.set(key, known);
      return known;
    }
    const computed = await compute();
    if (key !== (await keyOf())) return computed; // the file was written meanwhile
    this.kept.set(key, computed);
    this.bytes += bytesOf(computed);
    for (const [oldest, vectors] of this.kept) {
      if (this.bytes <= this.most || oldest === key) break;
      this.kept.delete(oldest);
      this.bytes -= bytesOf(vectors);
    }
    return computed;
  }
}

const bytesOf = ({ vectors, deepstack }: ImageVectors): number =>
  deepstack.reduce((sum, { byteLength }) => sum + byteLength, vectors.byteLength);
