// y = x Wᵀ for two to eight rounded rows x, sixteen rows of W at a time: each vector holds four bytes
// of each of them, and is multiplied by four bytes of a row of x. Included after integer.h where
// vectors have 512 bits. Each number of y is the sum of `outputs_of_eight`, term by term.

#define LORA_INLINE inline __attribute__((always_inline))

// Whether tiles are faster than single rows of W: where the factors of a unit take long, they are
// not.
constexpr bool has_tiles(BlockType type) {
  return type != BlockType::Q4_K && type != BlockType::Q5_K && type != BlockType::IQ4_XS;
}

typedef int32_t Quarter __attribute__((vector_size(16)));

// Four rows of sixteen bytes behind each other.
LORA_INLINE LaneInts behind_each_other(LaneBytes a, LaneBytes b, LaneBytes c, LaneBytes d) {
  const EightInts ab = __builtin_shufflevector((Quarter)a, (Quarter)b, 0, 1, 2, 3, 4, 5, 6, 7),
                  cd = __builtin_shufflevector((Quarter)c, (Quarter)d, 0, 1, 2, 3, 4, 5, 6, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

#define LORA_PAIRS(A, B)                                                                        \
  A, A + 16, B, B + 16, A + 4, A + 20, B + 4, B + 20, A + 8, A + 24, B + 8, B + 24, A + 12, A + 28, \
      B + 12, B + 28
#define LORA_HALVES(A)                                                                            \
  A, A + 1, A + 16, A + 17, A + 4, A + 5, A + 20, A + 21, A + 8, A + 9, A + 24, A + 25, A + 12,   \
      A + 13, A + 28, A + 29

// The bytes 4 j .. 4 j + 3 of sixteen rows of sixteen bytes into columns[j].
LORA_INLINE void transpose(const LaneBytes* rows, LaneBits* columns) {
  LaneInts four[4];
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++)
    four[k] = behind_each_other(rows[k], rows[k + 4], rows[k + 8], rows[k + 12]);
  const LaneInts a = __builtin_shufflevector(four[0], four[1], LORA_PAIRS(0, 1)),
                 b = __builtin_shufflevector(four[2], four[3], LORA_PAIRS(0, 1)),
                 c = __builtin_shufflevector(four[0], four[1], LORA_PAIRS(2, 3)),
                 d = __builtin_shufflevector(four[2], four[3], LORA_PAIRS(2, 3));
  columns[0] = (LaneBits)__builtin_shufflevector(a, b, LORA_HALVES(0));
  columns[1] = (LaneBits)__builtin_shufflevector(a, b, LORA_HALVES(2));
  columns[2] = (LaneBits)__builtin_shufflevector(c, d, LORA_HALVES(0));
  columns[3] = (LaneBits)__builtin_shufflevector(c, d, LORA_HALVES(2));
}
#undef LORA_PAIRS
#undef LORA_HALVES

// The levels 4 j .. 4 j + 3 of a unit of sixteen rows, whose blocks begin at q, into columns[j].
template <BlockType TYPE>
LORA_INLINE void columns_at(const uint8_t* q, int64_t row_bytes, int unit, LaneBits* columns) {
  LaneBytes low[LANES], high[LANES];
  if constexpr (TYPE == BlockType::Q4_0 || TYPE == BlockType::Q4_1) {
#pragma clang loop unroll(full)
    for (int k = 0; k < LANES; k++)
      low[k] = bytes_at(q + k * row_bytes + (TYPE == BlockType::Q4_0 ? 2 : 4));
    transpose(low, columns);
    for (int j = 0; j < 4; j++) {
      columns[j + 4] = columns[j] >> 4 & 0x0f0f0f0f;
      columns[j] &= 0x0f0f0f0f;
    }
  } else if constexpr (TYPE == BlockType::Q8_0) {
#pragma clang loop unroll(full)
    for (int k = 0; k < LANES; k++) {
      low[k] = bytes_at(q + k * row_bytes + 2);
      high[k] = bytes_at(q + k * row_bytes + 18);
    }
    transpose(low, columns);
    transpose(high, columns + 4);
    for (int j = 0; j < 8; j++) columns[j] ^= 0x80808080;
  } else {
#pragma clang loop unroll(full)
    for (int k = 0; k < LANES; k++) {
      const Levels own = levels_at<TYPE>(q + k * row_bytes, unit);
      low[k] = __builtin_shufflevector(own, own, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      high[k] = __builtin_shufflevector(own, own, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                                        29, 30, 31);
    }
    transpose(low, columns);
    transpose(high, columns + 4);
  }
}

// The factors of sixteen rows.
struct TileFactors {
  Lanes scale[2], minimum;
};
LORA_INLINE Lanes both(EightReals a, EightReals b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
// The halves of sixteen words: the lower ones for a shift of 0, the upper ones for 16.
LORA_INLINE Lanes halves_of(LaneBits words, int shift) {
  typedef _Float16 TileHalves __attribute__((vector_size(2 * LANES)));
  const auto bits = __builtin_convertvector(words >> shift & 0xffff, LaneHalves);
  return __builtin_convertvector((TileHalves)bits, Lanes);
}
template <BlockType TYPE>
LORA_INLINE TileFactors tile_factors(const uint8_t* q, int64_t row_bytes, int unit) {
  if constexpr (TYPE == BlockType::Q4_1 || TYPE == BlockType::Q5_1) {
    LaneBits words;
    for (int k = 0; k < LANES; k++) words[k] = word_at(q + k * row_bytes);
    return {{halves_of(words, 0), Lanes{}}, halves_of(words, 16)};
  }
  const EightFactors a = eight_factors<TYPE>(q, row_bytes, unit),
                     b = eight_factors<TYPE>(q + 8 * row_bytes, row_bytes, unit);
  return {{both(a.scale[0], b.scale[0]), both(a.scale[1], b.scale[1])},
          both(a.minimum, b.minimum)};
}

LORA_INLINE Lanes real(LaneInts v) { return __builtin_convertvector(v, Lanes); }

// start + the products of the columns from .. from + COUNT - 1 and of the row r of x.
template <int COUNT>
LORA_INLINE LaneInts tile_dot(int start, const LaneBits* columns, const RoundedUnits& x, int r,
                              int from) {
  LaneInts sum = LaneInts{} + start;
#pragma clang loop unroll(full)
  for (int j = from; j < from + COUNT; j++) {
    int32_t four;
    std::memcpy(&four, &x.levels[j % 4][r / 4][16 * (j / 4) + 4 * (r % 4)], sizeof(four));
    sum = (LaneInts)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)columns[j], _mm512_set1_epi32(four));
  }
  return sum;
}

// y[r][k] = row r of up to R rows of x · row k of sixteen rows of W.
template <BlockType TYPE, int R>
LORA_INLINE void outputs_of_tile(const uint8_t* q, int64_t row_bytes, int64_t units,
                                 const RoundedUnits* x, Lanes* y) {
  constexpr BlockSize size = size_of_block(TYPE);
  constexpr int ZERO = LevelsOf<TYPE>::ZERO, PER_BLOCK = size.values / UNIT,
                UNIT_BYTES = size.bytes / PER_BLOCK;
  Lanes sums[R] = {};
  // Sixteen rows after these are fetched meanwhile, in as many steps.
  const uint8_t* ahead = q + ahead_of(LANES * row_bytes);
  for (int64_t u = 0; u < units; u += PER_BLOCK, q += size.bytes)
#pragma clang loop unroll(full)
    for (int unit = 0; unit < PER_BLOCK; unit++, ahead += LANES * UNIT_BYTES) {
      for (int line = 0; line < LANES * UNIT_BYTES; line += 64)
        __builtin_prefetch(ahead + line, 0, 2);
      const RoundedUnits& own = x[u + unit];
      LaneBits columns[8];
      columns_at<TYPE>(q, row_bytes, unit, columns);
      const TileFactors factors = tile_factors<TYPE>(q, row_bytes, unit);
#pragma clang loop unroll(full)
      for (int r = 0; r < R; r++) {
        if constexpr (LevelsOf<TYPE>::SCALES == 2)
          sums[r] += real(tile_dot<4>(-ZERO * own.sums[0][r], columns, own, r, 0)) *
                         (factors.scale[0] * own.scale[r]) +
                     real(tile_dot<4>(-ZERO * own.sums[1][r], columns, own, r, 4)) *
                         (factors.scale[1] * own.scale[r]);
        else
          sums[r] += real(tile_dot<8>(-ZERO * own.both[r], columns, own, r, 0)) *
                     (factors.scale[0] * own.scale[r]);
        if constexpr (LevelsOf<TYPE>::HAS_MINIMUM) sums[r] += factors.minimum * own.total[r];
      }
    }
  for (int r = 0; r < R; r++) y[r] = sums[r];
}

// The outputs of as many whole tiles as there are from `from` on; returns their end.
template <BlockType TYPE>
LORA_INLINE int64_t tiles_rounded(int64_t from, int64_t to, int64_t rows, int64_t units,
                                  int64_t row_bytes, int64_t out, const RoundedUnits* x,
                                  const uint8_t* q, float* y) {
  for (; from + LANES <= to; from += LANES) {
    Lanes sums[8];
    if (rows <= 4)
      outputs_of_tile<TYPE, 4>(q + from * row_bytes, row_bytes, units, x, sums);
    else
      outputs_of_tile<TYPE, 8>(q + from * row_bytes, row_bytes, units, x, sums);
    for (int64_t r = 0; r < rows; r++) std::memcpy(y + r * out + from, &sums[r], sizeof(sums[r]));
  }
  return from;
}

#undef LORA_INLINE
