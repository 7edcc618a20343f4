// y = x Wᵀ for one to eight rounded rows x, TILE rows of W at a time: each vector holds four bytes of
// each of them, and is multiplied by four bytes of a row of x. Included after integer.h once per
// instruction set. Each number of y is a sum over units in one order, which depends neither on how
// many rows there are nor on where threads divide W.

#define LORA_INLINE inline __attribute__((always_inline))

// Indices of a shuffle that takes four of 32 bits from each 128 bits.
#if LORA_DOT == LORA_DOT_VNNI
#define LORA_QUARTERS(A, B, C, D)                                                                 \
  A, B, C, D, A + 4, B + 4, C + 4, D + 4, A + 8, B + 8, C + 8, D + 8, A + 12, B + 12, C + 12, D + 12
#elif LORA_DOT == LORA_DOT_NEON || LORA_DOT == LORA_DOT_NEON_DOT
#define LORA_QUARTERS(A, B, C, D) A, B, C, D
#else
#define LORA_QUARTERS(A, B, C, D) A, B, C, D, A + 4, B + 4, C + 4, D + 4
#endif

typedef uint32_t Quarter __attribute__((vector_size(16)));
LORA_INLINE Quarter quarter_at(const uint8_t* p) {
  Quarter v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// Sixteen bytes of every fourth row.
LORA_INLINE TileBits behind_each_other(const uint8_t* q, int64_t row_bytes) {
#if LORA_DOT == LORA_DOT_NEON || LORA_DOT == LORA_DOT_NEON_DOT
  return quarter_at(q);
#else
  typedef uint32_t Half __attribute__((vector_size(32)));
  const Half a = __builtin_shufflevector(quarter_at(q), quarter_at(q + 4 * row_bytes), 0, 1, 2, 3,
                                         4, 5, 6, 7);
#if LORA_DOT == LORA_DOT_VNNI
  const Half b = __builtin_shufflevector(quarter_at(q + 8 * row_bytes),
                                         quarter_at(q + 12 * row_bytes), 0, 1, 2, 3, 4, 5, 6, 7);
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#else
  return a;
#endif
#endif
}

// The bytes 4 j .. 4 j + 3 of rows of sixteen bytes into columns[j].
LORA_INLINE void transpose(const uint8_t* q, int64_t row_bytes, TileBits* columns) {
  TileBits four[4];
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) four[k] = behind_each_other(q + k * row_bytes, row_bytes);
  const TileBits
      a = __builtin_shufflevector(four[0], four[1], LORA_QUARTERS(0, TILE, 1, TILE + 1)),
      b = __builtin_shufflevector(four[2], four[3], LORA_QUARTERS(0, TILE, 1, TILE + 1)),
      c = __builtin_shufflevector(four[0], four[1], LORA_QUARTERS(2, TILE + 2, 3, TILE + 3)),
      d = __builtin_shufflevector(four[2], four[3], LORA_QUARTERS(2, TILE + 2, 3, TILE + 3));
  columns[0] = __builtin_shufflevector(a, b, LORA_QUARTERS(0, 1, TILE, TILE + 1));
  columns[1] = __builtin_shufflevector(a, b, LORA_QUARTERS(2, 3, TILE + 2, TILE + 3));
  columns[2] = __builtin_shufflevector(c, d, LORA_QUARTERS(0, 1, TILE, TILE + 1));
  columns[3] = __builtin_shufflevector(c, d, LORA_QUARTERS(2, 3, TILE + 2, TILE + 3));
}
#undef LORA_QUARTERS

// A word of each row.
LORA_INLINE TileBits words_at(const uint8_t* q, int64_t row_bytes) {
  TileBits v;
  for (int k = 0; k < TILE; k++) v[k] = word_at(q + k * row_bytes);
  return v;
}

// What the units of a block have in common, of each row.
struct TileBlocks {
  TileReals scale, minimum;
  // Scales and minima of whole numbers, four in a word, and fifth bits of levels.
  TileBits scales[4], minima[2], fifths[8];
};

// Eight scales and eight minima of six bits in 12 bytes, and fifth bits in 32.
template <BlockType TYPE>
LORA_INLINE void read_six_bits(const uint8_t* q, int64_t row_bytes, TileBlocks* b) {
  TileBits words[4];
  transpose(q, row_bytes, words);
  b->scale = halves_of(words[0], 0);
  b->minimum = -halves_of(words[0], 16);
  b->scales[0] = words[1] & 0x3f3f3f3f;
  b->minima[0] = words[2] & 0x3f3f3f3f;
  b->scales[1] = (words[3] & 0x0f0f0f0f) | (words[1] >> 6 & 0x03030303) << 4;
  b->minima[1] = (words[3] >> 4 & 0x0f0f0f0f) | (words[2] >> 6 & 0x03030303) << 4;
  if constexpr (TYPE == BlockType::Q5_K)
    for (int h = 0; h < 2; h++) transpose(q + 16 + 16 * h, row_bytes, b->fifths + 4 * h);
}

