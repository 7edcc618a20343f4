import { roundedUp } from '../../shared/roundedSizes';
import { NO_LABEL } from '../../shared/task';
import type { Weighted } from '../rows/row';
import type { PatchGrid } from '../images/patches';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { textsOf } from './example';
import type {
  AnswerExample,
  FeaturesExample,
  CaptionedExample,
  ImageExample,
  PackedExample,
  PairExample,
  PreferenceExample,
  RankingExample,
  Sequence,
  Target,
  TextExample,
  TokenExample,
  TokensExample,
  UnpairedExample,
} from './example';

/** What rated documents, each of which is a sequence, belong to. */
export interface Ranking {
  /** The query of each document. */
  readonly queries: Int32Array;
  /** How many documents each list has; null: every document is a row of its own. */
  readonly groups: Int32Array | null;
}

/** Sequences padded on the right, row-major [batch, length]. Padding has label -100 and mask 0. */
export interface Batch {
  readonly batch: number;
  readonly length: number;
  /** Empty for images. */
  readonly input_ids: Int32Array;
  /**
   * [batch, length], or for targets of whole rows [batch] or [batch, num_labels]; for documents,
   * their scores [batch]; for pairs, whose rows are all anchors, then all positives, then
   * negatives, their scores, or empty. The rows of preferences are all chosen answers, then all
   * rejected ones.
   */
  readonly labels: Int32Array | Float32Array;
  /** Of pairs: texts per row, if they have negatives. */
  readonly columns?: number;
  /** Of rated documents. */
  readonly ranking?: Ranking;
  /** What the losses count, in the shape of labels of tokens or rows; one for a pair or list. */
  readonly weights?: Float32Array;
  readonly attention_mask: Int32Array;
  readonly token_type_ids?: Int32Array;
  /**
   * Packed rows: positions from 0 within a segment, segments from 1; 0 is padding. Rows with
   * images: times, with the other positions in `spatial_ids`.
   */
  readonly position_ids?: Int32Array;
  readonly segment_ids?: Int32Array;
  readonly spatial_ids?: { readonly heights: Int32Array; readonly widths: Int32Array };
  /** Images whose vectors stand in place of tokens. */
  readonly placed_images?: readonly BatchImage[];
  /** [batch, channels, height, width] */
  readonly pixel_values?: Float32Array;
  /** Of layers models, which have nothing else: rows in the shape of their input [batch, …]. */
  readonly inputs?: Float32Array;
  /** Of texts that belong to images: the image of each, of `length` positions. */
  readonly images?: ImageBatch;
  /** What an encoder reads; the rest is for its decoder. */
  readonly source?: SourceBatch;
}

export type SourceBatch = Pick<Batch, 'batch' | 'length' | 'input_ids' | 'attention_mask'>;

/** An image in place of tokens. */
export interface BatchImage {
  /** Where its first token is among batch · length. */
  readonly at: number;
  readonly grid: PatchGrid;
  /** Its absolute path, or a data: URL. */
  readonly file: string;
  /** See `PlacedImage`. */
  readonly key: () => Promise<string>;
  /** See `patchSamples`. Rejects with LoraError('dataset') for an unreadable image. */
  readonly patches: () => Promise<Float32Array>;
}

export interface ImageBatch {
  readonly batch: number;
  readonly length: number;
  /** [batch, channels, height, width] */
  readonly pixel_values: Float32Array;
}

/** A token to pad with: the padding token, or another one that the embedding has a row for. */
export function paddingId(tokenizer: Tokenizer | null, vocab_size = Infinity): number {
  const ids = [tokenizer?.pad_token_id, tokenizer?.eos_token_id];
  return ids.find((id) => typeof id === 'number' && id < vocab_size) ?? 0;
}

/**
 * Puts examples of one kind into a batch, padded on the right with `pad_id`, label -100 and mask 0.
 * The length is that of the longest, rounded up but not beyond `max_length`.
 */
