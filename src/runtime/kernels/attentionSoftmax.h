// The softmax of the scores of a band, and its gradient. Included by attention.h.

#define LORA_INLINE inline __attribute__((always_inline))

LORA_INLINE Lanes all_lanes(float x) { return (Lanes){} + x; }
LORA_INLINE Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }

// `exponential` of each lane.
LORA_INLINE Lanes exponentials(Lanes x) {
  x = x < all_lanes(-87.0f) ? all_lanes(-87.0f) : x;
  x = x > all_lanes(88.0f) ? all_lanes(88.0f) : x;
  const Lanes n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
  const Lanes f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = all_lanes(1.9875691500e-4f);
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  const LaneInts exponent = (__builtin_convertvector(n, LaneInts) + 127) << 23;
  return (p * f * f + f + 1.0f) * (Lanes)exponent;
}

// The lanes from `width` on, in place of those before.
LORA_INLINE Lanes upper_half(Lanes v, int64_t width) {
  switch (width) {
    case 8:
      return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14,
                                     15);
    case 4:
      return __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    case 2:
      return __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
    default:
      return __builtin_shufflevector(v, v, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
  }
}
LORA_INLINE float largest_lane(Lanes v) {
#pragma clang loop unroll(full)
  for (int width = LANES / 2; width > 0; width /= 2) v = larger(v, upper_half(v, width));
  return v[0];
}

// tanhf of Cephes.
LORA_INLINE float hyperbolic_tangent(float x) {
  const float size = x < 0 ? -x : x, z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float small = p * z * x + x, large = 1.0f - 2.0f / (exponential(2.0f * size) + 1.0f);
  return size < 0.625f ? small : x < 0 ? -large : large;
}

// Hides those scores [queries, keys] of a band of a block that its queries do not see.
inline void hide(const Attention& a, int64_t sequence, const Block& block, const Band& band,
                 float* scores) {
  const int64_t last = std::min(a.keys - block.key, block.keys);
  const int32_t* own = a.key_ids ? a.key_ids + sequence * a.keys + block.key : nullptr;
  for (int64_t r = band.row; r < band.row + band.rows; r++) {
    const int64_t position = block.query + a.first + r;
    float* row = scores + r * block.keys;
    int64_t from = band.keys.from, to = std::min(last, band.keys.to);
    if (a.causal) to = std::min(to, position - block.key + 1);
    if (a.window > 0) {
      from = std::max(from, position - a.window + 1 - block.key);
      to = std::min(to, position + a.window - block.key);
    }
    from = std::min(from, band.keys.to);
    to = std::max(from, to);
    for (int64_t i = band.keys.from; i < from; i++) row[i] = HIDDEN;
    for (int64_t i = to; i < band.keys.to; i++) row[i] = HIDDEN;
    if (!own || position >= a.keys) continue;
    const int32_t id = a.query_ids[sequence * a.keys + position];
    for (int64_t i = from; i < to; i++) row[i] = own[i] == id ? row[i] : HIDDEN;
  }
}

// The scores of a band into e^(score - largest so far), which is kept of each row with the sum.
LORA_INLINE void soften(const Attention& a, const Band& band, float* scores, float* o,
                        float* largest_so_far, float* sums) {
  const int64_t keys = band.keys.to - band.keys.from;
  for (int64_t r = band.row; r < band.row + band.rows; r++) {
    float* row = scores + r * a.block_keys + band.keys.from;
    Lanes most = lanes_at(row);
    for (int64_t i = LANES; i < keys; i += LANES) most = larger(lanes_at(row + i), most);
    const float before = largest_so_far[r], top = std::max(before, largest_lane(most));
    Lanes totals = {};
    for (int64_t i = 0; i < keys; i += LANES) {
      const Lanes e = exponentials(lanes_at(row + i) - top);
      totals += e;
      std::memcpy(row + i, &e, sizeof(e));
    }
    const float kept = before == top ? 1.0f : exponential(before - top);
    sums[r] = sums[r] * kept + total(totals);
    largest_so_far[r] = top;
    if (kept != 1.0f)
      for (int64_t i = 0; i < a.width; i++) o[r * a.width + i] *= kept;
  }
}

LORA_INLINE void cap(const Attention& a, const Band& band, float* scores) {
  if (a.softcap <= 0) return;
  for (int64_t r = band.row; r < band.row + band.rows; r++)
    for (int64_t i = r * a.block_keys + band.keys.from; i < r * a.block_keys + band.keys.to; i++)
      scores[i] = a.softcap * hyperbolic_tangent(scores[i] / a.softcap);
}

// The softcap of the scores of a band, and its slope at each.
LORA_INLINE void cap_with_slope(const Attention& a, const Band& band, float* scores,
                                float* slopes) {
  for (int64_t r = band.row; r < band.row + band.rows; r++)
    for (int64_t i = r * a.block_keys + band.keys.from; i < r * a.block_keys + band.keys.to; i++) {
      const float t = hyperbolic_tangent(scores[i] / a.softcap);
      scores[i] = a.softcap * t;
      slopes[i] = 1.0f - t * t;
    }
}

// Of the rows of a block that exist: the largest score and the inverse of the sum, and sum(dO · o).
struct RowStats {
  int64_t count;
  const float *stats, *dots;
};

// The scores of a band into probabilities p, and dp into the gradient of the scores. Both are 0 in
// rows that do not exist.
LORA_INLINE void softmax_gradient(const Attention& a, const Band& band, const RowStats& rows,
                                  float* scores, float* dp) {
  const int64_t keys = band.keys.to - band.keys.from;
  for (int64_t r = band.row; r < band.row + band.rows; r++) {
    float *s = scores + r * a.block_keys + band.keys.from,
          *d = dp + r * a.block_keys + band.keys.from;
    if (r >= rows.count) {
      std::fill(s, s + keys, 0.0f);
      std::fill(d, d + keys, 0.0f);
      continue;
    }
    const float top = rows.stats[2 * r], inverse = rows.stats[2 * r + 1], dot = rows.dots[r];
    for (int64_t i = 0; i < keys; i += LANES) {
      const Lanes p = exponentials(lanes_at(s + i) - top) * inverse,
                  ds = p * (lanes_at(d + i) - dot);
      std::memcpy(s + i, &p, sizeof(p));
      std::memcpy(d + i, &ds, sizeof(ds));
    }
  }
}

LORA_INLINE void scale_by_slopes(const Attention& a, const Band& band, const float* slopes,
                                 float* ds) {
  for (int64_t r = band.row; r < band.row + band.rows; r++)
    for (int64_t i = r * a.block_keys + band.keys.from; i < r * a.block_keys + band.keys.to; i++)
      ds[i] *= slopes[i];
}

#undef LORA_INLINE
