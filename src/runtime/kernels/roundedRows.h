// The products of rounded rows by types of blocks. Included after tiles.h once per instruction set.

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

// The outputs from .. to of up to eight rows x, of which R are stored.
template <BlockType TYPE, int R>
LORA_INLINE void outputs_rounded(int64_t from, int64_t to, int64_t rows, int64_t units,
                                 int64_t row_bytes, int64_t out, const RoundedUnit* x,
                                 const uint8_t* q, float* y) {
  TileReals sums[R];
  // the last tile may compute some outputs again
  for (int64_t o = from; o < to && to - from >= TILE; o += TILE) {
    o = std::min(o, to - TILE);
    outputs_of_tile<TYPE, R>(q + o * row_bytes, row_bytes, units, x, sums);
    for (int64_t r = 0; r < rows; r++) std::memcpy(y + r * out + o, &sums[r], sizeof(sums[r]));
  }
  if (to - from >= TILE) return;
  // one row of W in the place of all of them
  for (int64_t o = from; o < to; o++) {
    outputs_of_tile<TYPE, R>(q + o * row_bytes, 0, units, x, sums);
    for (int64_t r = 0; r < rows; r++) y[r * out + o] = sums[r][0];
  }
}

inline void few_rows_rounded(int64_t from, int64_t to, int64_t rows, BlockType type, int64_t units,
                             int64_t row_bytes, int64_t out, const RoundedUnit* x, const uint8_t* q,
                             float* y) {
  with_levels(type, [&](auto constant) LORA_LAMBDA {
    constexpr BlockType TYPE = decltype(constant)::value;
    switch (RoundedRows::stored(rows)) {
      case 1:
        return outputs_rounded<TYPE, 1>(from, to, rows, units, row_bytes, out, x, q, y);
      case 4:
        return outputs_rounded<TYPE, 4>(from, to, rows, units, row_bytes, out, x, q, y);
      default:
        return outputs_rounded<TYPE, 8>(from, to, rows, units, row_bytes, out, x, q, y);
    }
  });
}

#undef LORA_INLINE
