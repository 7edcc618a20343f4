import { isObject } from '../../../shared/values';
import { PieceCache } from '../bpe/pieceCache';
import { SortedPieces } from './pieces';

/** What a unigram model needs of tokenizer.json. */
export interface UnigramConfig {
  readonly pieces: readonly string[];
  readonly scores: readonly number[];
  readonly unk_id: number;
  readonly byte_fallback: boolean;
}

/** How much less than the worst piece a character has that is in no piece (kUnkPenalty). */
const UNKNOWN_PENALTY = 10;

/** Null where the model is not unigram, or its vocabulary is no list of pieces with scores. */
export function unigramConfig(model: unknown): UnigramConfig | null {
  if (!isObject(model) || !(model['type'] === 'Unigram' || model['type'] === undefined))
    return null;
  const { vocab, unk_id } = model;
  if (!Array.isArray(vocab) || vocab.length === 0) return null;
  const [pieces, scores] = [[] as string[], [] as number[]];
  for (const entry of vocab as readonly unknown[]) {
    const [text, score] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
    if (typeof text !== 'string' || typeof score !== 'number') return null;
    pieces.push(text);
    scores.push(score);
  }
  if (typeof unk_id !== 'number' || !Number.isInteger(unk_id) || !(unk_id in pieces)) return null;
  return { pieces, scores, unk_id, byte_fallback: model['byte_fallback'] === true };
}

/**
 * Splits pieces of a text into the tokens with the largest sum of scores, as the Rust library does
 * (Unigram.encode_optimized): the best way to each character is found from left to right, and of
 * equal ones the one with the longest last token counts.
 */
export class UnigramModel {
  private readonly pieces: SortedPieces;
  private readonly cache = new PieceCache();
  private readonly unknownScore: number;
  private readonly byteIds: readonly (number | undefined)[];
  private readonly utf8 = new TextEncoder();

  constructor(private readonly config: UnigramConfig) {
    this.pieces = new SortedPieces(config.pieces);
    this.unknownScore =
      config.scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
    this.byteIds = config.byte_fallback ? byteIdsOf(config.pieces) : [];
  }

  /** Token ids. A run of unknown characters within a piece is one token, or its bytes. */
  encode(pieces: readonly string[]): number[] {
    const ids: number[] = [];
    for (const piece of pieces) {
      const known = this.cache.get(piece) ?? this.cache.keep(piece, this.idsOf(piece));
      if (typeof known === 'number') ids.push(known);
      else for (const id of known) ids.push(id);
    }
    return ids;
  }

  private idsOf(text: string): readonly number[] {
    const { starts, ids } = this.bestWay(text);
    const found: number[] = [];
    for (let end = text.length; end > 0;) {
      let start = starts[end]!;
      if (ids[end] !== this.config.unk_id) found.push(ids[end]!);
      else {
        while (start > 0 && ids[start] === this.config.unk_id) start = starts[start]!;
        // one by one: a call takes no more than about 100,000 arguments
        for (const id of this.unknown(text.slice(start, end)).reverse()) found.push(id);
      }
      end = start;
    }
    return found.reverse();
  }

  /** By the end of a token: where the best one begins, and its id. */
  private bestWay(text: string): { readonly starts: Int32Array; readonly ids: Int32Array } {
    const { scores, unk_id } = this.config;
    const best = new Float64Array(text.length + 1);
    const starts = new Int32Array(text.length + 1).fill(-1);
    const ids = new Int32Array(text.length + 1);
    const offer = (start: number, end: number, id: number, score: number): void => {
      const sum = best[start]! + score;
      if (starts[end]! >= 0 && sum <= best[end]!) return;
      best[end] = sum;
      starts[end] = start;
      ids[end] = id;
    };
    for (let start = 0; start < text.length;) {
      const next = start + (text.codePointAt(start)! > 0xffff ? 2 : 1);
      let isKnown = false as boolean;
      this.pieces.at(text, start, (end, id) => {
        offer(start, end, id, scores[id]!);
        isKnown ||= end === next;
      });
      if (!isKnown) offer(start, next, unk_id, this.unknownScore);
      start = next;
    }
    return { starts, ids };
  }

  private unknown(text: string): number[] {
    const { unk_id, byte_fallback } = this.config;
    if (!byte_fallback) return [unk_id];
    const ids = Array.from(this.utf8.encode(text), (byte) => this.byteIds[byte]);
    return ids.every((id) => id !== undefined) ? ids : [unk_id];
  }
}

function byteIdsOf(pieces: readonly string[]): readonly (number | undefined)[] {
  const idOf = new Map(pieces.map((text, id) => [text, id] as const));
  return Array.from({ length: 256 }, (_, byte) =>
    idOf.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
}
