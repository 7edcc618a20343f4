/** Samples of one colour component. */
export interface Plane {
  readonly width: number;
  readonly height: number;
  /** From one row of samples to the next. */
  readonly stride: number;
  readonly samples: ArrayLike<number>;
}

/** Below this width, libjpeg repeats samples of two pixels across. */
const LEAST_WIDTH = 3;

/**
 * Fills in the samples between those of a thinned component, as libjpeg does (jdsample.c): with a
 * triangle filter ("fancy upsampling"), so that each is three parts of the nearest sample and one
 * of the next nearest, along each thinned side; more than two pixels share their sample.
 *
 * @param factors How many pixels across and down share a sample: whole numbers.
 * @param size Width and height of the result.
 * @returns [height, width]
 */
export function upsampled(
  plane: Plane,
  [byX, byY]: readonly [number, number],
  [width, height]: readonly [number, number],
): Uint8Array {
  const { samples, stride } = plane;
  const result = new Uint8Array(width * height);
  const repeats = byX > 2 || byY > 2 || byX * byY === 1 || (byX === 2 && plane.width < LEAST_WIDTH);
  for (let y = 0; y < height; y++) {
    const near = Math.floor(y / byY) * stride;
    const next = neighbour(y, byY, plane.height) * stride;
    // the sum of a column has a weight of 4, or 1 where the rows are not thinned
    const column = (x: number): number =>
      byY === 1 ? samples[near + x]! : 3 * samples[near + x]! + samples[next + x]!;
    for (let x = 0; x < width; x++) {
      const own = Math.floor(x / byX);
      const to = y * width + x;
      if (repeats) result[to] = samples[near + own]!;
      else if (byX === 1) result[to] = (column(own) + (y % 2 === 0 ? 1 : 2)) >> 2;
      else
        result[to] = acrossTwo(column(own), column(neighbour(x, 2, plane.width)), {
          isLeft: x % 2 === 0,
          isThinnedDown: byY === 2,
        });
    }
  }
  return result;
}

/** The sample next to the nearest one of a pixel; at an edge, the nearest itself. */
function neighbour(pixel: number, by: number, samples: number): number {
  const near = Math.floor(pixel / by);
  return Math.min(samples - 1, Math.max(0, near + (pixel % 2 === 0 ? -1 : 1)));
}

interface Position {
  readonly isLeft: boolean;
  readonly isThinnedDown: boolean;
}

/** Rounds up and down by turns, so that no side is favoured. */
function acrossTwo(own: number, next: number, { isLeft, isThinnedDown }: Position): number {
  if (isThinnedDown) return (3 * own + next + (isLeft ? 8 : 7)) >> 4;
  return (3 * own + next + (isLeft ? 1 : 2)) >> 2;
}