export function collate(examples: readonly TokenExample[], pad_id: number, max_length = 0): Batch {
  switch (examples[0]!.kind) {
    case 'tokens':
      return ofSequences(examples as readonly TokensExample[], pad_id, max_length);
    case 'answer': {
      const own = examples as readonly AnswerExample[];
      const sources = own.map(({ source }) => source);
      const source = ofSources(sources, pad_id, max_length);
      return { ...ofSequences(own, pad_id, max_length), source };
    }
    case 'packed':
      return ofPacked(examples as readonly PackedExample[], pad_id, max_length);
    case 'text':
      return ofTexts(examples as readonly TextExample[], pad_id, max_length);
    case 'pair':
      return ofPairs(examples as readonly PairExample[], pad_id, max_length);
    case 'ranking':
      return ofRankings(examples as readonly RankingExample[], pad_id, max_length);
    case 'preference': {
      const own = examples as readonly PreferenceExample[];
      const all = [...own.map(({ chosen }) => chosen), ...own.map(({ rejected }) => rejected)];
      return ofSequences(all, pad_id, max_length);
    }
    case 'unpaired': {
      const own = examples as readonly UnpairedExample[];
      return ofSequences(
        own.map(({ answer }) => answer),
        pad_id,
        max_length,
      );
    }
  }
}

/** Sequences with labels, padded on the right as `collate` does. */
export function ofSequences(
  examples: readonly Sequence[],
  pad_id: number,
  max_length: number,
): Batch {
  const rows = padded(
    examples.map((example) => example.input_ids),
    pad_id,
    max_length,
  );
  return {
    ...rows,
    labels: filled(
      rows,
      examples.map((example) => example.labels),
      NO_LABEL,
    ),
    ...tokenWeights(
      rows,
      examples.map((example) => [example]),
    ),
  };
}

function ofPacked(examples: readonly PackedExample[], pad_id: number, max_length: number): Batch {
  const parts = examples.map((example) => example.parts);
  const rows = padded(
    parts.map((own) => joined(own.map((part) => part.input_ids))),
    pad_id,
    max_length,
  );
  return {
    ...rows,
    labels: filled(
      rows,
      parts.map((own) => joined(own.map((part) => part.labels))),
      NO_LABEL,
    ),
    position_ids: filled(
      rows,
      parts.map((own) => joined(own.map((part) => part.input_ids.map((_, i) => i)))),
      0,
    ),
    segment_ids: filled(
      rows,
      parts.map((own) => joined(own.map((part, i) => part.input_ids.map(() => i + 1)))),
      0,
    ),
    ...tokenWeights(rows, parts),
  };
}

function ofTexts(examples: readonly TextExample[], pad_id: number, max_length: number): Batch {
  const rows = padded(
    examples.map((example) => example.input_ids),
    pad_id,
    max_length,
  );
  return {
    ...rows,
    token_type_ids: filled(
      rows,
      examples.map((example) => example.token_type_ids),
      0,
    ),
    labels: targets(examples.map((example) => example.target)),
    ...rowWeights(examples),
  };
}

/** All anchors, then all positives, then each column of negatives. */
function ofPairs(examples: readonly PairExample[], pad_id: number, max_length: number): Batch {
  const rows = examples.map(textsOf);
  const columns = rows[0]!.length;
  const byColumn = Array.from({ length: columns }, (_, column) => rows.map((own) => own[column]!));
  const hasScores = examples[0]!.score !== undefined;
  return {
    ...padded(byColumn.flat(), pad_id, max_length),
    ...(columns > 2 && { columns }),
    labels: hasScores ? Float32Array.from(examples, ({ score = 0 }) => score) : new Int32Array(0),
    ...rowWeights(examples),
  };
}

/** The documents of all examples, one after the other. */
function ofRankings(
  examples: readonly RankingExample[],
  pad_id: number,
  max_length: number,
): Batch {
  const texts = examples.flatMap((example) => example.texts);
  const rows = padded(
    texts.map(({ input_ids }) => input_ids),
    pad_id,
    max_length,
  );
  const sizes = Int32Array.from(examples, (example) => example.texts.length);
  return {
    ...rows,
    token_type_ids: filled(
      rows,
      texts.map(({ token_type_ids }) => token_type_ids),
      0,
    ),
    labels: Float32Array.from(examples.flatMap(({ scores }) => [...scores])),
    ranking: {
      queries: Int32Array.from(
        examples.flatMap((example) => example.texts.map(() => example.query)),
      ),
      groups: sizes.some((size) => size > 1) ? sizes : null,
    },
    ...rowWeights(examples),
  };
}

