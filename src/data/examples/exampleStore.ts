import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { LoraError } from '../../shared/errors';
import { NumberList } from '../../common/numberList';
import { NO_LABEL } from '../../shared/task';
import {
  lengthOf,
  textsOf,
  type CaptionedExample,
  type PairExample,
  type PreferenceExample,
  type RankingExample,
  type Sequence,
  type TextExample,
  type TokenExample,
  type TokensExample,
  type UnpairedExample,
} from './example';
import type { Examples } from './examples';
import { charactersOf, imageRecords, readImageRecords, textOf } from './imageRecord';
import { pairParts } from './pairParts';
import type { TokensImage } from './rowImages';

type StoredExample = CaptionedExample | Exclude<TokenExample, { readonly kind: 'packed' }>;

const BYTES = Int32Array.BYTES_PER_ELEMENT;
/** Examples up to this size stay in memory; beyond it they are written to a file. */
const MEMORY_NUMBERS = (64 * 2 ** 20) / BYTES;

/** How a record is written, in its first number. */
const FORM = {
  labelledTokens: 0,
  tokens: 1,
  text: 2,
  numbersText: 3,
  pair: 4,
  preference: 5,
  unpaired: 6,
  group: 7,
  ranking: 8,
  captioned: 9,
  answer: 10,
  withImages: 11,
  pairWithImages: 12,
  unpairedWithImages: 13,
} as const;
/** Added to the form of a record that ends with the bits of its weight. */
const WEIGHTED = 16;

/**
 * Examples as 32-bit numbers: a token takes 4 bytes. Small data sets are kept in memory, larger
 * ones in a temporary file that the store deletes. In memory each example takes 12 bytes more.
 */
export class ExampleStore implements Examples {
  private readonly lengths = NumberList.ofInts();
  /** The first number of each record, and the end of the last. */
  private readonly starts = NumberList.ofOffsets();
  private blocks: Int32Array[] = [];
  private block = new Int32Array(0);
  private used = 0;
  /** The number of the first one in `block`. */
  private blockStart = 0;
  private file: number | null = null;

  /** @param path The temporary file, which must not exist. It is made when it is needed. */
  constructor(
    private readonly path: string,
    private readonly memoryNumbers = MEMORY_NUMBERS,
  ) {
    this.starts.push(0);
  }

  get length(): number {
    return this.lengths.length;
  }

  lengthAt(index: number): number {
    return this.lengths.at(index);
  }

  /** @throws LoraError('disk') where the temporary file cannot be written */
  add(example: StoredExample): void {
    const record = encodeExample(example);
    const start = this.starts.at(this.length);
    if (this.used + record.length > this.block.length) this.startBlock(record.length);
    this.block.set(record, this.used);
    this.used += record.length;
    this.lengths.push(lengthOf(example));
    this.starts.push(start + record.length);
  }

  at(index: number): StoredExample {
    const start = this.starts.at(index);
    const end = this.starts.at(index + 1);
    if (start >= this.blockStart) {
      const at = start - this.blockStart;
      return decodeExample(this.block.subarray(at, at + end - start));
    }
    return decodeExample(this.file === null ? this.inMemory(start, end) : this.read(start, end));
  }

  /** Deletes the temporary file. */
  close(): void {
    if (this.file !== null) closeSync(this.file);
    this.file = null;
    this.blocks = [];
    removeFile(this.path);
  }

  /** Keeps the full block, and writes all of them when they take too much memory. */
  private startBlock(least: number): void {
    const full = this.block.subarray(0, this.used);
    this.blocks.push(full);
    this.blockStart += full.length;
    if (this.file !== null || this.blockStart > this.memoryNumbers) this.spill();
    this.block = new Int32Array(Math.max(least, this.blockNumbers()));
    this.used = 0;
  }

  private blockNumbers(): number {
    return Math.max(1, Math.min(2 ** 20, this.memoryNumbers >> 2));
  }

