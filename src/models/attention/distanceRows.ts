import type { DistanceSpec } from '../../formats/architecture/spec';

/**
 * The table's row for each distance of query and key, from length - 1 down to -(length - 1), or the
 * other way round (`make_log_bucket_position` of transformers, in f32).
 */
export function distanceRows(
  { span, buckets, max_distance }: DistanceSpec,
  length: number,
  isFalling: boolean,
): Int32Array {
  return Int32Array.from({ length: 2 * length - 1 }, (_, i) => {
    const distance = isFalling ? length - 1 - i : i - (length - 1);
    const bucket = buckets > 0 ? logBucket(distance, buckets, max_distance) : distance;
    return Math.min(2 * span - 1, Math.max(0, bucket + span));
  });
}

/** Distances up to half of the buckets have one each; those beyond share one by their logarithm. */
function logBucket(distance: number, buckets: number, max_distance: number): number {
  const half = Math.floor(buckets / 2);
  const size = Math.abs(distance);
  if (size <= half) return distance;
  const log = (x: number) => Math.fround(Math.log(Math.fround(x)));
  const share = Math.fround(log(size / half) / log((max_distance - 1) / half));
  return Math.sign(distance) * (Math.ceil(Math.fround(share * (half - 1))) + half);
}