template <BlockType TYPE>
LORA_INLINE void read_blocks(const uint8_t* q, int64_t row_bytes, TileBlocks* b) {
  if constexpr (TYPE == BlockType::Q4_K || TYPE == BlockType::Q5_K) {
    read_six_bits<TYPE>(q, row_bytes, b);
  } else if constexpr (TYPE == BlockType::Q6_K) {
    b->scale = halves_of(words_at(q + 206, row_bytes), 16);
    transpose(q + 192, row_bytes, b->scales);
  } else if constexpr (TYPE == BlockType::IQ4_XS) {
    transpose(q, row_bytes, b->scales);
    b->scale = halves_of(b->scales[0], 0);
  } else if constexpr (TYPE == BlockType::MXFP4) {
    const TileBits power = words_at(q, row_bytes) & 255, small = TileBits{} + 0x200000u << power;
    b->scale = (TileReals)(power < 2 ? small : (power - 1) << 23);
  } else {
    const TileBits words = words_at(q, row_bytes);
    b->scale = halves_of(words, 0);
    if constexpr (LevelsOf<TYPE>::HAS_MINIMUM) b->minimum = halves_of(words, 16);
  }
  if constexpr (TYPE == BlockType::Q5_0 || TYPE == BlockType::Q5_1) {
    // bit i of four as 16 in byte i
    const TileBits bits = words_at(q + (TYPE == BlockType::Q5_0 ? 2 : 4), row_bytes);
    for (int j = 0; j < 8; j++)
      b->fifths[j] = ((bits >> 4 * j & 15) * 0x204081 & 0x01010101) << 4;
  }
}

// The scales and the minimum of a unit.
struct TileFactors {
  TileReals scale[2], minimum;
};
template <BlockType TYPE>
LORA_INLINE TileFactors factors_of(const TileBlocks& b, int unit) {
  if constexpr (TYPE == BlockType::Q4_K || TYPE == BlockType::Q5_K) {
    const int word = unit / 4, shift = 8 * (unit % 4);
    return {{b.scale * real((TileInts)(b.scales[word] >> shift & 255)), TileReals{}},
            b.minimum * real((TileInts)(b.minima[word] >> shift & 255))};
  }
  if constexpr (TYPE == BlockType::Q6_K) {
    const TileInts words = (TileInts)b.scales[unit / 2] << (16 - unit % 2 * 16);
    return {{b.scale * real(words << 8 >> 24), b.scale * real(words >> 24)}, TileReals{}};
  }
  if constexpr (TYPE == BlockType::IQ4_XS) {
    const TileBits low = b.scales[1] >> 4 * unit & 15, high = b.scales[0] >> 16 + 2 * unit & 3;
    return {{b.scale * real((TileInts)(low | high << 4) - 32), TileReals{}}, TileReals{}};
  }
  return {{b.scale, TileReals{}}, b.minimum};
}

// The units whose levels stand in the same bytes.
constexpr int units_together(BlockType type) {
  return type == BlockType::Q6_K                               ? 4
         : type == BlockType::Q4_K || type == BlockType::Q5_K ? 2
                                                              : 1;
}

// The bytes of these units, from the one with number `first` on.
template <BlockType TYPE>
LORA_INLINE void read_bytes(const uint8_t* q, int64_t row_bytes, int first, TileBits* bytes) {
  constexpr int SKIPPED = TYPE == BlockType::MXFP4                                    ? 1
                          : TYPE == BlockType::Q4_1                                   ? 4
                          : TYPE == BlockType::Q5_0                                   ? 6
                          : TYPE == BlockType::Q5_1 || TYPE == BlockType::IQ4_XS ? 8
                          : TYPE == BlockType::Q4_K                                   ? 16
                          : TYPE == BlockType::Q5_K                                   ? 48
                          : TYPE == BlockType::Q6_K                                   ? 0
                                                                                      : 2;
  constexpr int VECTORS = TYPE == BlockType::Q6_K                                    ? 4
                          : units_together(TYPE) == 2 || TYPE == BlockType::Q8_0 ? 2
                                                                                     : 1;
#pragma clang loop unroll(full)
  for (int v = 0; v < VECTORS; v++)
    transpose(q + SKIPPED + 16 * (first + v), row_bytes, bytes + 4 * v);
  if constexpr (TYPE == BlockType::Q6_K)  // the upper bits
    for (int v = 0; v < 2; v++)
      transpose(q + 128 + 8 * first + 16 * v, row_bytes, bytes + 16 + 4 * v);
}

