// Quantized weights: blocks of ggml's types (ggml-common.h) to their values. Included after rows.h
// once per instruction set. Every product of ggml's types is exact in f32, as in src/formats/gguf, so
// a fused multiply-add changes nothing.

#define LORA_INLINE inline __attribute__((always_inline))

#if LORA_LEVEL > 0 || defined(__aarch64__)
LORA_INLINE float half_at(const uint8_t* p) {
  _Float16 h;
  std::memcpy(&h, p, sizeof(h));
  return (float)h;
}
#else
LORA_INLINE float half_at(const uint8_t* p) {
  const uint32_t h = p[0] | (uint32_t)p[1] << 8, mantissa = h & 0x3ff, exponent = h >> 10 & 31;
  // not by a subnormal float: the processor may treat those as 0
  const float size = exponent == 0 ? (float)mantissa * 5.9604644775390625e-8f
                                   : from_bits((exponent + 112) << 23 | mantissa << 13);
  return h & 0x8000 ? -size : size;
}
#endif

LORA_INLINE float float_at(const uint8_t* p) {
  float x;
  std::memcpy(&x, p, sizeof(x));
  return x;
}

LORA_INLINE uint32_t word_at(const uint8_t* p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// Numbers of one register.
LORA_INLINE LaneBytes bytes_at(const uint8_t* p) {
  LaneBytes v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
LORA_INLINE LaneInts whole(LaneBytes v) { return __builtin_convertvector(v, LaneInts); }
LORA_INLINE LaneInts whole_signed(LaneBytes v) {
  return __builtin_convertvector((LaneSigned)v, LaneInts);
}
LORA_INLINE Lanes real(LaneInts v) { return __builtin_convertvector(v, Lanes); }

// Element i of the result is 1 << by in the lanes whose bit i of `bits` is set, and 0 in the others.
LORA_INLINE LaneInts bits_of(uint32_t bits, int by) {
  const LaneInts powers = {1,   2,   4,    8,    16,   32,   64,    128,
                           256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
  return (((int32_t)bits & powers) != 0) & (1 << by);
}

// table[index] of sixteen numbers.
LORA_INLINE Lanes step_at(const float* table, LaneBytes index) {
#if LORA_LEVEL == 2
  Lanes steps;
  std::memcpy(&steps, table, sizeof(steps));
  return (Lanes)__builtin_ia32_permvarsf512(steps, whole(index));
#elif LORA_LEVEL == 1
  // of eight numbers each, by the lower bits of the index
  typedef float Eight __attribute__((vector_size(32)));
  typedef int32_t EightIndices __attribute__((vector_size(32)));
  Eight steps[2], halves[2];
  EightIndices indices[2];
  std::memcpy(steps, table, sizeof(steps));
  const LaneInts own = whole(index);
  std::memcpy(indices, &own, sizeof(own));
  for (int h = 0; h < 2; h++) {
    const Eight low = __builtin_ia32_permvarsf256(steps[0], indices[h]),
                high = __builtin_ia32_permvarsf256(steps[1], indices[h]);
    halves[h] = indices[h] > 7 ? high : low;
  }
  Lanes v;
  std::memcpy(&v, halves, sizeof(v));
  return v;
#elif defined(__aarch64__)
  // the four bytes of each number
  const uint8x16x4_t steps = vld1q_u8_x4((const uint8_t*)table);
  LaneInts bytes = whole(index) * 0x04040404 + 0x03020100;
  uint8x16_t quarters[4];
  std::memcpy(quarters, &bytes, sizeof(bytes));
  for (int k = 0; k < 4; k++) quarters[k] = vqtbl4q_u8(steps, quarters[k]);
  Lanes v;
  std::memcpy(&v, quarters, sizeof(v));
  return v;
#else
  Lanes v;
  for (int i = 0; i < LANES; i++) v[i] = table[index[i]];
  return v;
#endif
}

// Values of a block that are computed together.
struct Pair {
  Lanes first, second;
};

// The values 32 unit .. 32 unit + 31 of a block that begins at q.
template <BlockType TYPE>
Pair values_at(const uint8_t* q, int unit);

#define LORA_UNIT(TYPE) \
  template <>           \
  LORA_INLINE Pair values_at<BlockType::TYPE>(const uint8_t* q, int unit)

LORA_UNIT(Q4_0) {
  const LaneBytes v = bytes_at(q + 2);
  const float d = half_at(q);
  return {d * real(whole_signed((v & 15) - 8)), d * real(whole_signed((v >> 4) - 8))};
}

LORA_UNIT(Q4_1) {
  const LaneBytes v = bytes_at(q + 4);
  const float d = half_at(q), m = half_at(q + 2);
  return {d * real(whole(v & 15)) + m, d * real(whole(v >> 4)) + m};
}

// As Q4_0, with a fifth bit for each element in a 32-bit word.
LORA_UNIT(Q5_0) {
  const LaneBytes v = bytes_at(q + 6);
  const float d = half_at(q);
  const uint32_t high = word_at(q + 2);
  return {d * real((whole(v & 15) | bits_of(high, 4)) - 16),
          d * real((whole(v >> 4) | bits_of(high >> 16, 4)) - 16)};
}

LORA_UNIT(Q5_1) {
  const LaneBytes v = bytes_at(q + 8);
  const float d = half_at(q), m = half_at(q + 2);
  const uint32_t high = word_at(q + 4);
  return {d * real(whole(v & 15) | bits_of(high, 4)) + m,
          d * real(whole(v >> 4) | bits_of(high >> 16, 4)) + m};
}

LORA_UNIT(Q8_0) {
  const float d = half_at(q);
  return {d * real(whole_signed(bytes_at(q + 2))), d * real(whole_signed(bytes_at(q + 18)))};
}

// 16 bytes of a scale and a minimum, 64 of four pairs of bits, d, dmin.
LORA_UNIT(Q2_K) {
  const float d = half_at(q + 80), dmin = half_at(q + 82);
  const uint8_t* levels = q + 16 + unit / 4 * 32;
  const auto half = [&](int k) LORA_LAMBDA {
    const int scales = q[2 * unit + k];
    return d * (float)(scales & 15) * real(whole(bytes_at(levels + 16 * k) >> unit % 4 * 2 & 3)) -
           dmin * (float)(scales >> 4);
  };
  return {half(0), half(1)};
}

// 32 bytes of third bits (0 there takes 4 away), 64 of four pairs of bits, sixteen 6-bit scales in
// 12 bytes, d.
LORA_UNIT(Q3_K) {
  const float d = half_at(q + 108);
  const uint8_t *packed = q + 96, *levels = q + 32 + unit / 4 * 32;
  const auto half = [&](int side) LORA_LAMBDA {
    const int k = 2 * unit + side, low = k < 8 ? packed[k] & 15 : packed[k - 8] >> 4,
              scale = (low | (packed[8 + k % 4] >> (k / 4 * 2) & 3) << 4) - 32;
    const LaneBytes v = bytes_at(levels + 16 * side) >> unit % 4 * 2 & 3,
                    third = bytes_at(q + 16 * side) >> unit & 1;
    return d * (float)scale * real(whole_signed((v | third << 2) - 4));
  };
  return {half(0), half(1)};
}

// Eight 6-bit scales and eight 6-bit minima in 12 bytes (get_scale_min_k4).
LORA_INLINE int scale_at(const uint8_t* p, int j) {
  return j < 4 ? p[j] & 63 : (p[j + 4] & 15) | (p[j - 4] >> 6) << 4;
}
LORA_INLINE int minimum_at(const uint8_t* p, int j) {
  return j < 4 ? p[j + 4] & 63 : p[j + 4] >> 4 | (p[j] >> 6) << 4;
}

LORA_UNIT(Q4_K) {
  const float scale = half_at(q) * (float)scale_at(q + 4, unit),
              minimum = half_at(q + 2) * (float)minimum_at(q + 4, unit);
  const uint8_t* levels = q + 16 + unit / 2 * 32;
  const auto half = [&](int k) LORA_LAMBDA {
    return scale * real(whole(bytes_at(levels + 16 * k) >> unit % 2 * 4 & 15)) - minimum;
  };
  return {half(0), half(1)};
}

// As Q4_K, with a fifth bit for each element in 32 bytes.
LORA_UNIT(Q5_K) {
  const float scale = half_at(q) * (float)scale_at(q + 4, unit),
              minimum = half_at(q + 2) * (float)minimum_at(q + 4, unit);
  const uint8_t *levels = q + 48 + unit / 2 * 32, *fifth = q + 16;
  const auto half = [&](int k) LORA_LAMBDA {
    const LaneBytes v = (bytes_at(levels + 16 * k) >> unit % 2 * 4 & 15) |
                        (bytes_at(fifth + 16 * k) >> unit & 1) << 4;
    return scale * real(whole(v)) - minimum;
  };
  return {half(0), half(1)};
}

// 128 bytes of low nibbles, 64 of high pairs, 16 signed scales, d.
LORA_UNIT(Q6_K) {
  const float d = half_at(q + 208);
  const int part = unit / 4, group = unit % 4;
  const uint8_t *lows = q + part * 64 + group % 2 * 32, *highs = q + 128 + part * 32;
  const auto half = [&](int k) LORA_LAMBDA {
    const LaneBytes v = (bytes_at(lows + 16 * k) >> group / 2 * 4 & 15) |
                        (bytes_at(highs + 16 * k) >> group * 2 & 3) << 4;
    return d * (float)(int8_t)q[192 + 2 * unit + k] * real(whole_signed(v - 32));
  };
  return {half(0), half(1)};
}

// d, 16 bytes of two nibbles: low nibbles first.
LORA_UNIT(IQ4_NL) {
  const LaneBytes v = bytes_at(q + 2);
  const float d = half_at(q);
  return {d * step_at(IQ4_STEPS, v & 15), d * step_at(IQ4_STEPS, v >> 4)};
}

// d, the two high bits of eight scales in 16 bits, their low nibbles in 4 bytes, 128 bytes of two
// nibbles.
LORA_UNIT(IQ4_XS) {
  const int high = q[2] | q[3] << 8, low = q[4 + unit / 2] >> (unit % 2 * 4) & 15;
  const float scale = half_at(q) * (float)((low | (high >> (2 * unit) & 3) << 4) - 32);
  const LaneBytes v = bytes_at(q + 8 + unit * 16);
  return {scale * step_at(IQ4_STEPS, v & 15), scale * step_at(IQ4_STEPS, v >> 4)};
}

// The exponent of a power of two, of which the half is meant, and 16 bytes of two nibbles.
LORA_UNIT(MXFP4) {
  const float scale = from_bits(q[0] < 2 ? 0x200000u << q[0] : (uint32_t)(q[0] - 1) << 23);
  const LaneBytes v = bytes_at(q + 1);
  return {scale * step_at(MXFP4_STEPS, v & 15), scale * step_at(MXFP4_STEPS, v >> 4)};
}

// The absolute maximum in f32, and 32 bytes of two nibbles in two halves.
LORA_INLINE Pair steps_of(const float* table, float scale, const uint8_t* q, int unit) {
  const LaneBytes v = bytes_at(q + 16 * unit);
  return {scale * step_at(table, v & 15), scale * step_at(table, v >> 4)};
}
LORA_UNIT(NF4) { return steps_of(NF4_STEPS, float_at(q), q + 4, unit); }
LORA_UNIT(FP4) { return steps_of(FP4_STEPS, float_at(q), q + 4, unit); }
#undef LORA_UNIT

// The same for rows that begin with what their blocks have in common; `at`: the block's first value.
template <BlockType TYPE>
LORA_INLINE Pair values_in(const RowsForm&, const uint8_t*, const uint8_t* q, int64_t, int unit) {
  return values_at<TYPE>(q, unit);
}

// In the row: the place of its first block among the 256 that share a scale of their absolute maxima,
// an offset, these scales. In the block: a number of the dynamic type, 32 bytes as NF4.
LORA_INLINE float nested_scale(const uint8_t* row, const uint8_t* q, int64_t at) {
#pragma clang fp contract(off)
  const int64_t block = word_at(row) + at / 64;
  const float product = DYNAMIC_MAP.numbers[q[0]] * float_at(row + 8 + 4 * (block / 256));
  return product + float_at(row + 4);
}
#define LORA_ROW_UNIT(TYPE)                                                                     \
  template <>                                                                                   \
  LORA_INLINE Pair values_in<BlockType::TYPE>(const RowsForm& form, const uint8_t* row,         \
                                              const uint8_t* q, int64_t at, int unit)

LORA_ROW_UNIT(NF4_NESTED) { return steps_of(NF4_STEPS, nested_scale(row, q, at), q + 1, unit); }
LORA_ROW_UNIT(FP4_NESTED) { return steps_of(FP4_STEPS, nested_scale(row, q, at), q + 1, unit); }

// A scale of the row, and a factor of all rows.
LORA_ROW_UNIT(INT8_ROWS) {
  const float scale = float_at(row), factor = float_at(row + 4);
  return {real(whole_signed(bytes_at(q))) * scale * factor,
          real(whole_signed(bytes_at(q + LANES))) * scale * factor};
}

LORA_ROW_UNIT(INT8_GROUPS) {
  const float scale = float_at(row + 4 * (at >> form.group));
  return {real(whole_signed(bytes_at(q))) * scale, real(whole_signed(bytes_at(q + LANES))) * scale};
}
#undef LORA_ROW_UNIT

// Rounds to the nearest that the type holds, ties to even. Below 2^-14, halves are multiples of 2^-24.
LORA_INLINE Lanes rounded(Lanes v, Rounding rounding) {
  const LaneBits u = (LaneBits)v;
  if (rounding == Rounding::TO_BF16)
    return (Lanes)((u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000u);
  if (rounding == Rounding::TO_F16) {
    const Lanes normal = (Lanes)((u + 0xfff + ((u >> 13) & 1)) & 0xffffe000u),
                small = (v + 0.75f) - 0.75f;
    const LaneInts is_small = (LaneInts)((u & 0x7fffffff) < 0x38800000u);
    return (Lanes)(((LaneBits)small & (LaneBits)is_small) | ((LaneBits)normal & ~(LaneBits)is_small) |
                   (u & 0x80000000u));  // also of a zero
  }
  return v;
}

template <BlockType TYPE>
LORA_INLINE Pair rounded_values(const RowsForm& form, const uint8_t* row, const uint8_t* q,
                                int64_t at, int unit) {
  const Pair v = values_in<TYPE>(form, row, q, at, unit);
  if (TYPE < BlockType::NF4) return v;
  return {rounded(v.first, form.rounding), rounded(v.second, form.rounding)};
}

// Calls f with the type as a constant.
template <class F>
LORA_INLINE void with_type(BlockType type, F f) {
  switch (type) {
#define LORA_CASE(TYPE)  \
  case BlockType::TYPE:  \
    return f(std::integral_constant<BlockType, BlockType::TYPE>());
    LORA_CASE(Q4_0)
    LORA_CASE(Q4_1)
    LORA_CASE(Q5_0)
    LORA_CASE(Q5_1)
    LORA_CASE(Q8_0)
    LORA_CASE(Q2_K)
    LORA_CASE(Q3_K)
    LORA_CASE(Q4_K)
    LORA_CASE(Q5_K)
    LORA_CASE(Q6_K)
    LORA_CASE(IQ4_NL)
    LORA_CASE(IQ4_XS)
    LORA_CASE(MXFP4)
    LORA_CASE(NF4)
    LORA_CASE(FP4)
    LORA_CASE(NF4_NESTED)
    LORA_CASE(FP4_NESTED)
    LORA_CASE(INT8_ROWS)
    LORA_CASE(INT8_GROUPS)
#undef LORA_CASE
  }
}

// Rounded as `narrow` does; the values are finite.
LORA_INLINE void put(float* y, Lanes v) { std::memcpy(y, &v, sizeof(v)); }
LORA_INLINE LaneHalves narrowed(Lanes v) {
  const LaneBits u = (LaneBits)v, rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return __builtin_convertvector(rounded, LaneHalves);
}
LORA_INLINE void put(bf16* y, Lanes v) {
  const LaneHalves halves = narrowed(v);
  std::memcpy(y, &halves, sizeof(halves));
}

template <class T>
void dequantize_rows(int64_t from, int64_t to, const RowsForm& form, const uint8_t* q, T* y) {
  const int64_t header = header_bytes(form);
  with_type(form.type, [&](auto constant) LORA_LAMBDA {
    constexpr BlockType TYPE = decltype(constant)::value;
    constexpr BlockSize size = size_of_block(TYPE);
    for (int64_t number = from; number < to; number++) {
      const uint8_t *row = q + number * form.row_bytes, *block = row + header;
      T* own = y + number * form.width;
      for (int64_t at = 0; at < form.width; at += size.values, block += size.bytes)
        for (int unit = 0; unit < size.values / UNIT; unit++) {
          const Pair v = rounded_values<TYPE>(form, row, block, at, unit);
          put(own + at + unit * UNIT, v.first);
          put(own + at + unit * UNIT + LANES, v.second);
        }
    }
  });
}

#if LORA_LEVEL == 2
// Of a unit whose values are a scale times one of sixteen steps.
struct Steps {
  const float* table;
  float scale;
  const uint8_t* levels;
};
template <BlockType TYPE>
LORA_INLINE Steps steps_in(const uint8_t* row, const uint8_t* q, int64_t at, int unit) {
  constexpr bool is_nested = has_header(TYPE);
  const float* table = TYPE == BlockType::NF4 || TYPE == BlockType::NF4_NESTED ? NF4_STEPS : FP4_STEPS;
  return {table, is_nested ? nested_scale(row, q, at) : float_at(q),
          q + (is_nested ? 1 : 4) + 16 * unit};
}

// The steps are multiplied and rounded instead of all values, which are then looked up.
LORA_INLINE void put_steps(bf16* y, const Steps& own, Rounding rounding) {
  typedef uint8_t UnitBytes __attribute__((vector_size(UNIT)));
  typedef int16_t UnitHalves __attribute__((vector_size(2 * UNIT)));
  Lanes steps;
  std::memcpy(&steps, own.table, sizeof(steps));
  const LaneHalves sixteen = narrowed(rounded(own.scale * steps, rounding));
  // the other half of the table is not looked up
  const UnitHalves table = (UnitHalves)__builtin_shufflevector(
      sixteen, sixteen, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1,
      -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const LaneBytes v = bytes_at(own.levels), halves[2] = {v & 15, v >> 4};
  UnitBytes levels;
  std::memcpy(&levels, halves, sizeof(levels));
  const UnitHalves values =
      __builtin_ia32_permvarhi512(table, __builtin_convertvector(levels, UnitHalves));
  std::memcpy(y, &values, sizeof(values));
}
#endif

template <BlockType TYPE>
LORA_INLINE void put_unit(bf16* y, const RowsForm& form, const uint8_t* row, const uint8_t* q,
                          int64_t at, int unit) {
#if LORA_LEVEL == 2
  if constexpr (TYPE >= BlockType::NF4 && TYPE <= BlockType::FP4_NESTED)
    return put_steps(y, steps_in<TYPE>(row, q, at, unit), form.rounding);
#endif
  const Pair v = rounded_values<TYPE>(form, row, q, at, unit);
  put(y, v.first);
  put(y + LANES, v.second);
}

// The values `first` .. `first` + `count` - 1 of the rows from .. to, one row behind the other. Both are
// multiples of UNIT.
inline void dequantize_units(int64_t from, int64_t to, int64_t first, int64_t count,
                             const RowsForm& form, const uint8_t* q, bf16* y) {
  const int64_t header = header_bytes(form);
  with_type(form.type, [&](auto constant) LORA_LAMBDA {
    constexpr BlockType TYPE = decltype(constant)::value;
    constexpr BlockSize size = size_of_block(TYPE);
    const int64_t skipped = first / size.values;
    for (int64_t number = from; number < to; number++) {
      const uint8_t *row = q + number * form.row_bytes, *block = row + header + skipped * size.bytes;
      int64_t at = skipped * size.values;
      int unit = (int)(first - at) / UNIT;
      for (int64_t i = 0; i < count; i += UNIT, y += UNIT) {
        put_unit<TYPE>(y, form, row, block, at, unit);
        if (++unit < size.values / UNIT) continue;
        unit = 0;
        at += size.values;
        block += size.bytes;
      }
    }
  });
}

#undef LORA_INLINE
