import type { Decoder, Sequence } from '../../models/model';

/** A sequence, and the tokens that it begins with. */
export interface Prefix {
  readonly ids: readonly number[];
  readonly sequence: Sequence;
}

/** Keys and values of a finished sequence. */
interface KeptPrefix extends Prefix {
  readonly decoder: Decoder;
  /** What they were computed with. */
  readonly mixKey: string;
}

/** The tokens that are shared are read again where they are fewer: it takes no time. */
const LEAST_SHARED = 16;
/** Sequences that are kept: short ones of a small model would be thousands, all to be compared. */
const MOST_KEPT = 256;

/**
 * Keeps the keys and values of finished sequences, the last used ones, for prompts that begin with
 * the same tokens and have the same adapters: the next turn of a chat, or the same instructions.
 * Those of unfinished ones are copied.
 */
export class PrefixCache {
  /** The last used one is the last. */
  private kept: KeptPrefix[] = [];

  /** @param maxBytes Of all keys and values. */
  constructor(private readonly maxBytes: number) {}

  /**
   * A sequence with the first tokens of a prompt, of which at least one is left to be read.
   *
   * @param running Sequences of the same decoder and adapters that are not finished.
   */
  take(
    decoder: Decoder,
    mixKey: string,
    prompt: readonly number[],
    running: readonly Prefix[],
  ): { readonly sequence: Sequence; readonly length: number } | null {
    let best: { readonly prefix: Prefix; readonly length: number } | null = null;
    const kept = this.kept.filter((own) => own.decoder === decoder && own.mixKey === mixKey);
    for (const prefix of [...kept, ...running]) {
      const known = Math.min(prefix.sequence.length, prompt.length - 1);
      const length = Math.min(sharedLength(prefix.ids, prompt), known);
      if (!decoder.copiesParts && length < prefix.sequence.length) continue;
      if (length >= LEAST_SHARED && length > (best?.length ?? 0)) best = { prefix, length };
    }
    if (!best) return null;
    const { prefix, length } = best;
    const entry = this.kept.find((own) => own === prefix);
    if (entry) this.kept = this.kept.filter((own) => own !== entry);
    if (entry && length === entry.sequence.length) return { sequence: entry.sequence, length };
    if (entry) this.kept.push(entry);
    return { sequence: decoder.copy(prefix.sequence, length), length };
  }

  /** Takes over a finished sequence, whose first tokens `ids` begins with. */
  keep(decoder: Decoder, mixKey: string, ids: readonly number[], sequence: Sequence): void {
    if (sequence.length < LEAST_SHARED) {
      decoder.close(sequence);
      return;
    }
    const own = { decoder, mixKey, ids: ids.slice(0, sequence.length), sequence };
    const [covered, rest] = partition(this.kept, (entry) => isCovered(entry, own));
    this.kept = [...rest, own];
    while (this.bytes > this.maxBytes || this.kept.length > MOST_KEPT)
      covered.push(this.kept.shift()!);
    for (const entry of covered) this.drop(entry);
  }

  /** Frees everything. */
  clear(): void {
    for (const entry of this.kept.splice(0)) this.drop(entry);
  }

  private get bytes(): number {
    return this.kept.reduce(
      (sum, { decoder, sequence }) => sum + decoder.bytesOf(sequence.length),
      0,
    );
  }

  private drop({ decoder, sequence }: KeptPrefix): void {
    decoder.close(sequence);
  }
}

/** Whether a longer sequence, or one like it, has all that one has. */
const isCovered = (entry: KeptPrefix, by: KeptPrefix): boolean =>
  entry.decoder === by.decoder &&
  entry.mixKey === by.mixKey &&
  sharedLength(entry.ids, by.ids) === entry.ids.length;

function partition<T>(items: readonly T[], belongs: (item: T) => boolean): [T[], T[]] {
  const [those, others]: [T[], T[]] = [[], []];
  for (const item of items) (belongs(item) ? those : others).push(item);
  return [those, others];
}

function sharedLength(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