  private spill(): void {
    try {
      this.file ??= openTemporary(this.path);
      for (const block of this.blocks) writeFully(this.file, block);
    } catch (error) {
      throw new LoraError('disk', 'The tokens of the dataset cannot be written.', {
        place: { file: this.path },
        fix: 'Free some space on the disk: a token takes 4 bytes.',
        cause: error,
      });
    }
    this.blocks = [];
  }

  private inMemory(start: number, end: number): Int32Array {
    let before = 0;
    for (const block of this.blocks) {
      if (start < before + block.length) return block.subarray(start - before, end - before);
      before += block.length;
    }
    throw new RangeError('The examples were closed.');
  }

  private read(start: number, end: number): Int32Array {
    const record = new Int32Array(end - start);
    const bytes = new Uint8Array(record.buffer);
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(this.file!, bytes, done, bytes.length - done, start * BYTES + done);
      if (count === 0)
        throw new LoraError('disk', 'The temporary file of the dataset is incomplete.', {
          place: { file: this.path },
          fix: 'Resume the run.',
        });
      done += count;
    }
    return record;
  }
}

/** Where the system allows it, the file has no name while it is open, so a crash leaves nothing. */
function openTemporary(path: string): number {
  const file = openSync(path, 'wx+', 0o600);
  removeFile(path);
  return file;
}

function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // some systems refuse while it is open: it is removed when the store is closed
  }
}

function writeFully(file: number, numbers: Int32Array): void {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  for (let done = 0; done < bytes.length;)
    done += writeSync(file, bytes, done, bytes.length - done);
}

/** An example as numbers: form, line, lengths, then its arrays, and its weight unless that is 1. */
function encodeExample(example: StoredExample): Int32Array {
  const record = encodeUnweighted(example);
  const weight = 'weight' in example ? example.weight : undefined;
  if (weight === undefined) return record;
  const bits = new Int32Array(Float32Array.of(weight).buffer);
  return joined([record[0]! + WEIGHTED], [record.subarray(1), bits]);
}

function encodeUnweighted(example: StoredExample): Int32Array {
  switch (example.kind) {
    case 'tokens':
      return encodeTokens(example);
    case 'answer': {
      const { line, source } = example;
      return joined([FORM.answer, line, source.length], [source, signed(example)]);
    }
    case 'text':
      return encodeText(example);
    case 'pair': {
      const { line, anchor, positive } = example;
      const isPlain = !example.negatives && example.score === undefined;
      return isPlain
        ? joined([FORM.pair, line, anchor.length], [anchor, positive])
        : encodeGroup(example);
    }
    case 'ranking':
      return encodeRanking(example);
    case 'captioned': {
      const { line, file, input_ids } = example;
      return joined([FORM.captioned, line, file.length], [charactersOf(file), input_ids]);
    }
    case 'preference':
      return encodePreference(example);
    case 'unpaired':
      return encodeUnpaired(example);
  }
}

function encodeText({ line, input_ids, token_type_ids, target }: TextExample): Int32Array {
  const form = target instanceof Float32Array ? FORM.numbersText : FORM.text;
  const bits = new Int32Array(target.buffer, target.byteOffset, target.length);
  return joined([form, line, input_ids.length], [input_ids, token_type_ids, bits]);
}

/** Numbers that may be missing, as the bits of f32; NaN: missing. */
const numberBits = (numbers: readonly (number | null)[]): Int32Array =>
  new Int32Array(Float32Array.from(numbers, (n) => n ?? NaN).buffer);

function numbersOf(bits: Int32Array): (number | null)[] {
  const numbers = new Float32Array(bits.slice().buffer);
  return Array.from(numbers, (n) => (Number.isNaN(n) ? null : n));
}

/** Form, line, number of texts, the bits of the score (NaN: none), the lengths, the texts. */
function encodeGroup(example: PairExample): Int32Array {
  const texts = textsOf(example);
  const score = new Int32Array(Float32Array.of(example.score ?? NaN).buffer);
  const lengths = texts.map(({ length }) => length);
  return joined([FORM.group, example.line, texts.length, score[0]!, ...lengths], texts);
}

