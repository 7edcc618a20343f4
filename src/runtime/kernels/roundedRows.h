// The products of rounded rows by types of blocks. Included after integer.h and tiles.h once per
// instruction set.

#define LORA_INLINE inline __attribute__((always_inline))

// Calls f with the type as a constant, for the types that are multiplied by integers.
template <class F>
LORA_INLINE void with_levels(BlockType type, F f) {
  switch (type) {
#define LORA_CASE(TYPE)  \
  case BlockType::TYPE:  \
    return f(std::integral_constant<BlockType, BlockType::TYPE>());
    LORA_CASE(Q4_0)
    LORA_CASE(Q4_1)
    LORA_CASE(Q5_0)
    LORA_CASE(Q5_1)
    LORA_CASE(Q8_0)
    LORA_CASE(Q4_K)
    LORA_CASE(Q5_K)
    LORA_CASE(Q6_K)
    LORA_CASE(IQ4_NL)
    LORA_CASE(IQ4_XS)
    LORA_CASE(MXFP4)
#undef LORA_CASE
    default:
      return;
  }
}

// The outputs from .. to of up to eight rows x, of which `one` or `eight` are the rounded numbers.
inline void few_rows_rounded(int64_t from, int64_t to, int64_t rows, BlockType type, int64_t units,
                             int64_t row_bytes, int64_t out, const RoundedUnit* one,
                             const RoundedUnits* eight, const uint8_t* q, float* y) {
  with_levels(type, [&](auto constant) LORA_LAMBDA {
    constexpr BlockType TYPE = decltype(constant)::value;
    if (rows > 1) {
      int64_t o = from;
#if LORA_DOT == LORA_DOT_VNNI
      if constexpr (has_tiles(TYPE))
        o = tiles_rounded<TYPE>(from, to, rows, units, row_bytes, out, eight, q, y);
#endif
      for (; o < to; o++) {
        const EightReals sums = outputs_of_eight<TYPE>(q + o * row_bytes, row_bytes, units, eight);
        for (int64_t r = 0; r < rows; r++) y[r * out + o] = sums[r];
      }
      return;
    }
    int64_t o = from;
    for (; o + 8 <= to; o += 8) {
      const EightReals sums = eight_outputs<TYPE>(q + o * row_bytes, row_bytes, units, one);
      std::memcpy(y + o, &sums, sizeof(sums));
    }
    // the last one again in the place of those that are missing: `row_bytes` 0
    for (; o < to; o++) y[o] = eight_outputs<TYPE>(q + o * row_bytes, 0, units, one)[0];
  });
}

#undef LORA_INLINE
