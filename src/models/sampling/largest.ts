/** The index of the largest number, of equal ones the first. */
export function largestOf(scores: ArrayLike<number>): number {
  let best = 0;
  let most = scores[0]!;
  for (let i = 1; i < scores.length; i++) {
    const own = scores[i]!;
    if (own > most) [best, most] = [i, own];
  }
  return best;
}

/** Up to so many, sorting all takes longer than keeping the largest ones sorted. */
const FEW_LARGEST = 256;

/** The largest numbers, the largest first. */
export function largest(scores: Float64Array, count: number): readonly number[] {
  if (count > FEW_LARGEST) return [...scores.toSorted().subarray(-count)].reverse();
  const top: number[] = [];
  for (const z of scores) {
    if (top.length === count && z <= top[count - 1]!) continue;
    let at = top.length;
    while (at > 0 && top[at - 1]! < z) at--;
    top.splice(at, 0, z);
    if (top.length > count) top.pop();
  }
  return top;
}

/** Weights of about one size are in one bin: four to a power of 2. */
const BIN_SHIFT = 18;
const BINS = 1 << (31 - BIN_SHIFT);
/** Of so few, all are sorted. */
const FEW_SORTED = 64;

/**
 * Which of some weights, none of which is negative, stay (1) where the least ones are left out: as
 * many as have a sum of at most `most`, but never all. Of equal ones the first are left out first.
 */
export function heaviest(weights: Float64Array, most: number): Uint8Array {
  const stays = new Uint8Array(weights.length).fill(1);
  const { ids, mass } = critical(weights, most, stays);
  const isLess = (a: number, b: number) => weights[a]! - weights[b]! || a - b;
  let sum = mass;
  for (const i of ids.sort(isLess).slice(0, -1)) {
    sum += weights[i]!;
    if (sum > most) return stays;
    stays[i] = 0;
  }
  return stays;
}

/**
 * The weights among which is the first that stays, by their size, and the sum of lighter ones,
 * which do not stay.
 */
function critical(
  weights: Float64Array,
  most: number,
  stays: Uint8Array,
): { readonly ids: number[]; readonly mass: number } {
  if (weights.length <= FEW_SORTED) return { ids: [...weights.keys()], mass: 0 };
  const bins = binsOf(weights);
  const masses = new Float64Array(BINS);
  bins.forEach((bin, i) => (masses[bin]! += weights[i]!));
  const heaviestBin = bins.reduce((a, b) => Math.max(a, b));
  let mass = 0;
  let bin = 0;
  while (bin < heaviestBin && mass + masses[bin]! <= most) mass += masses[bin++]!;
  const ids: number[] = [];
  bins.forEach((own, i) => {
    if (own === bin) ids.push(i);
    else if (own < bin) stays[i] = 0;
  });
  // the last one of these stays, which need not be the last one of all
  if (bin < heaviestBin) ids.push(weights.findIndex((_, i) => bins[i]! > bin));
  return { ids, mass };
}

/** The upper bits of numbers that are not negative order them. */
function binsOf(weights: Float64Array): Uint16Array {
  const halves = new Uint32Array(weights.buffer, weights.byteOffset, 2 * weights.length);
  return Uint16Array.from(weights, (_, i) => halves[2 * i + 1]! >>> BIN_SHIFT);
}
