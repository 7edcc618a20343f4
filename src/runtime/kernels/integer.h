// y = x Wᵀ for few rows x that are rounded to whole numbers (`RoundedRows`), from the blocks of W: as
// llama.cpp multiplies, by products of bytes that are summed exactly in 32 bits within each unit of
// 32 values. Included after blocks.h once per instruction set, which LORA_DOT names. Each number of
// y is a sum over units in one order, which depends neither on how many rows there are nor on where
// threads divide W.

#define LORA_INLINE inline __attribute__((always_inline))

// What the bytes of a type stand for: value = scale · (level - zero) + minimum.
template <BlockType TYPE>
struct LevelsOf {
  static constexpr int ZERO = TYPE == BlockType::Q4_0                               ? 8
                              : TYPE == BlockType::Q5_0                             ? 16
                              : TYPE == BlockType::Q6_K                             ? 32
                              : TYPE == BlockType::Q8_0 || TYPE == BlockType::IQ4_NL ||
                                      TYPE == BlockType::IQ4_XS || TYPE == BlockType::MXFP4
                                  ? 128
                                  : 0;
  static constexpr bool HAS_MINIMUM = TYPE == BlockType::Q4_1 || TYPE == BlockType::Q5_1 ||
                                      TYPE == BlockType::Q4_K || TYPE == BlockType::Q5_K;
  // Scales of a unit.
  static constexpr int SCALES = TYPE == BlockType::Q6_K ? 2 : 1;
};

