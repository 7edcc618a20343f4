import path from 'node:path';
import { tagLabels, targetOf, type LabelSet } from './labelSet';
import type { ProblemCollector } from '../dataset/problems';
import { outsideFault } from '../tokenizer/vocabulary';
import { withWeight, type RowTokenizer } from '../examples/tokenizeRows';
import { pairParts } from '../examples/pairParts';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { LabelledRow, PairRow, RankingRow, Row, TaggedRow, Weighted } from '../rows/row';
import { textsOf, type Example } from '../examples/example';
import type { RerankerLoss } from '../../shared/rerankerSettings';
import { RankingRules } from './rankingRules';
import { needsScores, type EmbeddingLoss } from '../../shared/embeddingSettings';
import { countOf } from '../../shared/values';

export interface TaskSettings {
  /** Null: the rows are images. */
  readonly tokenizer: Tokenizer | null;
  readonly max_length: number;
  /** Null: the rows are pairs or rated documents. */
  readonly labels: LabelSet | null;
  /** Whether the model has token types, which mark the second of two texts. */
  readonly has_types: boolean;
  /** Positions that an image takes: its patches and the class token. */
  readonly image_length: number;
  /** The folder that paths of images in rows are relative to. Default: the current one. */
  readonly folder?: string;
  /** The loss of pairs, which decides what they must have. Default: that which fits them. */
  readonly pair_loss?: EmbeddingLoss | null;
  /** The same of rated documents. */
  readonly ranking_loss?: RerankerLoss | null;
  /** Rows of the model's embedding. Default: no limit. */
  readonly vocab_size?: number;
}

interface Encoded {
  readonly example: Example;
  /** Tokens of the row before truncation. */
  readonly length: number;
}

/**
 * Turns labelled, tagged or paired texts, or images, into examples. Texts are truncated to
 * max_length, special tokens included. Errors in rows are reported to `problems`.
 */
export function taskTokenizer(problems: ProblemCollector, settings: TaskSettings): RowTokenizer {
  const { tokenizer } = settings;
  const encoder = tokenizer && new Encoder(tokenizer, settings);
  let shape: PairShape | null = null;
  const rankings = new RankingRules(settings.ranking_loss ?? null);
  return {
    problems,
    add: (row) => {
      try {
        if (row.kind === 'pair') shape = checkedShape(row, shape, settings);
        if (row.kind === 'ranking') rankings.check(row);
        const own = encode(row, encoder, settings);
        checkVocabulary(own.example, settings);
        return { row, ...own, example: withWeight(own.example, row) };
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        problems.error(error.message, row.line);
        return null;
      }
    },
  };
}

/** What all pairs of a dataset have alike. */
interface PairShape {
  readonly negatives: number;
  readonly hasScore: boolean;
}

/** @throws RangeError for a pair that the loss cannot use */
function refuseForLoss(hasScore: boolean, hasWeight: boolean, loss: EmbeddingLoss): void {
  const wantsScore = needsScores(loss);
  if (wantsScore && !hasScore) throw new RangeError(`${loss} needs a "score" in each row.`);
  if (!wantsScore && hasScore)
    throw new RangeError(`${loss} uses no "score": choose another embedding.loss.`);
  if (hasWeight && (loss === 'CoSENTLoss' || loss === 'OnlineContrastiveLoss'))
    throw new RangeError(`${loss} compares the rows of a batch, which can have no "weight".`);
}

/**
 * The shape of a dataset's pairs, given that of its first one.
 *
 * @throws RangeError for a pair of another shape, or of one that the loss cannot use
 */
function checkedShape(
  { negatives = [], score, weight }: PairRow & Weighted,
  first: PairShape | null,
  { pair_loss = null }: TaskSettings,
): PairShape {
  const own = { negatives: negatives.length, hasScore: score !== undefined };
  if (pair_loss) refuseForLoss(own.hasScore, weight !== undefined, pair_loss);
  if (pair_loss === 'TripletLoss' && own.negatives !== 1)
    throw new RangeError(
      `TripletLoss needs one negative in each row, but this one has ${own.negatives === 0 ? 'none' : own.negatives}.`,
    );
  if (own.hasScore && own.negatives > 0)
    throw new RangeError('A row has either a "score" or negatives.');
  if (!first) return own;
  if (own.negatives !== first.negatives)
    throw new RangeError(
      `The row has ${countOf(own.negatives, 'negative')}, but the first row has ${first.negatives}: all rows need as many.`,
    );
  if (own.hasScore !== first.hasScore)
    throw new RangeError('Either all rows have a "score", or none.');
  return first;
}

/** @throws RangeError for a token that the embedding has no row for. */
function checkVocabulary(
  example: Example,
  { tokenizer, vocab_size = Infinity }: TaskSettings,
): void {
  const outside = idsOf(example).find((id) => id >= vocab_size);
  if (outside !== undefined) throw new RangeError(outsideFault(outside, vocab_size, tokenizer!));
}

function idsOf(example: Example): Int32Array {
  switch (example.kind) {
    case 'tokens':
    case 'text':
    case 'captioned':
      return example.input_ids;
    case 'pair':
      return Int32Array.from(textsOf(example).flatMap((ids) => [...ids]));
    case 'ranking':
      return Int32Array.from(example.texts.flatMap(({ input_ids }) => [...input_ids]));
    default:
      return new Int32Array(0);
  }
}

