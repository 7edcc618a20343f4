/** The cubic convolution's parameter in PyTorch's bicubic interpolation (Keys 1981). */
const A = -0.75;
/** Learned positions that a position lies between, along each axis. */
const TAPS = 4;

/**
 * Positions of a square image of `to` patches as sums of those of one of `from` patches, both after
 * the class token's, as transformers interpolates them (bicubic, align_corners off, no
 * antialiasing). [to + 1, from + 1]
 */
export function positionMix(from: number, to: number): Float32Array {
  const [own, side] = [Math.sqrt(from), Math.sqrt(to)];
  const taps = axisTaps(own, side);
  const width = from + 1;
  const mix = new Float32Array((to + 1) * width);
  mix[0] = 1;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const start = (1 + y * side + x) * width + 1;
      for (const down of taps[y]!)
        for (const across of taps[x]!)
          mix[start + down.at * own + across.at]! += down.weight * across.weight;
    }
  }
  return mix;
}

interface Tap {
  readonly at: number;
  readonly weight: number;
}

/** For each of `to` places along an axis, the four nearest of `from`; those beyond are the last. */
function axisTaps(from: number, to: number): readonly (readonly Tap[])[] {
  return Array.from({ length: to }, (_, i) => {
    const center = ((i + 0.5) * from) / to - 0.5;
    const first = Math.floor(center) - 1;
    return Array.from({ length: TAPS }, (__, k) => ({
      at: Math.min(from - 1, Math.max(0, first + k)),
      weight: cubic(Math.abs(center - (first + k))),
    }));
  });
}

function cubic(x: number): number {
  if (x <= 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  return x < 2 ? ((A * x - 5 * A) * x + 8 * A) * x - 4 * A : 0;
}