LORA_INLINE Levels joined(LaneBytes low, LaneBytes high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                                 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
}
LORA_INLINE Levels nibbles_at(const uint8_t* p) {
  const LaneBytes v = bytes_at(p);
  return joined(v & 15, v >> 4);
}
LORA_INLINE Levels levels_from(const uint8_t* p) {
  Levels v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// Bit i of `bits` as 16 in byte i.
LORA_INLINE Levels fifths_of(uint32_t bits) {
  const Levels powers = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                         1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const Levels four = (Levels)(LevelWords{} + bits);  // its four bytes, again and again
  const Levels own = __builtin_shufflevector(four, four, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1,
                                             1, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19,
                                             19, 19, 19);
  return (Levels)((own & powers) != 0) & 16;
}

// table[index] + 128 of sixteen whole numbers.
LORA_INLINE Levels steps_at(const uint8_t* table, Levels index) {
  Levels v;
#if LORA_DOT == LORA_DOT_AVX2 || LORA_DOT == LORA_DOT_VNNI || LORA_DOT == LORA_DOT_AVX_VNNI
  const LaneBytes own = bytes_at(table);
  v = (Levels)__builtin_ia32_pshufb256((SignedLevels)joined(own, own), (SignedLevels)index);
#else
  for (int i = 0; i < UNIT; i++) v[i] = table[index[i]];
#endif
  return v;
}

// The levels of the values 32 unit .. 32 unit + 31 of a block that begins at q.
template <BlockType TYPE>
LORA_INLINE Levels levels_at(const uint8_t* q, int unit) {
  if constexpr (TYPE == BlockType::Q4_0) return nibbles_at(q + 2);
  if constexpr (TYPE == BlockType::Q4_1) return nibbles_at(q + 4);
  if constexpr (TYPE == BlockType::Q5_0) return nibbles_at(q + 6) | fifths_of(word_at(q + 2));
  if constexpr (TYPE == BlockType::Q5_1) return nibbles_at(q + 8) | fifths_of(word_at(q + 4));
  if constexpr (TYPE == BlockType::Q8_0) return levels_from(q + 2) ^ 128;
  if constexpr (TYPE == BlockType::Q4_K)
    return levels_from(q + 16 + unit / 2 * 32) >> unit % 2 * 4 & 15;
  if constexpr (TYPE == BlockType::Q5_K)
    return (levels_from(q + 48 + unit / 2 * 32) >> unit % 2 * 4 & 15) |
           (levels_from(q + 16) >> unit & 1) << 4;
  if constexpr (TYPE == BlockType::Q6_K)
    return (levels_from(q + unit / 4 * 64 + unit % 2 * 32) >> unit % 4 / 2 * 4 & 15) |
           (levels_from(q + 128 + unit / 4 * 32) >> unit % 4 * 2 & 3) << 4;
  if constexpr (TYPE == BlockType::IQ4_NL) return steps_at(IQ4_LEVELS, nibbles_at(q + 2));
  if constexpr (TYPE == BlockType::IQ4_XS) return steps_at(IQ4_LEVELS, nibbles_at(q + 8 + unit * 16));
  return steps_at(MXFP4_LEVELS, nibbles_at(q + 1));
}

// The scales and the minimum of a unit.
struct Factors {
  float scale[2], minimum;
};
template <BlockType TYPE>
LORA_INLINE Factors factors_at(const uint8_t* q, int unit) {
  if constexpr (TYPE == BlockType::Q4_1 || TYPE == BlockType::Q5_1)
    return {{half_at(q), 0}, half_at(q + 2)};
  if constexpr (TYPE == BlockType::Q4_K || TYPE == BlockType::Q5_K)
    return {{half_at(q) * (float)scale_at(q + 4, unit), 0},
            -half_at(q + 2) * (float)minimum_at(q + 4, unit)};
  if constexpr (TYPE == BlockType::Q6_K) {
    const float d = half_at(q + 208);
    const int8_t* scales = (const int8_t*)q + 192 + 2 * unit;
    return {{d * (float)scales[0], d * (float)scales[1]}, 0};
  }
  if constexpr (TYPE == BlockType::IQ4_XS) {
    const int high = q[2] | q[3] << 8, low = q[4 + unit / 2] >> (unit % 2 * 4) & 15;
    return {{half_at(q) * (float)((low | (high >> (2 * unit) & 3) << 4) - 32), 0}, 0};
  }
  if constexpr (TYPE == BlockType::MXFP4)
    return {{from_bits(q[0] < 2 ? 0x200000u << q[0] : (uint32_t)(q[0] - 1) << 23), 0}, 0};
  return {{half_at(q), 0}, 0};
}

// Whether `dot` leaves `zero` in: then zero times the sum of x has to be taken away.
template <int ZERO>
constexpr bool leaves_zero() {
#if LORA_DOT == LORA_DOT_VNNI || LORA_DOT == LORA_DOT_AVX_VNNI
  return ZERO != 0;
#elif LORA_DOT == LORA_DOT_AVX2
  return ZERO != 0 && ZERO < 128;
#else
  return false;
#endif
}

// sum[i] + the products of four bytes of (level - ZERO) and of x.
template <int ZERO>
LORA_INLINE EightInts dot(EightInts sum, Levels level, SignedLevels x) {
#if LORA_DOT == LORA_DOT_VNNI
  return (EightInts)_mm256_dpbusd_epi32((__m256i)sum, (__m256i)level, (__m256i)x);
#elif LORA_DOT == LORA_DOT_AVX_VNNI
  return (EightInts)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)level, (__m256i)x);
#elif LORA_DOT == LORA_DOT_AVX2
  // Sums of two products stay within 16 bits, as levels are below 64, or else |w| |x| <= 128 · 127.
  __m256i a = (__m256i)level, b = (__m256i)x;
  if constexpr (ZERO == 128) {
    const __m256i w = (__m256i)(level ^ 128);
    a = _mm256_abs_epi8(w);
    b = _mm256_sign_epi8(b, w);
  }
  const __m256i pairs = _mm256_maddubs_epi16(a, b);
  return sum + (EightInts)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif LORA_DOT == LORA_DOT_NEON || LORA_DOT == LORA_DOT_NEON_DOT
  const SignedLevels w = (SignedLevels)(level - ZERO);
  HalfUnit ws[2], xs[2];
  FourInts sums[2];
  std::memcpy(ws, &w, sizeof(w));
  std::memcpy(xs, &x, sizeof(x));
  std::memcpy(sums, &sum, sizeof(sum));
  for (int k = 0; k < 2; k++) {
#if LORA_DOT == LORA_DOT_NEON_DOT
    sums[k] = vdotq_s32(sums[k], ws[k], xs[k]);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(ws[k]), vget_low_s8(xs[k])),
                    high = vmull_s8(vget_high_s8(ws[k]), vget_high_s8(xs[k]));
    sums[k] = vaddq_s32(sums[k], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
  }
  std::memcpy(&sum, sums, sizeof(sum));
  return sum;
