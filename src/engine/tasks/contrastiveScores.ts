import type { Batch } from '../../data/examples/batch';
import { dotProduct } from '../../lora/linalg/vectors';
import { normalizedRows } from '../../models/heads/unitRows';
import type { Scores } from '../../shared/metrics/lines';

/** The most texts that an image is compared with, and ranks that count. */
const CANDIDATES = 1000;
const CUTOFF = 10;

/** Images and the texts that they belong to; texts that are the same are one. */
class Candidates {
  readonly images: { readonly vector: Float32Array; readonly text: number }[] = [];
  readonly texts: Float32Array[] = [];
  private readonly known = new Map<string, number>();

  add(image: Float32Array, text: Float32Array, ids: string): void {
    const known = this.known.get(ids) ?? this.texts.push(text) - 1;
    this.known.set(ids, known);
    this.images.push({ vector: image, text: known });
  }
}

/**
 * How well images find their text among the different texts of the set, which for a text for each
 * class is the accuracy of zero-shot classification: the share whose own text is the nearest
 * (accuracy) or among the first ten (recall), and 1 / its rank (MRR); and how many texts have an
 * image of theirs nearest (retrieval). A text as near as the own one comes before it.
 */
export class ContrastiveScorer {
  private candidates = new Candidates();
  private readonly sums = { images: 0, texts: 0, nearest: 0, found: 0, mrr: 0, recall: 0 };

  add({ batch, length, input_ids }: Batch, outputs: Float32Array): void {
    const width = outputs.length / (2 * batch);
    const vectors = normalizedRows(outputs, width);
    for (let i = 0; i < batch; i++) {
      const ids = input_ids.subarray(i * length, (i + 1) * length);
      const image = vectors.slice(i * width, (i + 1) * width);
      const text = vectors.slice((batch + i) * width, (batch + i + 1) * width);
      this.candidates.add(image, text, withoutPadding(ids));
      if (this.candidates.texts.length === CANDIDATES) this.score();
    }
  }

  scores(): Scores {
    this.score();
    const { images, texts, nearest, found, mrr, recall } = this.sums;
    return {
      accuracy: nearest / images,
      retrieval: found / texts,
      mrr_at_10: mrr / images,
      recall_at_10: recall / images,
    };
  }

  /** Scores what has been added so far, and starts again with other candidates. */
  private score(): void {
    const { images, texts } = this.candidates;
    const { sums } = this;
    const best = texts.map(() => ({ cosine: -Infinity, text: -1 }));
    for (const { vector, text } of images) {
      const cosines = texts.map((own) => dotProduct(vector, own));
      const isBefore = (cosine: number, j: number) => j !== text && cosine >= cosines[text]!;
      const rank = 1 + cosines.filter(isBefore).length;
      sums.nearest += Number(rank === 1);
      sums.recall += Number(rank <= CUTOFF);
      sums.mrr += rank <= CUTOFF ? 1 / rank : 0;
      for (const [j, cosine] of cosines.entries()) {
        const isNearer = cosine > best[j]!.cosine || (cosine === best[j]!.cosine && j !== text);
        if (isNearer) best[j] = { cosine, text };
      }
    }
    sums.images += images.length;
    sums.texts += texts.length;
    sums.found += best.filter(({ text }, j) => text === j).length;
    this.candidates = new Candidates();
  }
}

/** The ids of a text as a key; texts of several batches are padded to different lengths. */
function withoutPadding(ids: Int32Array): string {
  let end = ids.length;
  while (end > 1 && ids[end - 1] === ids[end - 2]) end--;
  return ids.subarray(0, end).join();
}
