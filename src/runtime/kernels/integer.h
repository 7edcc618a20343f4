// Rows that are rounded to whole numbers (`RoundedRows`), the bytes of blocks, and products of both:
// as llama.cpp multiplies, by products of bytes that are summed exactly in 32 bits within each unit
// of 32 values. Included after blocks.h once per instruction set, which LORA_DOT names.

#define LORA_INLINE inline __attribute__((always_inline))

// Rows of W that are multiplied at a time, each by one number of a vector.
#if LORA_DOT == LORA_DOT_VNNI
constexpr int TILE = 16;
#elif LORA_DOT == LORA_DOT_NEON || LORA_DOT == LORA_DOT_NEON_DOT
constexpr int TILE = 4;
#else
constexpr int TILE = 8;
#endif

typedef uint8_t TileBytes __attribute__((vector_size(4 * TILE)));
typedef int8_t TileSigned __attribute__((vector_size(4 * TILE)));
typedef uint32_t TileBits __attribute__((vector_size(4 * TILE)));
typedef int32_t TileInts __attribute__((vector_size(4 * TILE)));
typedef float TileReals __attribute__((vector_size(4 * TILE)));

LORA_INLINE TileReals real(TileInts v) { return __builtin_convertvector(v, TileReals); }

// What the bytes of a type stand for: value = scale · (level - zero) + minimum.
template <BlockType TYPE>
struct LevelsOf {
  static constexpr int ZERO = TYPE == BlockType::Q4_0    ? 8
                              : TYPE == BlockType::MXFP4 ? 12
                              : TYPE == BlockType::Q5_0  ? 16
                              : TYPE == BlockType::Q6_K  ? 32
                              : TYPE == BlockType::Q8_0 || TYPE == BlockType::IQ4_NL ||
                                      TYPE == BlockType::IQ4_XS
                                  ? 128
                                  : 0;
  static constexpr int MOST = TYPE == BlockType::MXFP4                              ? 24
                              : TYPE == BlockType::Q5_0 || TYPE == BlockType::Q5_1 ||
                                      TYPE == BlockType::Q5_K
                                  ? 31
                              : TYPE == BlockType::Q6_K ? 63
                              : ZERO == 128             ? 255
                                                        : 15;
  static constexpr bool HAS_MINIMUM = TYPE == BlockType::Q4_1 || TYPE == BlockType::Q5_1 ||
                                      TYPE == BlockType::Q4_K || TYPE == BlockType::Q5_K;
  // Scales of a unit.
  static constexpr int SCALES = TYPE == BlockType::Q6_K ? 2 : 1;
};

// The sums of the COUNT columns of (level - ZERO) times as many fours of x, one for each row of W.
// `sum`: of these numbers of x.
template <BlockType TYPE, int COUNT>
LORA_INLINE TileInts dot(const TileBits* columns, const int8_t* x, int32_t sum) {
  constexpr int ZERO = LevelsOf<TYPE>::ZERO;
  int32_t fours[COUNT];
  std::memcpy(fours, x, sizeof(fours));
#if LORA_DOT == LORA_DOT_VNNI || LORA_DOT == LORA_DOT_AVX_VNNI
  TileInts total = TileInts{} - ZERO * sum;
#pragma clang loop unroll(full)
  for (int j = 0; j < COUNT; j++)
#if LORA_DOT == LORA_DOT_VNNI
    total = (TileInts)_mm512_dpbusd_epi32((__m512i)total, (__m512i)columns[j],
                                          _mm512_set1_epi32(fours[j]));
#else
    total = (TileInts)_mm256_dpbusd_avx_epi32((__m256i)total, (__m256i)columns[j],
                                              _mm256_set1_epi32(fours[j]));
#endif
  return total;
#elif LORA_DOT == LORA_DOT_AVX2
  // Sums of two products, and of as many columns as 16 bits hold. Levels of eight bits are
  // multiplied by |w| and ±x: |w| |x| <= 128 · 127.
  constexpr int MOST = ZERO == 128 ? 128 : LevelsOf<TYPE>::MOST, FIT = 32767 / (2 * 127 * MOST);
  TileInts total = {};
#pragma clang loop unroll(full)
  for (int from = 0; from < COUNT; from += FIT) {
    __m256i pairs = {};
#pragma clang loop unroll(full)
    for (int j = from; j < from + FIT && j < COUNT; j++) {
      __m256i a = (__m256i)columns[j], b = _mm256_set1_epi32(fours[j]);
      if constexpr (ZERO == 128) {
        const __m256i w = (__m256i)(columns[j] ^ 0x80808080);
        a = _mm256_abs_epi8(w);
        b = _mm256_sign_epi8(b, w);
      }
      const __m256i own = _mm256_maddubs_epi16(a, b);
      pairs = j == from ? own : _mm256_add_epi16(pairs, own);
    }
    total += (TileInts)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
  return ZERO == 128 ? total : total - ZERO * sum;
#elif LORA_DOT == LORA_DOT_NEON_DOT
  int32x4_t total = {};
#pragma clang loop unroll(full)
  for (int j = 0; j < COUNT; j++) {
    const TileSigned w = (TileSigned)((TileBytes)columns[j] - ZERO);
    total = vdotq_s32(total, (int8x16_t)w, vreinterpretq_s8_s32(vdupq_n_s32(fours[j])));
  }
  return (TileInts)total;
#elif LORA_DOT == LORA_DOT_NEON
  // Sums of as many products as 16 bits hold.
  constexpr int FIT = ZERO == 128 ? 2 : COUNT;
  TileInts total = {};
#pragma clang loop unroll(full)
  for (int from = 0; from < COUNT; from += FIT) {
    int16x8_t low = {}, high = {};
#pragma clang loop unroll(full)
    for (int j = from; j < from + FIT; j++) {
      const int8x16_t w = (int8x16_t)((TileBytes)columns[j] - ZERO),
                      four = vreinterpretq_s8_s32(vdupq_n_s32(fours[j]));
      low = vmlal_s8(low, vget_low_s8(w), vget_low_s8(four));
      high = vmlal_s8(high, vget_high_s8(w), vget_high_s8(four));
    }
    total += (TileInts)vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
  }
  return total;
#else
  TileInts total = {};
  for (int j = 0; j < COUNT; j++)
    for (int i = 0; i < 4 * TILE; i++)
      total[i / 4] += ((int)((columns[j][i / 4] >> (8 * (i % 4))) & 255) - ZERO) * x[4 * j + i % 4];
  return total;
#endif
}

// table[index] of whole numbers below sixteen.
LORA_INLINE TileBits steps_at(const uint8_t* table, TileBits index) {
#if LORA_DOT == LORA_DOT_VNNI
  const __m512i own = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)table));
  return (TileBits)_mm512_shuffle_epi8(own, (__m512i)index);
