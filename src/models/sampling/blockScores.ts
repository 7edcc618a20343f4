import { exponential } from '../exponential';
import { BLOCK_TOKENS, type LogitBlocks } from './logitBlocks';

/** Below this the largest weight is too small a part of what the sums are of. */
const LEAST_BEST = -300;

/**
 * The scores z / temperature of a vocabulary, of which some are changed: all but the changed ones
 * are read in blocks, and only in those that count. Weights are exp(score - the largest unchanged
 * score).
 */
export class BlockScores {
  /** The largest score. */
  readonly best: number;
  private readonly reference: number;
  private readonly largest: Float64Array;
  private readonly sums: Float64Array;
  /** Blocks with changed scores. */
  private readonly mixed = new Set<number>();

  private constructor(
    private readonly logits: Float32Array,
    blocks: LogitBlocks,
    private readonly changed: ReadonlyMap<number, number>,
    private readonly temperature: number,
  ) {
    this.largest = Float64Array.from(blocks.largest, (z) => this.scaled(z));
    this.reference = largestIn(this.largest);
    this.sums = changed.size > 0 ? blocks.sums.slice() : blocks.sums;
    if (changed.size > 0) this.change();
    this.best = largestIn(this.largest);
  }

  /**
   * @param changed Logits other than those of the model, by token.
   * @param temperature 0: the scores are the logits.
   * @returns null where all scores have to be looked at: one is larger than all of the model, or
   *   little is left of the largest ones.
   */
  static of(
    logits: Float32Array,
    blocks: LogitBlocks,
    changed: ReadonlyMap<number, number>,
    temperature: number,
  ): BlockScores | null {
    const most = largestIn(blocks.largest);
    if (!Number.isFinite(most)) return null;
    for (const z of changed.values()) if (!(z <= most)) return null;
    const scores = new BlockScores(logits, blocks, changed, temperature);
    return scores.best - scores.reference < LEAST_BEST ? null : scores;
  }

  /** Number of blocks. */
  get count(): number {
    return this.largest.length;
  }

  /** Number of tokens. */
  get size(): number {
    return this.logits.length;
  }

  /** The largest score of each block. */
  get largestOfBlocks(): Float64Array {
    return this.largest;
  }

  /** The sum of the weights. */
  get total(): number {
    return this.sums.reduce((a, b) => a + b, 0);
  }

  score(id: number): number {
    return this.scaled(this.changed.get(id) ?? this.logits[id]!);
  }

  weight(id: number): number {
    return exponential(this.score(id) - this.reference);
  }

  /** The tokens with at least this score. */
  idsFrom(least: number): readonly number[] {
    const ids: number[] = [];
    for (let block = 0; block < this.count; block++) {
      if (this.largest[block]! < least) continue;
      const end = this.endOf(block);
      for (let id = block * BLOCK_TOKENS; id < end; id++)
        if (this.scoreIn(block, id) >= least) ids.push(id);
    }
    return ids;
  }

  /**
   * A score below which the tokens have a weight of at most `most` together, and which few others
   * reach.
   */
  scoreAbove(most: number): number {
    const lightest = most / this.size;
    for (let weight = exponential(this.best - this.reference); ; weight /= 4) {
      if (weight <= lightest) return this.reference + Math.log(lightest);
      const least = this.reference + Math.log(weight);
      let below = 0;
      for (let block = 0; block < this.count; block++)
        below += this.largest[block]! < least ? this.sums[block]! : BLOCK_TOKENS * weight;
      if (below <= most) return least;
    }
  }

  /** The token at which the weights of those before and its own exceed a share of the total. */
  draw(share: number): number {
    let left = this.total * share;
    let last = 0;
    for (let block = 0; block < this.count; block++) {
      if (left >= this.sums[block]!) {
        left -= this.sums[block]!;
        continue;
      }
      const end = this.endOf(block);
      for (let id = block * BLOCK_TOKENS; id < end; id++) {
        const weight = exponential(this.scoreIn(block, id) - this.reference);
        left -= weight;
        if (left < 0) return id;
        if (weight > 0) last = id;
      }
      return last; // the sum in another order is larger by its last bits
    }
    return this.idsFrom(this.best)[0]!;
  }

  private scaled(z: number): number {
    return this.temperature === 0 ? z : z / this.temperature;
  }

  private scoreIn(block: number, id: number): number {
    return this.mixed.has(block) ? this.score(id) : this.scaled(this.logits[id]!);
  }

  private endOf(block: number): number {
    return Math.min(this.size, (block + 1) * BLOCK_TOKENS);
  }

  /** Brings the changed scores into what is known of their blocks. */
  private change(): void {
    const stale = new Set<number>();
    for (const id of this.changed.keys()) {
      const block = Math.floor(id / BLOCK_TOKENS);
      this.mixed.add(block);
      const old = this.scaled(this.logits[id]!);
      const removed = exponential(old - this.reference);
      const sum = this.sums[block]! - removed + this.weight(id);
      this.sums[block] = sum;
      // the digits that are left of the sum would be few
      if (sum < removed || old >= this.largest[block]!) stale.add(block);
      this.largest[block] = Math.max(this.largest[block]!, this.score(id));
    }
    for (const block of stale) this.look(block);
  }

  /** Looks at all scores of a block. */
  private look(block: number): void {
    const end = this.endOf(block);
    this.sums[block] = 0;
    this.largest[block] = -Infinity;
    for (let id = block * BLOCK_TOKENS; id < end; id++) {
      this.sums[block] += this.weight(id);
      this.largest[block] = Math.max(this.largest[block], this.score(id));
    }
  }
}

function largestIn(numbers: Float32Array | Float64Array): number {
  let most = -Infinity;
  for (const number of numbers) if (number > most) most = number;
  return most;
}