#else
  for (int i = 0; i < UNIT; i++) sum[i / 4] += (level[i] - ZERO) * x[i];
  return sum;
#endif
}

// Sums of the first and of the second four numbers of each of eight vectors.
struct HalfSums {
  EightInts first, second;
};
LORA_INLINE EightInts neighbours_added(EightInts a, EightInts b) {
  return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}
LORA_INLINE HalfSums half_sums(const EightInts* v) {
  const EightInts a = neighbours_added(neighbours_added(v[0], v[1]), neighbours_added(v[2], v[3])),
                  b = neighbours_added(neighbours_added(v[4], v[5]), neighbours_added(v[6], v[7]));
  return {__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11),
          __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)};
}

LORA_INLINE EightReals real(EightInts v) { return __builtin_convertvector(v, EightReals); }
template <class V, class T>
LORA_INLINE V eight_at(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// Eight numbers of half precision that are `stride` bytes apart.
LORA_INLINE EightReals eight_halves(const uint8_t* p, int64_t stride) {
#if LORA_DOT == LORA_DOT_PLAIN
  EightReals v;
  for (int k = 0; k < 8; k++) v[k] = half_at(p + k * stride);
  return v;
#else
  EightHalves v;
  for (int k = 0; k < 8; k++) {
    _Float16 h;
    std::memcpy(&h, p + k * stride, sizeof(h));
    v[k] = h;
  }
  return __builtin_convertvector(v, EightReals);
#endif
}

// The factors of eight rows.
struct EightFactors {
  EightReals scale[2], minimum;
};
template <BlockType TYPE>
LORA_INLINE EightFactors eight_factors(const uint8_t* q, int64_t stride, int unit) {
  constexpr bool isPlain = TYPE == BlockType::Q4_0 || TYPE == BlockType::Q4_1 ||
                           TYPE == BlockType::Q5_0 || TYPE == BlockType::Q5_1 ||
                           TYPE == BlockType::Q8_0 || TYPE == BlockType::IQ4_NL;
  EightFactors all = {};
  if constexpr (isPlain) {
    all.scale[0] = eight_halves(q, stride);
    if constexpr (LevelsOf<TYPE>::HAS_MINIMUM) all.minimum = eight_halves(q + 2, stride);
    return all;
  }
  for (int k = 0; k < 8; k++) {
    const Factors own = factors_at<TYPE>(q + k * stride, unit);
    all.scale[0][k] = own.scale[0];
    all.scale[1][k] = own.scale[1];
    all.minimum[k] = own.minimum;
  }
  return all;
}

// y[k] = x · row k of eight rows of W.
template <BlockType TYPE>
LORA_INLINE EightReals eight_outputs(const uint8_t* q, int64_t row_bytes, int64_t units,
                                     const RoundedUnit* x) {
  constexpr BlockSize size = size_of_block(TYPE);
  constexpr int ZERO = LevelsOf<TYPE>::ZERO, PER_BLOCK = size.values / UNIT,
                UNIT_BYTES = size.bytes / PER_BLOCK;
  EightReals sum = {};
  // Eight rows after these are fetched meanwhile, in as many steps.
  const uint8_t* ahead = q + ahead_of(8 * row_bytes);
  for (int64_t u = 0; u < units; u += PER_BLOCK, q += size.bytes)
#pragma clang loop unroll(full)
    for (int unit = 0; unit < PER_BLOCK; unit++, ahead += 8 * UNIT_BYTES) {
      for (int line = 0; line < 8 * UNIT_BYTES; line += 64) __builtin_prefetch(ahead + line, 0, 2);
      const RoundedUnit& own = x[u + unit];
      const SignedLevels rounded = eight_at<SignedLevels>(own.levels);
      EightInts products[8];
#pragma clang loop unroll(full)
      for (int k = 0; k < 8; k++)
        products[k] = dot<ZERO>(EightInts{}, levels_at<TYPE>(q + k * row_bytes, unit), rounded);
      HalfSums sums = half_sums(products);
      if constexpr (leaves_zero<ZERO>()) {
        sums.first -= ZERO * own.sums[0];
        sums.second -= ZERO * own.sums[1];
      }
      const EightFactors factors = eight_factors<TYPE>(q, row_bytes, unit);
      if constexpr (LevelsOf<TYPE>::SCALES == 2)
        sum += real(sums.first) * (factors.scale[0] * own.scale) +
               real(sums.second) * (factors.scale[1] * own.scale);
      else
        sum += real(sums.first + sums.second) * (factors.scale[0] * own.scale);
      if constexpr (LevelsOf<TYPE>::HAS_MINIMUM) sum += factors.minimum * own.total;
    }
  return sum;
}

// Four levels of the first half of a unit and of the second, each four times.
template <int J>
LORA_INLINE Levels four_times(Levels levels) {
  const EightInts v = (EightInts)levels;
  return (Levels)__builtin_shufflevector(v, v, J, J, J, J, J + 4, J + 4, J + 4, J + 4);
}

// The products of one row of W with eight rows of x.
template <int ZERO>
LORA_INLINE HalfSums products_of_eight(Levels levels, const RoundedUnits& x) {
  EightInts a = {}, b = {};
  const auto add = [&](Levels own, int j) LORA_LAMBDA {
    a = dot<ZERO>(a, own, eight_at<SignedLevels>(x.levels[j][0]));
    b = dot<ZERO>(b, own, eight_at<SignedLevels>(x.levels[j][1]));
  };
  add(four_times<0>(levels), 0);
  add(four_times<1>(levels), 1);
  add(four_times<2>(levels), 2);
  add(four_times<3>(levels), 3);
  return {__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11),
          __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)};
}

