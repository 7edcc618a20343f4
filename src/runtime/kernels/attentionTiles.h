// Products of attention's blocks by the tiles of AMX. Included by attentionWords.h: sums of 16 rows and
// up to 64 columns are in tiles 0 to 3, words of a in 6, and of b in 7.

#include "amx.h"

template <int N>
LORA_INLINE void load_sums(const float* c, int64_t bytes, bool adds) {
  __builtin_ia32_tilezero(0);
  if constexpr (N > 1) __builtin_ia32_tilezero(1);
  if constexpr (N > 2) __builtin_ia32_tilezero(2);
  if constexpr (N > 3) __builtin_ia32_tilezero(3);
  if (!adds) return;
  __builtin_ia32_tileloadd64(0, c, bytes);
  if constexpr (N > 1) __builtin_ia32_tileloadd64(1, c + LANES, bytes);
  if constexpr (N > 2) __builtin_ia32_tileloadd64(2, c + 2 * LANES, bytes);
  if constexpr (N > 3) __builtin_ia32_tileloadd64(3, c + 3 * LANES, bytes);
}

template <int N>
LORA_INLINE void store_sums(float* c, int64_t bytes) {
  __builtin_ia32_tilestored64(0, c, bytes);
  if constexpr (N > 1) __builtin_ia32_tilestored64(1, c + LANES, bytes);
  if constexpr (N > 2) __builtin_ia32_tilestored64(2, c + 2 * LANES, bytes);
  if constexpr (N > 3) __builtin_ia32_tilestored64(3, c + 3 * LANES, bytes);
}

// Words of 16 rows of the left operand into tile 6.
LORA_INLINE void load_left(const Left& a, int64_t row, int64_t k) {
  if (a.step == 1) {
    __builtin_ia32_tileloadd64(6, a.words + row * a.row + k, a.row * sizeof(Word));
    return;
  }
  Lanes words[TILE_WORDS];  // rows are neighbours
  for (int64_t i = 0; i < TILE_WORDS; i++)
    std::memcpy(&words[i], a.words + row * a.row + (k + i) * a.step, sizeof(words[i]));
  transpose(words);
  __builtin_ia32_tileloadd64(6, words, sizeof(words[0]));
}

template <int N>
LORA_INLINE void multiply_by(const Word* b, int64_t bytes) {
  __builtin_ia32_tileloadd64(7, b, bytes);
  __builtin_ia32_tdpbf16ps(0, 6, 7);
  if constexpr (N > 1) {
    __builtin_ia32_tileloadd64(7, b + LANES, bytes);
    __builtin_ia32_tdpbf16ps(1, 6, 7);
  }
  if constexpr (N > 2) {
    __builtin_ia32_tileloadd64(7, b + 2 * LANES, bytes);
    __builtin_ia32_tdpbf16ps(2, 6, 7);
  }
  if constexpr (N > 3) {
    __builtin_ia32_tileloadd64(7, b + 3 * LANES, bytes);
    __builtin_ia32_tdpbf16ps(3, 6, 7);
  }
}

// N vectors of columns from `at` on; the depth is a multiple of TILE_WORDS.
template <int N>
LORA_INLINE void tiles_of_columns(int64_t rows, const Left& a, const Right& right, int64_t at,
                                  bool adds, float* c) {
  const int64_t bytes = right.width * sizeof(Word);
  for (int64_t row = 0; row < rows; row += TILE_HEIGHT) {
    float* sums = c + row * right.width + at;
    load_sums<N>(sums, bytes, adds);
    for (int64_t k = 0; k < right.depth; k += TILE_WORDS) {
      load_left(a, row, k);
      multiply_by<N>(right.words + k * right.width + at, bytes);
    }
    store_sums<N>(sums, bytes);
  }
}

// `product` of a depth that is a multiple of TILE_WORDS.
LORA_INLINE void product_of_tiles(int64_t rows, const Left& a, const Right& right, bool adds,
                                  float* c) {
  int64_t at = 0;
  for (; at + 4 * LANES <= right.columns; at += 4 * LANES)
    tiles_of_columns<4>(rows, a, right, at, adds, c);
  for (; at + 2 * LANES <= right.columns; at += 2 * LANES)
    tiles_of_columns<2>(rows, a, right, at, adds, c);
  if (at < right.columns) tiles_of_columns<1>(rows, a, right, at, adds, c);
}
