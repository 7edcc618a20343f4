/** A source of uniform numbers in [0, 1), multiples of 2^-32. */
export type Random = () => number;

/**
 * A stream of random numbers that depends only on its seed and name, on every machine. A resumed
 * run therefore needs no random state, only counters: createRandom(seed, 'shuffle', epoch). The
 * generator is sfc32 (Chris Doty-Humphrey, PractRand) with 128 bits of state, seeded with a hash of
 * the name.
 */
export function createRandom(seed: number, ...stream: readonly (string | number)[]): Random {
  const name = JSON.stringify([seed, ...stream]);
  let [a, b, c] = [hash(name, 0x9e3779b9), hash(name, 0x243f6a88), hash(name, 0xb7e15162)];
  let counter = 1;
  const next = () => {
    const output = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + output) | 0;
    return (output >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < SEEDING_ROUNDS; i++) next();
  return next;
}

/** A shuffled copy (Fisher-Yates): every order is equally likely. */
export function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}

/** PractRand's own seeding discards this many outputs to mix three words. */
const SEEDING_ROUNDS = 15;

/** A 32-bit hash: FNV-1a over UTF-16 units from a given start, then MurmurHash3's finalizer. */
function hash(text: string, start: number): number {
  let h = start;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
