import { isObject } from '../../../shared/values';
import { BYTE_CHARACTERS } from './byteCharacters';
import { Merges, Symbols } from './merges';
import { PieceCache } from './pieceCache';
import { WordMerger } from './wordMerger';

type Config = Readonly<Record<string, unknown>>;
type Pair = readonly [string, string];

/** What a BPE model needs of tokenizer.json. */
export interface BpeConfig {
  readonly merges: readonly Pair[];
  readonly ignore_merges: boolean;
  readonly byte_fallback: boolean;
  readonly fuse_unk: boolean;
  readonly unk_token: string | null;
}

/** The ids of tokens by their text, with those of added tokens. */
export type IdOf = (token: string) => number | undefined;

/** Null where the model is not BPE, or has affixes of words. */
export function bpeConfig(model: unknown): BpeConfig | null {
  if (!isObject(model) || model['type'] !== 'BPE' || hasAffixes(model)) return null;
  const merges = pairsOf(model['merges']);
  const unk_token = model['unk_token'] ?? null;
  if (merges === null || !(unk_token === null || typeof unk_token === 'string')) return null;
  return {
    merges,
    unk_token,
    ignore_merges: model['ignore_merges'] === true,
    byte_fallback: model['byte_fallback'] === true,
    fuse_unk: model['fuse_unk'] === true,
  };
}

const AFFIXES = ['continuing_subword_prefix', 'continuing_subword_suffix', 'end_of_word_suffix'];

const hasAffixes = (model: Config): boolean => AFFIXES.some((name) => (model[name] ?? '') !== '');

/** Merges as lists of two, or as text with a space between them; null where they are others. */
export function pairsOf(merges: unknown): readonly Pair[] | null {
  if (!Array.isArray(merges)) return null;
  const pairs: Pair[] = [];
  for (const merge of merges as readonly unknown[]) {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!isPair(parts)) return null;
    pairs.push(parts);
  }
  return pairs;
}

const isPair = (parts: unknown): parts is Pair =>
  Array.isArray(parts) &&
  parts.length === 2 &&
  typeof parts[0] === 'string' &&
  typeof parts[1] === 'string';

const LEAST_CAPACITY = 256;
/** A longer buffer is not kept. */
const MOST_KEPT = 2 ** 18;
const NO_ID = -1;

/** Turns the pieces of a text into token ids, as @huggingface/tokenizers does. */
export class BpeModel {
  private readonly symbols = new Symbols();
  private readonly merger: WordMerger;
  private readonly cache = new PieceCache();
  private readonly byteSymbols: Int32Array;
  private readonly utf8 = new TextEncoder();
  /** By symbol: its id, NO_ID where the vocabulary has none. */
  private readonly ids: number[] = [];
  private readonly unkId: number | undefined;
  private word = new Int32Array(LEAST_CAPACITY);
  private bytes = new Uint8Array(3 * LEAST_CAPACITY);

  /** @param isByteLevel The symbols of a piece are its UTF-8 bytes, not its characters. */
  constructor(
    private readonly config: BpeConfig,
    private readonly idOf: IdOf,
    private readonly isByteLevel: boolean,
  ) {
    this.merger = new WordMerger(new Merges(config.merges, this.symbols));
    this.byteSymbols = Int32Array.from(BYTE_CHARACTERS, (character) => this.symbols.of(character));
    this.unkId = config.unk_token === null ? undefined : idOf(config.unk_token);
  }

  encode(pieces: readonly string[]): number[] {
    const ids: number[] = [];
    for (const piece of pieces) {
      const known = this.cache.get(piece) ?? this.cache.keep(piece, this.idsOf(piece));
      if (typeof known === 'number') ids.push(known);
      else for (const id of known) ids.push(id);
    }
    const { unkId } = this;
    if (!this.config.fuse_unk || unkId === undefined) return ids;
    return ids.filter((id, i) => id !== unkId || ids[i - 1] !== unkId);
  }

  private idsOf(piece: string): readonly number[] {
    if (piece === '') return [];
    if (this.config.ignore_merges) {
      const whole = this.idOf(this.isByteLevel ? this.characterised(piece) : piece);
      if (whole !== undefined) return [whole];
    }
    const length = this.isByteLevel ? this.readBytes(piece) : this.readCharacters(piece);
    const left = this.merger.merge(this.word, length);
    const ids: number[] = [];
    for (let i = 0; i < left; i++) this.addSymbol(this.word[i]!, ids);
    if (this.word.length > MOST_KEPT) {
      this.word = new Int32Array(LEAST_CAPACITY);
      this.bytes = new Uint8Array(3 * LEAST_CAPACITY);
    }
    return ids;
  }

  /** A piece as the vocabulary of a byte-level model writes it. */
  private characterised(piece: string): string {
    let text = '';
    for (const byte of this.utf8.encode(piece)) text += BYTE_CHARACTERS[byte]!;
    return text;
  }

  private readBytes(piece: string): number {
    if (this.bytes.length < 3 * piece.length) this.bytes = new Uint8Array(3 * piece.length);
    const { written } = this.utf8.encodeInto(piece, this.bytes);
    this.reserve(written);
    for (let i = 0; i < written; i++) this.word[i] = this.byteSymbols[this.bytes[i]!]!;
    return written;
  }

  private readCharacters(piece: string): number {
    this.reserve(piece.length);
    let length = 0;
    for (const character of piece) this.word[length++] = this.symbols.of(character);
    return length;
  }

  private reserve(length: number): void {
    if (this.word.length < length)
      this.word = new Int32Array(Math.max(length, 2 * this.word.length));
  }

  private addSymbol(symbol: number, ids: number[]): void {
    const id = (this.ids[symbol] ??= this.idOf(this.symbols.textOf(symbol)) ?? NO_ID);
    if (id !== NO_ID) ids.push(id);
    else ids.push(...this.replacementOf(this.symbols.textOf(symbol)));
  }

  /** The tokens of a text that is not in the vocabulary. */
  private replacementOf(text: string): readonly number[] {
    const unknown = this.unkId === undefined ? [] : [this.unkId];
    if (!this.config.byte_fallback) return unknown;
    const bytes = Array.from(this.utf8.encode(text), (byte) => this.idOf(byteToken(byte)));
    return bytes.every((id) => id !== undefined) ? bytes : unknown;
  }
}

const byteToken = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
