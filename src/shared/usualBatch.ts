import type { ImageCounts } from './imageCounts';
import type { StepImages } from './stepMemory';
import type { Task } from './task';

/** The largest batch of a training run. */
export interface Batch {
  readonly size: number;
  /** Sequences in a batch: a pair of texts makes two. */
  readonly rows: number;
  readonly length: number;
  /** Of chats. */
  readonly images?: ImageCounts | undefined;
  /** Where their sizes are from. */
  readonly images_from?: StepImages['from'];
}

const batch = (size: number, length: number): Batch => ({ size, rows: size, length });

/** The batch in recipes that Train Adapter writes. */
export const BATCHES: Readonly<Record<Task, Batch>> = {
  causal_lm: batch(4, 512),
  seq2seq_lm: batch(8, 256),
  seq_cls: batch(16, 128),
  token_cls: batch(16, 128),
  image_cls: batch(8, 197),
  embedding: { size: 32, rows: 64, length: 128 },
  contrastive: batch(32, 77),
  reward: { size: 4, rows: 8, length: 512 },
  reranker: batch(16, 256),
  features: batch(32, 1),
};

/** The batch where answers are compared: a pair makes two sequences. */
export const PREFERENCE_BATCH: Batch = { size: 2, rows: 4, length: 512 };

/** The rank whose costs are shown where no recipe names one. */
export const EXAMPLE_RANK = 8;
