import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { embeddingLoss, type EmbeddedBatch } from '../../../../src/models/heads/embeddingLoss';
import {
  DEFAULT_EMBEDDING,
  EmbeddingSchema,
  type EmbeddingSettings,
} from '../../../../src/shared/embeddingSettings';

const reference = JSON.parse(readFileSync('test/fixtures/embedding_losses.json', 'utf8')) as {
  rows: number;
  width: number;
  cases: {
    name: string;
    columns: number;
    labels: number[];
    settings: object;
    vectors: number[];
    loss: number;
    gradient: number[];
  }[];
};
const { width } = reference;

describe('the loss of embeddings is that of sentence-transformers', () => {
  it.each(reference.cases.map((own) => [own.name, own] as const))('%s', (_, own) => {
    const settings = v.parse(EmbeddingSchema, own.settings);
    const { loss_sum, weight, labelled, gradient } = embeddingLoss(
      {
        vectors: Float32Array.from(own.vectors),
        width,
        columns: own.columns,
        labels: Float32Array.from(own.labels),
      },
      settings,
    );
    expect([labelled, weight]).toEqual([reference.rows, reference.rows]);
    expect(Math.abs(loss_sum / weight - own.loss)).toBeLessThan(1e-5 * Math.max(1, own.loss));
    const largest = Math.max(...own.gradient.map(Math.abs));
    own.gradient.forEach((want, i) =>
      expect(Math.abs(gradient[i]! / weight - want)).toBeLessThan(1e-5 * Math.max(1, largest)),
    );
  });
});

describe('the gradient is that of the sum', () => {
  const rows = 3;
  const vectors = Float32Array.from({ length: rows * 4 * 4 }, (_, i) => 2 * Math.sin(7 * i + 1));
  const at = (columns: number, change: Partial<EmbeddedBatch>): EmbeddedBatch => ({
    vectors: vectors.slice(0, rows * columns * 4),
    width: 4,
    columns,
    labels: new Float32Array(0),
    ...change,
  });

  it.each<[string, EmbeddedBatch, Partial<EmbeddingSettings>]>([
    ['weighted ranking', at(3, { weights: Float32Array.of(0.5, 3, 1) }), {}],
    [
      'weighted cosines',
      at(2, { weights: Float32Array.of(0.5, 3, 1), labels: Float32Array.of(1, 0, 0.5) }),
      { loss: 'CosineSimilarityLoss' },
    ],
    ['CoSENT', at(2, { labels: Float32Array.of(1, 0, 0.5) }), { loss: 'CoSENTLoss', scale: 3 }],
    ['weighted triplets', at(3, { weights: Float32Array.of(0.5, 3, 1) }), { loss: 'TripletLoss' }],
    [
      'triplets of cosines',
      at(3, {}),
      { loss: 'TripletLoss', triplet_distance: 'cosine', triplet_margin: 1 },
    ],
    ['shortened', at(4, {}), { matryoshka_dims: [4, 2], matryoshka_weights: [1, 0.5], scale: 3 }],
  ])('%s', (_, batch, change) => {
    const settings = { ...DEFAULT_EMBEDDING, ...change };
    const { gradient } = embeddingLoss(batch, settings);
    const h = 1 / 64; // exact in f32 when added to numbers of this size
    batch.vectors.forEach((x, i) => {
      const moved = (step: number) =>
        embeddingLoss({ ...batch, vectors: batch.vectors.with(i, x + step) }, settings).loss_sum;
      const slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      expect(Math.abs(gradient[i]! - slope)).toBeLessThan(5e-3 * Math.max(1, Math.abs(slope)));
    });
  });
});

it('the loss of rows with scores is that of their cosines unless another is named', () => {
  const vectors = Float32Array.of(1, 0, 1, 0);
  const batch = { vectors, width: 2, columns: 2 };
  const scored = embeddingLoss({ ...batch, labels: Float32Array.of(0.5) }, DEFAULT_EMBEDDING);
  expect(scored.loss_sum).toBeCloseTo(0.25, 6);
  const plain = embeddingLoss({ ...batch, labels: new Int32Array(0) }, DEFAULT_EMBEDDING);
  expect(plain.loss_sum).toBeCloseTo(0, 6);
});