function encode(
  row: Row,
  encoder: Encoder | null,
  { labels, image_length, folder = '' }: TaskSettings,
): Encoded {
  switch (row.kind) {
    case 'image': {
      const { kind, line, file } = row;
      const target = targetOf(row.label, labels!);
      return { example: { kind, line, file, target }, length: image_length };
    }
    case 'captioned': {
      const { example, length } = encoder!.text(row.text);
      const file = path.resolve(folder, row.image);
      return { example: { kind: 'captioned', line: row.line, file, input_ids: example }, length };
    }
    case 'labelled':
      return encoder!.labelled(row, labels!);
    case 'tagged':
      return encoder!.tagged(row, labels!);
    case 'pair':
      return encoder!.pair(row);
    case 'ranking':
      return encoder!.ranking(row);
    default:
      throw new RangeError(`A row of kind ${row.kind} has no labels.`);
  }
}

interface Single {
  readonly ids: Int32Array;
  readonly length: number;
}

/** Encodes texts with the tokenizer's special tokens, as models with a head expect them. */
class Encoder {
  private readonly frame: Tokenizer['frame'];
  /** Whether words are encoded with the space before them. */
  private readonly spaced: boolean;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly settings: Pick<TaskSettings, 'max_length' | 'has_types'>,
  ) {
    this.frame = tokenizer.frame;
    // Byte-level tokenizers encode a word together with the space before it; others add the space.
    this.spaced = this.ids(' a').length <= this.ids('a').length;
  }

  labelled({ line, text, text_pair, label }: LabelledRow, labels: LabelSet): Encoded {
    const target = targetOf(label, labels);
    const first = this.start(text);
    if (text_pair === null) {
      const { ids, length } = this.single(first);
      const token_type_ids = new Int32Array(ids.length);
      return { example: { kind: 'text', line, input_ids: ids, token_type_ids, target }, length };
    }
    const { length, ...texts } = this.pairOf(first, this.ids(text_pair));
    return { example: { kind: 'text', line, ...texts, target }, length };
  }

  /** One text without a label. */
  text(text: string): { readonly example: Int32Array; readonly length: number } {
    const { ids, length } = this.single(this.start(text));
    return { example: ids, length };
  }

  tagged({ line, tokens, tags }: TaggedRow, labels: LabelSet): Encoded {
    const starts: number[] = [];
    const inner: number[] = [];
    const { before, after } = this.frame;
    for (const word of tokens) {
      const own = this.ids(this.spaced ? ` ${word}` : word);
      starts.push(own.length === 0 ? Infinity : before.length + inner.length);
      for (const id of own) inner.push(id);
    }
    const { ids, length } = this.single(inner);
    const end = ids.length - after.length;
    const keptStarts = starts.map((start) => (start < end ? start : Infinity));
    const ownLabels = tagLabels(tags, keptStarts, ids.length, labels);
    return { example: { kind: 'tokens', line, input_ids: ids, labels: ownLabels }, length };
  }

  pair({ line, anchor, positive, negatives = [], score }: PairRow): Encoded {
    const texts = [anchor, positive, ...negatives].map((text) => this.single(this.start(text)));
    const [a, b, ...others] = texts.map(({ ids }) => ids) as [
      Int32Array,
      Int32Array,
      ...Int32Array[],
    ];
    return {
      example: { kind: 'pair', line, anchor: a, positive: b, ...pairParts(others, score) },
      length: Math.max(...texts.map(({ length }) => length)),
    };
  }

  ranking({ line, query, documents, scores }: RankingRow): Encoded {
    const first = this.start(query);
    const texts = documents.map((document) => this.pairOf(first, this.ids(document)));
    return {
      example: {
        kind: 'ranking',
        line,
        query: textHash(query),
        texts: texts.map(({ input_ids, token_type_ids }) => ({ input_ids, token_type_ids })),
        scores: Float32Array.from(scores),
      },
      length: Math.max(...texts.map(({ length }) => length)),
    };
  }

  /** Without special tokens that the text begins with and the frame adds. */
  private start(text: string): number[] {
    const own = this.ids(text);
    const { before } = this.frame;
    const isWritten = before.length > 0 && before.every((id, i) => own[i] === id);
    return isWritten ? own.slice(before.length) : own;
  }

  private ids(text: string): number[] {
    return this.tokenizer.encode(text, false);
  }

  private single(own: readonly number[]): Single {
    const { before, after } = this.frame;
    const space = this.settings.max_length - before.length - after.length;
    return {
      ids: Int32Array.from([...before, ...own.slice(0, Math.max(0, space)), ...after]),
      length: before.length + own.length + after.length,
    };
  }

  /** Truncates the longer text first, as transformers does. */
  private pairOf(a: readonly number[], b: readonly number[]) {
    const { before, between, after } = this.frame;
    const frame = before.length + between.length + after.length;
    const space = Math.max(2, this.settings.max_length - frame);
    const [own, other] = truncatePair(a.length, b.length, space);
    const head = [...before, ...a.slice(0, own), ...between];
    const ids = Int32Array.from([...head, ...b.slice(0, other), ...after]);
    return {
      input_ids: ids,
      token_type_ids: Int32Array.from(ids, (_, i) =>
        this.settings.has_types && i >= head.length ? 1 : 0,
      ),
      length: frame + a.length + b.length,
    };
  }
}

/** A text in 32 bits (FNV-1a). */
function textHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}

/** Lengths of two texts after tokens are removed, one at a time from the longer, until they fit. */
function truncatePair(a: number, b: number, space: number): readonly [number, number] {
  const over = Math.max(0, a + b - space);
  if (over === 0) return [a, b];
  const [longer, shorter] = [Math.max(a, b), Math.min(a, b)];
  const apart = Math.min(over, longer - shorter);
  const rest = over - apart;
  const [long, short] = [longer - apart - Math.floor(rest / 2), shorter - Math.ceil(rest / 2)];
  return a >= b ? [long, short] : [short, long];
}
