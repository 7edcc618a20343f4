// The products of blocks of attention, and what they multiply. Included by attention.h.

#include "words.h"

#define LORA_INLINE inline __attribute__((always_inline))

// A matrix of words that is read as a left operand, word (row, k) at rows · row + k · step.
struct Left {
  const Word* words;
  int64_t row, step;
};

// Rows of a product that are computed together, and the vectors of each.
constexpr int TILE_ROWS = 4;
constexpr int TILE_LANES = LORA_LEVEL == 2 ? 4 : 1;

// TILE_ROWS rows of c (+)= a b: b [depth, width], c [.., width].
template <int N>
LORA_INLINE void product_tile(const Left& a, const Word* b, int64_t depth, int64_t width, bool adds,
                              float* c) {
  Lanes sums[TILE_ROWS][N] = {};
  if (adds)
    for (int r = 0; r < TILE_ROWS; r++)
      std::memcpy(sums[r], c + r * width, sizeof(sums[r]));
  for (int64_t k = 0; k < depth; k++) {
    Lanes right[N];
    std::memcpy(right, b + k * width, sizeof(right));
    for (int r = 0; r < TILE_ROWS; r++) {
      const Word left = a.words[r * a.row + k * a.step];
      for (int n = 0; n < N; n++) sums[r][n] = multiply(sums[r][n], left, right[n]);
    }
  }
  for (int r = 0; r < TILE_ROWS; r++) std::memcpy(c + r * width, sums[r], sizeof(sums[r]));
}

template <int N>
LORA_INLINE void product_panel(int64_t rows, Left a, const Word* b, int64_t depth, int64_t width,
                               bool adds, float* c) {
  for (int64_t m = 0; m < rows; m += TILE_ROWS, a.words += TILE_ROWS * a.row)
    product_tile<N>(a, b, depth, width, adds, c + m * width);
}

// The right operand of a product, [depth, columns], whose rows are `width` apart, as are those of
// the product.
struct Right {
  const Word* words;
  int64_t depth, columns, width;
};

// `product`, of rows that are a multiple of TILE_ROWS.
__attribute__((noinline)) static void product_of_vectors(int64_t rows, const Left& a,
                                                         const Right& right, bool adds, float* c) {
  const int64_t depth = right.depth, width = right.width;
  const Word* b = right.words;
  int64_t at = 0;
  for (; at + TILE_LANES * LANES <= right.columns; at += TILE_LANES * LANES)
    product_panel<TILE_LANES>(rows, a, b + at, depth, width, adds, c + at);
  if (TILE_LANES > 2 && at + 2 * LANES <= right.columns) {
    product_panel<2>(rows, a, b + at, depth, width, adds, c + at);
    at += 2 * LANES;
  }
  for (; at < right.columns; at += LANES)
    product_panel<1>(rows, a, b + at, depth, width, adds, c + at);
}

#ifdef LORA_TILES
#include "attentionTiles.h"
#endif

// c [rows, columns] (+)= a [rows, depth] b [depth, columns]; the rows, columns and the width are
// multiples of LANES.
LORA_INLINE void product(int64_t rows, const Left& a, const Right& right, bool adds, float* c) {
#ifdef LORA_TILES
  const int64_t whole = right.depth / TILE_WORDS * TILE_WORDS;
  if (whole > 0)
    product_of_tiles(rows, a, {right.words, whole, right.columns, right.width}, adds, c);
  if (whole < right.depth)
    product_of_vectors(rows, {a.words + whole * a.step, a.row, a.step},
                       {right.words + whole * right.width, right.depth - whole, right.columns,
                        right.width},
                       adds || whole > 0, c);
#else
  product_of_vectors(rows, a, right, adds, c);
#endif
}

// Rows of d numbers, `stride` apart, as words [padded, width / DEPTH] with zeros behind them.
template <class T>
LORA_INLINE void pack_rows(const T* x, int64_t stride, int64_t count, int64_t padded, int64_t d,
                           int64_t width, Word* words) {
  std::memset(words, 0, padded * width / DEPTH * sizeof(Word));
  for (int64_t r = 0; r < count; r++) {
#ifdef LORA_PAIRS
    // a loop: rows are short, and a call for each takes longer
    T* own = reinterpret_cast<T*>(words + r * width / DEPTH);
    for (int64_t i = 0; i < d; i++) own[i] = x[r * stride + i];
#else
    for (int64_t i = 0; i < d; i++) words[r * width + i] = wide(x[r * stride + i]);
#endif
  }
}

// The transpose of `pack_rows`: words [width / DEPTH, padded].
LORA_INLINE void transpose_words(const Word* x, int64_t rows, int64_t columns, Word* y) {
  for (int64_t r = 0; r < rows; r += LANES)
    for (int64_t c = 0; c < columns; c++)
      for (int64_t own = r; own < std::min(rows, r + LANES); own++)
        y[c * rows + own] = x[own * columns + c];
}

// `pack_rows` where rows are summed over: words [padded / DEPTH, width].
template <class T>
LORA_INLINE void pack_depth(const T* x, int64_t stride, int64_t count, int64_t padded, int64_t d,
                            int64_t width, Word* words) {
#ifdef LORA_PAIRS
  std::memset(words, 0, padded * width / DEPTH * sizeof(Word));
  for (int64_t r = 0; r < count; r += 2) {
    const T *first = x + r * stride, *second = first + stride;
    Word* own = words + r / 2 * width;
    if (r + 1 < count)
      for (int64_t i = 0; i < d; i++)
        own[i] = (uint32_t)first[i].bits | (uint32_t)second[i].bits << 16;
    else
      for (int64_t i = 0; i < d; i++) own[i] = first[i].bits;
  }
#else
  pack_rows(x, stride, count, padded, d, width, words);
#endif
}

// The numbers of a band of [rows, width] as words of rows.
LORA_INLINE void round_rows(const float* x, const Band& band, int64_t width, Word* words) {
  for (int64_t r = band.row; r < band.row + band.rows; r++)
    for (int64_t i = r * width + band.keys.from; i < r * width + band.keys.to; i += LANES) {
#ifdef LORA_PAIRS
      const LaneHalves halves = rounded(lanes_at(x + i));
      std::memcpy((uint16_t*)words + i, &halves, sizeof(halves));
#else
      std::memcpy(words + i, x + i, LANES * sizeof(float));
#endif
    }
}

// The numbers of a band of [rows, width] as words of neighbouring rows.
LORA_INLINE void round_depth(const float* x, const Band& band, int64_t width, Word* words) {
#ifdef LORA_PAIRS
  for (int64_t r = band.row; r < band.row + band.rows; r += 2)
    for (int64_t i = band.keys.from; i < band.keys.to; i += LANES) {
      const float *first = x + r * width + i, *second = first + width;
      const LaneBits low = __builtin_convertvector(rounded(lanes_at(first)), LaneBits),
                     high = __builtin_convertvector(rounded(lanes_at(second)), LaneBits),
                     both = low | high << 16;
      std::memcpy(words + r / 2 * width + i, &both, sizeof(both));
    }
#else
  round_rows(x, band, width, words);
#endif
}

#undef LORA_INLINE