/** Puts images into a batch. `pixels`: each image as [channels, height, width], all of one size. */
export function collateImages(
  examples: readonly ImageExample[],
  pixels: readonly Float32Array[],
  image_length: number,
): Batch {
  const batch = examples.length;
  return {
    batch,
    length: image_length,
    pixel_values: joinedPixels(pixels),
    input_ids: new Int32Array(0),
    attention_mask: new Int32Array(batch * image_length).fill(1),
    labels: targets(examples.map((example) => example.target)),
  };
}

/** Rows of a layers model, each in the shape of its input. */
export function collateInputs(
  examples: readonly (ImageExample | FeaturesExample)[],
  rows: readonly Float32Array[],
): Batch {
  const inputs = new Float32Array(rows.length * rows[0]!.length);
  rows.forEach((own, i) => inputs.set(own, i * own.length));
  return {
    batch: rows.length,
    length: 1,
    inputs,
    input_ids: new Int32Array(0),
    attention_mask: new Int32Array(rows.length).fill(1),
    labels: targets(examples.map((example) => example.target)),
  };
}

function joinedPixels(pixels: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(pixels.length * pixels[0]!.length);
  pixels.forEach((own, i) => all.set(own, i * own.length));
  return all;
}

/** How texts that belong to images are padded. */
export interface CaptionPadding {
  readonly pad_id: number;
  readonly max_length: number;
  /** Texts fill `max_length`, and padding is read like text (SigLIP). */
  readonly fills: boolean;
}

/** Puts texts and their images into a batch. `pixels`: each image as [channels, height, width]. */
export function collateCaptioned(
  examples: readonly CaptionedExample[],
  pixels: readonly Float32Array[],
  image_length: number,
  { pad_id, max_length, fills }: CaptionPadding,
): Batch {
  const texts = examples.map(({ input_ids }) => input_ids);
  const images = {
    batch: examples.length,
    length: image_length,
    pixel_values: joinedPixels(pixels),
  };
  const others = { labels: new Int32Array(0), images, ...rowWeights(examples) };
  if (!fills) return { ...padded(texts, pad_id, max_length), ...others };
  const shape = { batch: examples.length, length: max_length };
  const attention_mask = new Int32Array(shape.batch * max_length).fill(1);
  return { ...shape, input_ids: filled(shape, texts, pad_id), attention_mask, ...others };
}

/** What an encoder reads. */
export const ofSources = (
  sources: readonly Int32Array[],
  pad_id: number,
  max_length: number,
): SourceBatch => padded(sources, pad_id, max_length);

function padded(sequences: readonly Int32Array[], pad_id: number, max_length: number): SourceBatch {
  const longest = sequences.reduce((length, ids) => Math.max(length, ids.length), 0);
  const shape = { batch: sequences.length, length: roundedUp(longest, max_length) };
  return {
    ...shape,
    input_ids: filled(shape, sequences, pad_id),
    attention_mask: filled(
      shape,
      sequences.map((ids) => new Int32Array(ids.length).fill(1)),
      0,
    ),
  };
}

/** Rows side by side, padded. [batch, length] */
export function filled(
  { batch, length }: Pick<Batch, 'batch' | 'length'>,
  rows: readonly Int32Array[],
  padding: number,
): Int32Array {
  const all = new Int32Array(batch * length).fill(padding);
  rows.forEach((own, row) => all.set(own, row * length));
  return all;
}

/** The weights of rows; nothing where all are 1. */
const rowWeights = (examples: readonly Weighted[]): Pick<Batch, 'weights'> =>
  examples.some(({ weight }) => weight !== undefined)
    ? { weights: Float32Array.from(examples, ({ weight }) => weight ?? 1) }
    : {};

/** The weights of the tokens of rows, which have one text or several; nothing where all are 1. */
function tokenWeights(
  { batch, length }: SourceBatch,
  rows: readonly (readonly Sequence[])[],
): Pick<Batch, 'weights'> {
  if (rows.flat().every(({ weight }) => weight === undefined)) return {};
  const weights = new Float32Array(batch * length).fill(1);
  rows.forEach((texts, row) => {
    let at = row * length;
    for (const { input_ids, weight = 1 } of texts) {
      weights.fill(weight, at, at + input_ids.length);
      at += input_ids.length;
    }
  });
  return { weights };
}

function joined(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function targets(own: readonly Target[]): Target {
  const numbers = own.flatMap((target) => [...target]);
  return own[0] instanceof Float32Array ? Float32Array.from(numbers) : Int32Array.from(numbers);
}
