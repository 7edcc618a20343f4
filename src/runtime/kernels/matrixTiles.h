// Rows of A with a panel, by the tiles of AMX. Included by matrix.h, whose panels have the order in
// which rows of a tile are read: pairs of bf16 of neighbouring columns. Six of the eight tiles hold the
// sums of 32 rows and 48 columns, one holds words of A, and one words of the panel.

#include "amx.h"

constexpr int64_t SUMS_ROW = 3 * TILE_WORDS;

// Zeros behind the `depth` words of a panel, up to the end of a tile.
LORA_INLINE void fill_up(Word* panel, int64_t depth) {
  std::memset(panel + depth * SUMS_ROW, 0,
              (round_up(depth, TILE_WORDS) - depth) * SUMS_ROW * sizeof(Word));
}

// 32 rows of 16 words of A, of which `rows` and `words` exist; the others are 0.
inline Left copy_of(const Word* a, int64_t a_row, int64_t rows, int64_t words, Word* into) {
  std::memset(into, 0, ROWS_OF_TILES * TILE_WORDS * sizeof(Word));
  for (int64_t r = 0; r < std::min(rows, ROWS_OF_TILES); r++)
    std::memcpy(into + r * TILE_WORDS, a + r * a_row,
                std::min(words, TILE_WORDS) * sizeof(Word));
  return {into, TILE_WORDS};
}

// Sums of 32 rows (0 to 2, 3 to 5) += A · the panel. Tiles are numbers in instructions.
LORA_INLINE void multiply_tiles(const Left& a, const Word* panel) {
  constexpr int64_t PANEL_BYTES = SUMS_ROW * sizeof(Word);
  const int64_t a_bytes = a.row * sizeof(Word);
  __builtin_ia32_tileloadd64(6, a.words, a_bytes);
  __builtin_ia32_tileloadd64(7, panel, PANEL_BYTES);
  __builtin_ia32_tdpbf16ps(0, 6, 7);
  __builtin_ia32_tileloadd64(7, panel + TILE_WORDS, PANEL_BYTES);
  __builtin_ia32_tdpbf16ps(1, 6, 7);
  __builtin_ia32_tileloadd64(7, panel + 2 * TILE_WORDS, PANEL_BYTES);
  __builtin_ia32_tdpbf16ps(2, 6, 7);
  __builtin_ia32_tileloadd64(6, a.words + TILE_HEIGHT * a.row, a_bytes);
  __builtin_ia32_tdpbf16ps(5, 6, 7);
  __builtin_ia32_tileloadd64(7, panel + TILE_WORDS, PANEL_BYTES);
  __builtin_ia32_tdpbf16ps(4, 6, 7);
  __builtin_ia32_tileloadd64(7, panel, PANEL_BYTES);
  __builtin_ia32_tdpbf16ps(3, 6, 7);
}

LORA_INLINE void zero_sums() {
  __builtin_ia32_tilezero(0);
  __builtin_ia32_tilezero(1);
  __builtin_ia32_tilezero(2);
  __builtin_ia32_tilezero(3);
  __builtin_ia32_tilezero(4);
  __builtin_ia32_tilezero(5);
}

// Sums [32, 48].
constexpr int64_t LOWER = TILE_HEIGHT * SUMS_ROW, SUMS_BYTES = SUMS_ROW * sizeof(float);
LORA_INLINE void load_sums(const float* sums) {
  __builtin_ia32_tileloadd64(0, sums, SUMS_BYTES);
  __builtin_ia32_tileloadd64(1, sums + TILE_WORDS, SUMS_BYTES);
  __builtin_ia32_tileloadd64(2, sums + 2 * TILE_WORDS, SUMS_BYTES);
  __builtin_ia32_tileloadd64(3, sums + LOWER, SUMS_BYTES);
  __builtin_ia32_tileloadd64(4, sums + LOWER + TILE_WORDS, SUMS_BYTES);
  __builtin_ia32_tileloadd64(5, sums + LOWER + 2 * TILE_WORDS, SUMS_BYTES);
}
LORA_INLINE void store_sums(float* sums) {
  __builtin_ia32_tilestored64(0, sums, SUMS_BYTES);
  __builtin_ia32_tilestored64(1, sums + TILE_WORDS, SUMS_BYTES);
  __builtin_ia32_tilestored64(2, sums + 2 * TILE_WORDS, SUMS_BYTES);
  __builtin_ia32_tilestored64(3, sums + LOWER, SUMS_BYTES);
  __builtin_ia32_tilestored64(4, sums + LOWER + TILE_WORDS, SUMS_BYTES);
  __builtin_ia32_tilestored64(5, sums + LOWER + 2 * TILE_WORDS, SUMS_BYTES);
}

// Complete sums of 32 rows. A few rows at a time become numbers of C between the products of the next
// rows, so that the processor does both together.
template <int N>
class Finishing {
 public:
  Finishing(int64_t to, const Matrices& p, const Panel& own) : to_(to), p_(p), own_(own) {}
  // The sums of the rows from `row` on are in tiles.
  LORA_INLINE void begin(int64_t row) {
    finish_all();
    store_sums(sums_);
    from_ = row_ = row;
    end_ = std::min(to_, row + ROWS_OF_TILES);
  }
  LORA_INLINE void finish_some() {
    if (row_ >= end_) return;
    Lanes sums[TILE_ROWS][N];
    load_tile<N>(sums_ + (row_ - from_) * SUMS_ROW, sums);
    finish_sums<N>(row_, to_, p_, own_, sums);
    row_ += TILE_ROWS;
  }
  LORA_INLINE void finish_all() {
    while (row_ < end_) finish_some();
  }

 private:
  const int64_t to_;
  const Matrices& p_;
  const Panel& own_;
  int64_t from_ = 0, row_ = 0, end_ = 0;
  alignas(64) float sums_[ROWS_OF_TILES * SUMS_ROW];
};

// What the function of this name computes by vectors, with a panel that was filled up.
template <int N>
__attribute__((noinline)) void multiply_rows(int64_t from, int64_t to, const Matrices& p,
                                             const Panel& own, const Left& a, float* sums_so_far) {
  static_assert(N * LANES == SUMS_ROW);
  const Word* panel = static_cast<const Word*>(own.words);
  const int64_t groups = (to - from + ROWS_OF_TILES - 1) / ROWS_OF_TILES,
                steps = std::max<int64_t>(1, (own.depth + TILE_WORDS - 1) / TILE_WORDS);
  // after many requests at once, loads of tiles would wait for all of them
  Prefetching next_b(own.ahead, groups * steps), next_a(own.ahead_a, groups * steps);
  Finishing<N> complete(to, p, own);
  for (int64_t r = from; r < to; r += ROWS_OF_TILES) {
    float* sums = sums_so_far + (r - from) * SUMS_ROW;
    if (own.is_first)
      zero_sums();
    else
      load_sums(sums);
    for (int64_t i = 0; i < own.depth; i += TILE_WORDS) {
      next_b.fetch_some();
      next_a.fetch_some();
      const Word *left = a.words + (r - from) * a.row + i, *right = panel + i * SUMS_ROW;
      if (r + ROWS_OF_TILES <= to && i + TILE_WORDS <= own.depth) {
        multiply_tiles({left, a.row}, right);
      } else {
        alignas(64) Word copied[ROWS_OF_TILES * TILE_WORDS];
        multiply_tiles(copy_of(left, a.row, to - r, own.depth - i, copied), right);
      }
      complete.finish_some();
    }
    if (own.is_last)
      complete.begin(r);
    else
      store_sums(sums);
  }
  complete.finish_all();
}