// Four levels 4 j .. 4 j + 3 of each row of unit u of these units.
template <BlockType TYPE>
LORA_INLINE TileBits column_of(const TileBlocks& b, const TileBits* bytes, int first, int u, int j) {
  constexpr uint32_t LOW = 0x0f0f0f0f;
  if constexpr (TYPE == BlockType::Q8_0) return bytes[j] ^ 0x80808080;
  if constexpr (TYPE == BlockType::Q4_K) return bytes[j] >> 4 * u & LOW;
  if constexpr (TYPE == BlockType::Q5_K)
    return (bytes[j] >> 4 * u & LOW) | (b.fifths[j] >> first + u & 0x01010101) << 4;
  if constexpr (TYPE == BlockType::Q6_K)
    return (bytes[u % 2 * 8 + j] >> u / 2 * 4 & LOW) |
           (bytes[16 + j] >> 2 * u & 0x03030303) << 4;
  const TileBits nibbles = bytes[j % 4] >> j / 4 * 4 & LOW;
  if constexpr (TYPE == BlockType::Q5_0 || TYPE == BlockType::Q5_1) return nibbles | b.fifths[j];
  if constexpr (TYPE == BlockType::IQ4_NL || TYPE == BlockType::IQ4_XS)
    return steps_at(IQ4_LEVELS, nibbles);
  if constexpr (TYPE == BlockType::MXFP4) return steps_at(MXFP4_LEVELS, nibbles);
  return nibbles;
}

// y[r][k] += unit of row r of R rows of x · the same unit of row k of W.
template <BlockType TYPE, int R>
LORA_INLINE void add_unit(const TileBits* columns, const TileFactors& factors, const RoundedUnit* x,
                          TileReals* sums) {
#pragma clang loop unroll(full)
  for (int r = 0; r < R; r++) {
    const RoundedUnit& own = x[r];
    if constexpr (LevelsOf<TYPE>::SCALES == 2)
      sums[r] += real(dot<TYPE, 4>(columns, own.levels, own.sums[0])) *
                     (factors.scale[0] * own.scale) +
                 real(dot<TYPE, 4>(columns + 4, own.levels + LANES, own.sums[1])) *
                     (factors.scale[1] * own.scale);
    else
      sums[r] += real(dot<TYPE, 8>(columns, own.levels, own.sums[0] + own.sums[1])) *
                 (factors.scale[0] * own.scale);
    if constexpr (LevelsOf<TYPE>::HAS_MINIMUM) sums[r] += factors.minimum * own.total;
  }
}

// y[r][k] = row r of R rows of x · row k of TILE rows of W.
template <BlockType TYPE, int R>
inline void outputs_of_tile(const uint8_t* q, int64_t row_bytes, int64_t units, const RoundedUnit* x,
                            TileReals* y) {
  constexpr BlockSize size = size_of_block(TYPE);
  constexpr int PER_BLOCK = size.values / UNIT, TOGETHER = units_together(TYPE),
                BYTES = TILE * size.bytes * TOGETHER / PER_BLOCK;
  TileReals sums[R] = {};
  // As many rows after these are fetched meanwhile, in as many steps.
  const uint8_t* ahead = q + ahead_of(TILE * row_bytes);
  for (int64_t block = 0; block < units; block += PER_BLOCK, q += size.bytes) {
    TileBlocks shared;
    read_blocks<TYPE>(q, row_bytes, &shared);
#pragma clang loop unroll(disable)
    for (int first = 0; first < PER_BLOCK; first += TOGETHER, ahead += BYTES) {
      for (int line = 0; line < BYTES; line += 64) __builtin_prefetch(ahead + line, 0, 2);
      TileBits bytes[24];
      read_bytes<TYPE>(q, row_bytes, first, bytes);
#pragma clang loop unroll(full)
      for (int u = 0; u < TOGETHER; u++, x += R) {
        TileBits columns[8];
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; j++) columns[j] = column_of<TYPE>(shared, bytes, first, u, j);
        add_unit<TYPE, R>(columns, factors_of<TYPE>(shared, first + u), x, sums);
      }
    }
  }
  for (int r = 0; r < R; r++) y[r] = sums[r];
}

#undef LORA_INLINE
