/** The ids of a piece; a single one is not put into a list. */
export type PieceIds = number | Int32Array;

const LONGEST = 256;
/** What an entry takes besides its characters, about, in characters. */
const OVERHEAD = 48;
/** Characters of one half; 4 MB if none is Latin-1. */
const MOST_CHARACTERS = 2 ** 21;
/** Shorter parts of a text are copied by V8, longer ones keep the whole text in memory. */
const SHORTEST_SLICE = 13;

/**
 * Ids of pieces that were encoded lately. It has two halves: when the newer one is full, the older
 * one is dropped, and what is still used moves to the newer one.
 */
export class PieceCache {
  private newer = new Map<string, PieceIds>();
  private older = new Map<string, PieceIds>();
  private characters = 0;

  get(piece: string): PieceIds | undefined {
    const ids = this.newer.get(piece);
    if (ids !== undefined) return ids;
    const old = this.older.get(piece);
    if (old !== undefined) this.set(piece, old);
    return old;
  }

  /** Keeps the ids of a piece, and returns them as they are kept. */
  keep(piece: string, ids: readonly number[]): PieceIds {
    const [only] = ids;
    const kept = ids.length === 1 && only !== undefined ? only : Int32Array.from(ids);
    this.set(piece, kept);
    return kept;
  }

  set(piece: string, ids: PieceIds): void {
    if (piece.length > LONGEST) return;
    if (this.characters > MOST_CHARACTERS) {
      this.older = this.newer;
      this.newer = new Map();
      this.characters = 0;
    }
    this.characters += piece.length + OVERHEAD;
    this.newer.set(piece.length < SHORTEST_SLICE ? piece : copyOf(piece), ids);
  }

  /** Entries of both halves. */
  get size(): number {
    return this.newer.size + this.older.size;
  }
}

const copyOf = (text: string) => Buffer.from(text, 'utf16le').toString('utf16le');