function decodeGroup(record: Int32Array): PairExample {
  const [, line, count] = record as unknown as [number, number, number];
  const score = new Float32Array(record.slice(3, 4).buffer)[0]!;
  let at = 4 + count;
  const [anchor, positive, ...negatives] = Array.from(record.subarray(4, 4 + count), (length) =>
    record.slice(at, (at += length)),
  ) as [Int32Array, Int32Array, ...Int32Array[]];
  return {
    kind: 'pair',
    line,
    anchor,
    positive,
    ...pairParts(negatives, Number.isNaN(score) ? undefined : score),
  };
}

/** Form, line, number of texts, the query, the bits of the scores, the lengths, the texts. */
function encodeRanking({ line, query, texts, scores }: RankingExample): Int32Array {
  const bits = new Int32Array(scores.buffer, scores.byteOffset, scores.length);
  const lengths = texts.map(({ input_ids }) => input_ids.length);
  return joined(
    [FORM.ranking, line, texts.length, query, ...bits, ...lengths],
    texts.flatMap(({ input_ids, token_type_ids }) => [input_ids, token_type_ids]),
  );
}

function decodeRanking(record: Int32Array): RankingExample {
  const [, line, count, query] = record as unknown as [number, number, number, number];
  const scores = new Float32Array(record.slice(4, 4 + count).buffer);
  let at = 4 + 2 * count;
  const next = (length: number) => record.slice(at, (at += length));
  const texts = Array.from(record.subarray(4 + count, at), (length) => ({
    input_ids: next(length),
    token_type_ids: next(length),
  }));
  return { kind: 'ranking', line, query, texts, scores };
}

/** Form, line, number of tokens, number of images; the images and the tokens. */
function encodeWithImages(
  { line, input_ids, labels }: TokensExample,
  images: readonly TokensImage[],
): Int32Array {
  const head = [FORM.withImages, line, input_ids.length, images.length];
  return joined(head, [...imageRecords(images), signed({ input_ids, labels })]);
}

function decodeWithImages(record: Int32Array): TokensExample {
  const { images, end } = readImageRecords(record.subarray(4), record[3]!);
  return { kind: 'tokens', line: record[1]!, ...sequenceOf(record.slice(4 + end)), images };
}

/**
 * Form, line, length of the first text, the numbers of the pair; both texts. With images, a record
 * of each text.
 */
function encodePreference(example: PreferenceExample): Int32Array {
  const { line, chosen, rejected, margin, stated } = example;
  const numbers = numberBits([margin, stated?.[0] ?? null, stated?.[1] ?? null]);
  const head = [FORM.preference, line, chosen.input_ids.length, ...numbers];
  if (!chosen.images && !rejected.images) return joined(head, [signed(chosen), signed(rejected)]);
  const sides = [chosen, rejected].map((own) => encodeTokens({ kind: 'tokens', line, ...own }));
  return joined([FORM.pairWithImages, line, sides[0]!.length, ...numbers], sides);
}

/** As `encodePreference`, with the label as a number. */
function encodeUnpaired({ line, answer, rest, desirable, stated }: UnpairedExample): Int32Array {
  const numbers = [Number(desirable), ...numberBits([stated])];
  const sides = [signed(answer), signed(rest)];
  if (!answer.images) return joined([FORM.unpaired, line, sides[0]!.length, ...numbers], sides);
  sides[0] = encodeTokens({ kind: 'tokens', line, ...answer });
  return joined([FORM.unpairedWithImages, line, sides[0].length, ...numbers], sides);
}

/** Where a label can only be its token's id, the sign of the number says whether it is one. */
function encodeTokens(example: TokensExample): Int32Array {
  const { line, input_ids, labels, images } = example;
  if (images) return encodeWithImages(example, images);
  const isOwn = labels.every((label, i) => label === NO_LABEL || label === input_ids[i]);
  if (!isOwn) return joined([FORM.tokens, line, input_ids.length], [input_ids, labels]);
  const form = FORM.labelledTokens;
  return joined([form, line, input_ids.length], [signed({ input_ids, labels })]);
}