#elif LORA_DOT == LORA_DOT_AVX2 || LORA_DOT == LORA_DOT_AVX_VNNI
  const __m256i own = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)table));
  return (TileBits)_mm256_shuffle_epi8(own, (__m256i)index);
#elif LORA_DOT == LORA_DOT_NEON || LORA_DOT == LORA_DOT_NEON_DOT
  return (TileBits)vqtbl1q_u8(vld1q_u8(table), (uint8x16_t)index);
#else
  TileBytes v = (TileBytes)index;
  for (int i = 0; i < 4 * TILE; i++) v[i] = table[v[i]];
  return (TileBits)v;
#endif
}

// The numbers in half precision in the lower (`shift` 0) or upper halves of words (16).
LORA_INLINE TileReals halves_of(TileBits words, int shift) {
  words = words >> shift & 0xffff;
#if LORA_DOT == LORA_DOT_PLAIN
  TileReals v;
  for (int k = 0; k < TILE; k++) {
    const uint16_t bits = words[k];
    v[k] = half_at((const uint8_t*)&bits);
  }
  return v;
#else
  typedef uint16_t TileHalfBits __attribute__((vector_size(2 * TILE)));
  typedef _Float16 TileHalves __attribute__((vector_size(2 * TILE)));
  return __builtin_convertvector((TileHalves)__builtin_convertvector(words, TileHalfBits), TileReals);
#endif
}

LORA_INLINE Lanes lanes_from(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// Rounds 32 numbers to whole numbers of at most 127, times a scale: NaN unless all are finite.
LORA_INLINE void round_unit(const float* x, RoundedUnit* own) {
  const Lanes halves[2] = {lanes_from(x), lanes_from(x + LANES)};
  // numbers have the order of their bits, and what is not finite is above them
  const LaneBits a = (LaneBits)halves[0] & 0x7fffffff, b = (LaneBits)halves[1] & 0x7fffffff;
  const uint32_t bits = __builtin_reduce_max(a > b ? a : b);
  const float most = from_bits(bits);
  const bool isZero = !(most > 1e-30f);
  const float inverse = isZero ? 0 : 127 / most;
  own->scale = isZero ? 0 : most / 127;
  if (bits >= 0x7f800000) own->scale = NAN;
  for (int h = 0; h < 2; h++) {
    const Lanes moved = halves[h] * inverse + 12582912.0f;
    const LaneInts levels = (LaneInts)((LaneBits)moved - 0x4b400000u);
    const LaneSigned bytes = __builtin_convertvector(levels, LaneSigned);
    std::memcpy(own->levels + h * LANES, &bytes, sizeof(bytes));
    own->sums[h] = __builtin_reduce_add(levels);
  }
  own->total = own->scale * (float)(own->sums[0] + own->sums[1]);
}

// `rows` rows of x of some units: unit u of row r into into[u · stride + r].
inline void round_rows(int64_t rows, int64_t units, const float* x, int64_t stride,
                       RoundedUnit* into) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t u = 0; u < units; u++)
      round_unit(x + (r * units + u) * UNIT, into + u * stride + r);
}

#undef LORA_INLINE
