import type { Problem } from '../../shared/errors';
import { NumberList } from '../../common/numberList';
import {
  imagesOfExample,
  lengthOf,
  tokensOf,
  type Example,
  type ImageExample,
} from '../examples/example';
import { examplesOf, type Examples } from '../examples/examples';
import { sequencesIn, type Row } from '../rows/row';
import type { TokensImage } from '../examples/rowImages';
import type { ImageCounts } from '../../shared/imageCounts';
import { ExampleStore } from '../examples/exampleStore';
import { holdsCalls, isShown, maybeSorted } from '../examples/sampleRows';
import {
  labelsIn,
  type DataStatistics,
  type RowTokenizer,
  type TokenizedRow,
} from '../examples/tokenizeRows';
import type { Dataset } from './dataset';
import type { OnBytes } from '../../formats/tables/table';
import type { RowLengths } from './rowCache';

const TRUNCATED = 1;
const IS_SHOWN = 2;
const MAYBE_SORTED = 4;
const HOLDS_CALLS = 8;

/** What is known of each example without reading it: 24 bytes for each. */
export class RowFacts {
  /** Tokens of each row before truncation. */
  readonly lengths = NumberList.ofInts();
  private readonly tokens = NumberList.ofInts();
  private readonly labelled = NumberList.ofInts();
  private readonly flags = NumberList.ofInts();
  private readonly offsets = NumberList.ofOffsets();
  /** The most sequences of an example. */
  private sequences = 1;
  /** Whether a row has another weight than 1. */
  hasWeights = false;
  private images: ImageCounts | undefined;

  /** @param image_length Positions that an image takes. */
  constructor(private readonly image_length: number) {}

  get length(): number {
    return this.lengths.length;
  }

  add(tokenized: TokenizedRow, offset: number): RowLengths {
    const { row, example, length } = tokenized;
    if (row.weight !== undefined) this.hasWeights = true;
    const images = imagesOfExample(example);
    if (images.length > 0) this.countImages(images);
    const lengths = {
      length,
      kept: length - lostTokens(example, length),
      tokens: tokensOf(example, this.image_length),
      labelled: labelsIn(example),
    };
    const flags =
      (isShown(tokenized) ? IS_SHOWN : 0) |
      (maybeSorted(row.kind) ? MAYBE_SORTED : 0) |
      (holdsCalls(row) ? HOLDS_CALLS : 0);
    this.addLengths(row, lengths, offset, flags);
    return lengths;
  }

  /** Whether a text has an image. */
  get hasImages(): boolean {
    return this.images !== undefined;
  }

  private countImages(images: readonly TokensImage[]): void {
    const { largest = 0, tokens = 0 } = this.images ?? {};
    this.images = {
      largest: Math.max(largest, ...images.map(({ grid }) => grid.height * grid.width)),
      tokens: images.reduce((sum, own) => sum + own.tokens, tokens),
    };
  }

  /** Adds a row of which only the lengths are known: enough for statistics. */
  addLengths(row: Row, lengths: RowLengths, offset: number, flags = 0): void {
    const { length, kept, tokens, labelled } = lengths;
    this.sequences = Math.max(this.sequences, sequencesIn(row));
    this.lengths.push(length);
    this.tokens.push(tokens);
    this.labelled.push(labelled);
    this.offsets.push(offset);
    this.flags.push(flags | (kept < length ? TRUNCATED : 0));
  }

  isShownAt(index: number): boolean {
    return (this.flags.at(index) & IS_SHOWN) !== 0;
  }

  maybeSortedAt(index: number): boolean {
    return (this.flags.at(index) & MAYBE_SORTED) !== 0;
  }

  /** Whether an answer of the row calls a tool. */
  holdsCallsAt(index: number): boolean {
    return (this.flags.at(index) & HOLDS_CALLS) !== 0;
  }

  /** For `Dataset.rowAt`. */
  offsetAt(index: number): number {
    return this.offsets.at(index);
  }

  statisticsOf(indices: Int32Array): DataStatistics {
    let [tokens, labelled_tokens, longest, truncated] = [0, 0, 0, 0];
    for (const i of indices) {
      tokens += this.tokens.at(i);
      labelled_tokens += this.labelled.at(i);
      longest = Math.max(longest, this.lengths.at(i));
      truncated += this.flags.at(i) & TRUNCATED;
    }
    const { sequences, images } = this;
    return {
      examples: indices.length,
      tokens,
      labelled_tokens,
      longest,
      truncated,
      sequences,
      ...(images && { images }),
    };
  }
}

/** Tokens that truncation takes from a row of `length` tokens. */
export const lostTokens = (example: Example, length: number): number =>
  example.kind === 'image' ? 0 : length - lengthOf(example);

/** The examples of one file among those of a set. */
export interface TokenizedFile {
  readonly dataset: Dataset;
  readonly tokenizer: RowTokenizer;
  /** Its first example, and the one after its last. */
  readonly from: number;
  readonly to: number;
}

/** The examples of files, one after the other. */
export interface TokenizedSet {
  readonly files: readonly TokenizedFile[];
  readonly facts: RowFacts;
  readonly examples: Examples;
  /** Of the examples; those of the files' rows are in their datasets. */
  readonly problems: readonly Problem[];
  /** Deletes the temporary file of the examples. */
  readonly close: () => void;
}

/** The file that an example of a set is from. */
export function fileOf({ files }: Pick<TokenizedSet, 'files'>, index: number): TokenizedFile {
  let [low, high] = [0, files.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (files[middle]!.to <= index) low = middle + 1;
    else high = middle;
  }
  return files[low]!;
}

/** A file whose rows become examples. */
export interface TokenizedRows {
  readonly dataset: Dataset;
  readonly tokenizer: RowTokenizer;
  readonly onBytes?: OnBytes | undefined;
}

/**
 * Tokenizes files. The examples stay in memory, or in the temporary file `scratch` if they are
 * large.
 *
 * @throws LoraError('dataset') where a file has changed; what `onBytes` throws
 */
export async function tokenizeRows(
  rows: readonly TokenizedRows[],
  { scratch, image_length }: { readonly scratch: string; readonly image_length: number },
): Promise<TokenizedSet> {
  const facts = new RowFacts(image_length);
  const store = new ExampleStore(scratch);
  const images: ImageExample[] = [];
  const files: TokenizedFile[] = [];
  try {
    for (const { dataset, tokenizer, onBytes } of rows) {
      const from = facts.length;
      await dataset.forEachRow((row, offset) => {
        const tokenized = tokenizer.add(row);
        if (!tokenized) return;
        const { example } = tokenized;
        if (example.kind === 'image') images.push(example);
        else if (example.kind !== 'packed' && example.kind !== 'features') store.add(example);
        facts.add(tokenized, offset);
      }, onBytes);
      files.push({ dataset, tokenizer, from, to: facts.length });
    }
  } catch (error) {
    store.close();
    throw error;
  }
  return {
    files,
    facts,
    examples: images.length > 0 ? examplesOf(images) : store,
    problems: rows.flatMap(({ tokenizer }) => tokenizer.problems.problems()),
    close: () => store.close(),
  };
}