/** Tokens without a label as negative numbers. */
const signed = ({ input_ids, labels }: Sequence): Int32Array =>
  input_ids.map((id, i) => (labels[i] === NO_LABEL ? ~id : id));

const sequenceOf = (numbers: Int32Array): Sequence => ({
  input_ids: numbers.map((id) => (id < 0 ? ~id : id)),
  labels: numbers.map((id) => (id < 0 ? NO_LABEL : id)),
});

function preferenceOf(
  line: number,
  length: number,
  rest: Int32Array,
  read: (record: Int32Array) => Sequence = sequenceOf,
): PreferenceExample {
  const [margin = null, chosen = null, rejected = null] = numbersOf(rest.subarray(0, 3));
  return {
    kind: 'preference',
    line,
    chosen: read(rest.subarray(3, 3 + length)),
    rejected: read(rest.subarray(3 + length)),
    margin,
    stated: chosen === null || rejected === null ? null : [chosen, rejected],
  };
}

/** The text of a record of tokens, with its images. */
function picturedOf(record: Int32Array): Sequence {
  const { input_ids, labels, images } = decodeUnweighted(record) as TokensExample;
  return { input_ids, labels, ...(images && { images }) };
}

function unpairedOf(
  line: number,
  length: number,
  record: Int32Array,
  read: (record: Int32Array) => Sequence = sequenceOf,
): UnpairedExample {
  const [stated = null] = numbersOf(record.subarray(1, 2));
  const answer = read(record.subarray(2, 2 + length));
  const rest = sequenceOf(record.subarray(2 + length));
  return { kind: 'unpaired', line, answer, rest, desirable: record[0] === 1, stated };
}

function decodeExample(record: Int32Array): StoredExample {
  if (record[0]! < WEIGHTED) return decodeUnweighted(record);
  const own = record.slice(0, -1);
  own[0]! -= WEIGHTED;
  const weight = new Float32Array(record.slice(-1).buffer)[0]!;
  const example = decodeUnweighted(own);
  return isCompared(example) ? example : { ...example, weight };
}

/** Answers that are compared have no weights. */
const isCompared = (example: StoredExample): example is PreferenceExample | UnpairedExample =>
  example.kind === 'preference' || example.kind === 'unpaired';

function decodeUnweighted(record: Int32Array): StoredExample {
  const [form, line, length] = record as unknown as [number, number, number];
  const first = record.slice(3, 3 + length);
  const second = record.slice(3 + length);
  switch (form) {
    case FORM.labelledTokens:
      return { kind: 'tokens', line, ...sequenceOf(first) };
    case FORM.answer:
      return { kind: 'answer', line, source: first, ...sequenceOf(second) };
    case FORM.withImages:
      return decodeWithImages(record);
    case FORM.preference:
      return preferenceOf(line, length, record.subarray(3));
    case FORM.pairWithImages:
      return preferenceOf(line, length, record.subarray(3), picturedOf);
    case FORM.unpaired:
      return unpairedOf(line, length, record.subarray(3));
    case FORM.unpairedWithImages:
      return unpairedOf(line, length, record.subarray(3), picturedOf);
    case FORM.tokens:
      return { kind: 'tokens', line, input_ids: first, labels: second };
    case FORM.group:
      return decodeGroup(record);
    case FORM.ranking:
      return decodeRanking(record);
    case FORM.captioned:
      return {
        kind: 'captioned',
        line,
        file: textOf(first),
        input_ids: second,
      };
    case FORM.pair:
      return { kind: 'pair', line, anchor: first, positive: second };
    default: {
      const bits = second.slice(length);
      const target = form === FORM.numbersText ? new Float32Array(bits.buffer) : bits;
      return {
        kind: 'text',
        line,
        input_ids: first,
        token_type_ids: second.slice(0, length),
        target,
      };
    }
  }
}

function joined(head: readonly number[], parts: readonly Int32Array[]): Int32Array {
  const length = parts.reduce((sum, part) => sum + part.length, head.length);
  const all = new Int32Array(length);
  all.set(head);
  let at = head.length;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