// y[r] = row r of eight rows of x · one row of W.
template <BlockType TYPE>
LORA_INLINE EightReals outputs_of_eight(const uint8_t* q, int64_t row_bytes, int64_t units,
                                        const RoundedUnits* x) {
  constexpr BlockSize size = size_of_block(TYPE);
  constexpr int ZERO = LevelsOf<TYPE>::ZERO, PER_BLOCK = size.values / UNIT;
  EightReals sum = {};
  for (int64_t u = 0; u < units; u += PER_BLOCK, q += size.bytes)
#pragma clang loop unroll(full)
    for (int unit = 0; unit < PER_BLOCK; unit++) {
      __builtin_prefetch(q + row_bytes + unit * (size.bytes / PER_BLOCK), 0, 2);
      const RoundedUnits& own = x[u + unit];
      const HalfSums sums = products_of_eight<ZERO>(levels_at<TYPE>(q, unit), own);
      const Factors factors = factors_at<TYPE>(q, unit);
      const EightReals scale = eight_at<EightReals>(own.scale);
      const auto less = [&](EightInts product, const int32_t* of) LORA_LAMBDA {
        return leaves_zero<ZERO>() ? product - ZERO * eight_at<EightInts>(of) : product;
      };
      if constexpr (LevelsOf<TYPE>::SCALES == 2)
        sum += real(less(sums.first, own.sums[0])) * (factors.scale[0] * scale) +
               real(less(sums.second, own.sums[1])) * (factors.scale[1] * scale);
      else
        sum += real(less(sums.first + sums.second, own.both)) * (factors.scale[0] * scale);
      if constexpr (LevelsOf<TYPE>::HAS_MINIMUM)
        sum += factors.minimum * eight_at<EightReals>(own.total);
    }
  return sum;
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

// The units from .. to of up to eight rows of x, which are `width` numbers apart.
inline void round_units(int64_t from, int64_t to, int64_t rows, int64_t width, const float* x,
                        RoundedUnit* one, RoundedUnits* eight) {
  for (int64_t u = from; u < to; u++) {
    if (rows == 1) {
      round_unit(x + u * UNIT, one + u);
      continue;
    }
    RoundedUnits& all = eight[u];
    for (int64_t r = 0; r < 8; r++) {
      RoundedUnit own = {};
      if (r < rows) round_unit(x + r * width + u * UNIT, &own);
      for (int j = 0; j < 8; j++)
        std::memcpy(&all.levels[j % 4][r / 4][16 * (j / 4) + 4 * (r % 4)], own.levels + 4 * j, 4);
      for (int h = 0; h < 2; h++) all.sums[h][r] = own.sums[h];
      all.both[r] = own.sums[0] + own.sums[1];
      all.scale[r] = own.scale;
      all.total[r] = own.total;
    }
  }
}

#undef LORA_INLINE
