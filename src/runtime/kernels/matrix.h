// Products of matrices by blocks: a panel of B is brought into the order in which it is read, and is
// multiplied by all rows of A while the processor's cache holds it (Goto & van de Geijn 2008).
// Included by matrix.cc once per instruction set, after levels.h. Each number of C is a sum in an
// order that depends on the dimension that is summed over alone, not on the other rows and columns, or
// on threads.

#include "words.h"

#define LORA_INLINE inline __attribute__((always_inline))

// Rows of words, `row` apart.
struct Left {
  const Word* words;
  int64_t row;
};

// What a tile keeps in registers: rows of A, and vectors of a panel of B.
#if LORA_LEVEL == 2
constexpr int TILE_ROWS = 8, TILE_LANES = 3;
#elif LORA_LEVEL == 1 || defined(__aarch64__)
constexpr int TILE_ROWS = 6, TILE_LANES = 1;
#else
constexpr int TILE_ROWS = 2, TILE_LANES = 1;
#endif
constexpr int64_t PANEL = TILE_LANES * LANES;

// The rows of tasks are a multiple of it.
#ifdef LORA_TILES
constexpr int64_t ROWS_TOGETHER = ROWS_OF_TILES;
#else
constexpr int64_t ROWS_TOGETHER = ROWS_OF_VECTORS;
#endif

LORA_INLINE Lanes load(const void* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
LORA_INLINE void store(float* p, Lanes v) { std::memcpy(p, &v, sizeof(v)); }

#ifdef LORA_PAIRS
LORA_INLINE LaneHalves halves_at(const bf16* p) {
  LaneHalves v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
LORA_INLINE LaneHalves halves_at(const float* p) { return rounded(load(p)); }
#endif

// Fewer vectors, for products of few columns.
#ifdef LORA_PAIRS
constexpr int NARROW_LANES = TILE_LANES;
#else
constexpr int NARROW_LANES = std::min(2, TILE_LANES);
#endif

// The word of the numbers k .. k + DEPTH - 1 of a row, of which those from `end` on are 0; `step`:
// the distance of neighbours.
template <class T>
LORA_INLINE Word word_of(const T* row, int64_t k, int64_t end, int64_t step) {
#ifdef LORA_PAIRS
  const uint32_t low = narrow<bf16>(wide(row[k * step])).bits,
                 high = k + 1 < end ? narrow<bf16>(wide(row[(k + 1) * step])).bits : 0;
  return low | high << 16;
#else
  return wide(row[k * step]);
#endif
}

// LANES words of a row, from the number k on, of which none is beyond its end.
LORA_INLINE Lanes words_at(const bf16* row) {
#ifdef LORA_PAIRS
  return load(row);
#else
  LaneHalves halves;
  std::memcpy(&halves, row, sizeof(halves));
  return (Lanes)(__builtin_convertvector(halves, LaneBits) << 16);
#endif
}
LORA_INLINE Lanes words_at(const float* row) {
#ifdef LORA_PAIRS
  const LaneHalves both[2] = {rounded(load(row)), rounded(load(row + LANES))};
  return load(both);
#else
  return load(row);
#endif
}

// Rounds to bf16, for products with bf16, and widens again.
LORA_INLINE Lanes as_rounded(Lanes v) {
  return (Lanes)(__builtin_convertvector(rounded(v), LaneBits) << 16);
}

// The rows from .. to of A as words, `words_row` apart. The rows of `a` are `row` apart, and
// neighbours in a row `step`. `rounds`: to bf16.
template <class T>
void pack_rows(int64_t from, int64_t to, const Rows<T>& a, bool rounds, void* words) {
  const int64_t count = (a.k + DEPTH - 1) / DEPTH;
  for (int64_t r = from; r < to; r++) {
    const T* own = a.numbers + r * a.row;
    Word* into = static_cast<Word*>(words) + r * a.words_row;
    int64_t i = 0;
    for (; a.step == 1 && (i + LANES) * DEPTH <= a.k; i += LANES) {
      Lanes v = words_at(own + i * DEPTH);
      if (DEPTH == 1 && rounds) v = as_rounded(v);
      std::memcpy(into + i, &v, sizeof(v));
    }
    for (; i < count; i++) {
      into[i] = word_of(own, i * DEPTH, a.k, a.step);
#ifndef LORA_PAIRS
      if (rounds) into[i] = wide(narrow<bf16>(into[i]));
#endif
    }
  }
}

// The words from .. to of a panel of B: [to - from, width]. B [k, n] has the columns of the panel from
// `b` on; those from `columns` on are 0.
template <class T>
__attribute__((noinline)) void pack_depth(int64_t from, int64_t to, int64_t k, const T* b,
                                          int64_t row, int64_t columns, int64_t width,
                                          Word* words) {
  for (int64_t i = from; i < to; i++, words += width) {
    const T* own = b + i * DEPTH * row;
    int64_t c = 0;
    for (; c + LANES <= columns; c += LANES) {
#ifdef LORA_PAIRS
      const LaneHalves low = halves_at(own + c),
                       high = i * 2 + 1 < k ? halves_at(own + row + c) : LaneHalves{};
      const LaneBits pairs = __builtin_convertvector(low, LaneBits) |
                             __builtin_convertvector(high, LaneBits) << 16;
      std::memcpy(words + c, &pairs, sizeof(pairs));
#else
      store(words + c, words_at(own + c));
#endif
    }
    for (; c < columns; c++) words[c] = word_of(own + c, 0, k - i * DEPTH, row);
    for (; c < width; c++) words[c] = 0;
  }
}

// The same of the transpose of B [n, k], whose rows of the panel begin at `b`.
template <class T>
__attribute__((noinline)) void pack_columns(int64_t from, int64_t to, int64_t k, const T* b,
                                            int64_t columns, int64_t width, Word* words) {
  for (int64_t c = 0; c < width; c += LANES) {
    const T* own = b + c * k;
    int64_t i = from;
    // by many instructions elsewhere
    if (LORA_LEVEL == 2 && c + LANES <= columns)
      for (; i + LANES <= to && (i + LANES) * DEPTH <= k; i += LANES) {
        Lanes v[LANES];
        for (int l = 0; l < LANES; l++) v[l] = words_at(own + l * k + i * DEPTH);
        transpose(v);
        for (int l = 0; l < LANES; l++)
          std::memcpy(words + (i - from + l) * width + c, &v[l], sizeof(v[l]));
      }
    for (; i < to; i++)
      for (int64_t l = 0; l < LANES; l++)
        words[(i - from) * width + c + l] =
            c + l < columns ? word_of(own + l * k, i * DEPTH, k, 1) : Word{};
  }
}

// `depth` words of TILE_ROWS rows with a panel.
template <int N>
LORA_INLINE void multiply_tile(const Word* const* rows, const Word* panel, int64_t depth,
                               Lanes sums[TILE_ROWS][N]) {
  for (int64_t i = 0; i < depth; i++) {
    Lanes right[N];
    for (int n = 0; n < N; n++) right[n] = load(panel + i * N * LANES + n * LANES);
    for (int r = 0; r < TILE_ROWS; r++)
      for (int n = 0; n < N; n++) sums[r][n] = multiply(sums[r][n], rows[r][i], right[n]);
  }
}

LORA_INLINE void store(bf16* p, Lanes v) {
  const LaneHalves halves = rounded(v);
  std::memcpy(p, &halves, sizeof(halves));
}

// Sums of the rows `row` .. `row` + `rows` - 1 become numbers of C, from `column` on.
template <int N, class V>
LORA_INLINE void finish_rows(const Matrices& p, int64_t row, int64_t rows, int64_t column,
                             const Lanes* sums, V* c) {
  const int64_t columns = std::min<int64_t>(N * LANES, p.n - column), whole = columns / LANES;
  for (int64_t i = 0; i < rows; i++, sums += N) {
    const int64_t at = (row + i) * p.n + column;
    for (int64_t n = 0; n < whole; n++)
      store(c + at + n * LANES, p.residual ? sums[n] + load(p.residual + at + n * LANES) : sums[n]);
    for (int64_t k = whole * LANES; k < columns; k++)
      c[at + k] = narrow<V>(sums[whole][k % LANES] + (p.residual ? p.residual[at + k] : 0));
  }
}

// The same of a tile that lies within C, whose sums stay in registers.
template <int N, class V>
LORA_INLINE void finish_tile(const Matrices& p, int64_t row, int64_t column,
                             Lanes sums[TILE_ROWS][N], V* c) {
  const int64_t at = row * p.n + column;
  if (p.residual)
#pragma clang loop unroll(full)
    for (int i = 0; i < TILE_ROWS; i++)
#pragma clang loop unroll(full)
      for (int n = 0; n < N; n++) sums[i][n] += load(p.residual + at + i * p.n + n * LANES);
#pragma clang loop unroll(full)
  for (int i = 0; i < TILE_ROWS; i++)
#pragma clang loop unroll(full)
    for (int n = 0; n < N; n++) store(c + at + i * p.n + n * LANES, sums[i][n]);
}

// Unrolled, as the sums are in registers.
template <int N>
LORA_INLINE void round_tile(Lanes sums[TILE_ROWS][N]) {
#pragma clang loop unroll(full)
  for (int i = 0; i < TILE_ROWS; i++)
#pragma clang loop unroll(full)
    for (int n = 0; n < N; n++) sums[i][n] = as_rounded(sums[i][n]);
}

template <int N>
LORA_INLINE void load_tile(const float* from, Lanes sums[TILE_ROWS][N]) {
#pragma clang loop unroll(full)
  for (int i = 0; i < TILE_ROWS; i++)
#pragma clang loop unroll(full)
    for (int n = 0; n < N; n++) sums[i][n] = load(from + (i * N + n) * LANES);
}
template <int N>
LORA_INLINE void store_tile(const Lanes sums[TILE_ROWS][N], float* to) {
#pragma clang loop unroll(full)
  for (int i = 0; i < TILE_ROWS; i++)
#pragma clang loop unroll(full)
    for (int n = 0; n < N; n++) store(to + (i * N + n) * LANES, sums[i][n]);
}

// Adds P Q of the rows of a tile, whose sums stay in registers.
template <int N>
LORA_INLINE void add_low(const Matrices& p, int64_t row, const float* q,
                            Lanes sums[TILE_ROWS][N]) {
  const float* rows[TILE_ROWS];
  for (int i = 0; i < TILE_ROWS; i++) rows[i] = p.p + std::min(p.m - 1, row + i) * p.r;
  for (int64_t j = 0; j < p.r; j++) {
    Lanes right[N];
    for (int n = 0; n < N; n++) right[n] = load(q + (j * N + n) * LANES);
    for (int i = 0; i < TILE_ROWS; i++)
      for (int n = 0; n < N; n++) sums[i][n] += rows[i][j] * right[n];
  }
}

// Asks for what is read soon, some cache lines at a time.
class Prefetching {
 public:
  // `times`: how often `fetch_some` is called.
  Prefetching(const Ahead& ahead, int64_t times) : ahead_(ahead) {
    const int64_t lines = ahead.pieces * ((ahead.bytes + LINE - 1) / LINE);
    each_ = (lines + times - 1) / times;
  }
  LORA_INLINE void fetch_some() {
    for (int64_t i = 0; i < each_ && piece_ < ahead_.pieces; i++) {
      __builtin_prefetch(ahead_.start + piece_ * ahead_.stride + byte_, 0, 2);
      byte_ += LINE;
      if (byte_ < ahead_.bytes) continue;
      byte_ = 0;
      piece_++;
    }
  }

 private:
  static constexpr int64_t LINE = 64;
  const Ahead ahead_;
  int64_t each_, piece_ = 0, byte_ = 0;
};

// The complete sums of the rows r .. r + TILE_ROWS - 1, of which those from `to` on are none, become
// numbers of C.
template <int N>
LORA_INLINE void finish_sums(int64_t r, int64_t to, const Matrices& p, const Panel& own,
                             Lanes sums[TILE_ROWS][N]) {
  if (p.rounds) round_tile<N>(sums);
  if (p.r > 0) add_low<N>(p, r, own.q, sums);
  const int64_t valid = std::min<int64_t>(TILE_ROWS, to - r);
  if (valid == TILE_ROWS && own.column + N * LANES <= p.n) {
    if (p.c_half)
      finish_tile<N>(p, r, own.column, sums, static_cast<bf16*>(p.c));
    else
      finish_tile<N>(p, r, own.column, sums, static_cast<float*>(p.c));
    return;
  }
  Lanes done[TILE_ROWS][N];
  store_tile<N>(sums, reinterpret_cast<float*>(done));
  if (p.c_half)
    finish_rows<N>(p, r, valid, own.column, &done[0][0], static_cast<bf16*>(p.c));
  else
    finish_rows<N>(p, r, valid, own.column, &done[0][0], static_cast<float*>(p.c));
}

#ifdef LORA_TILES
#include "matrixTiles.h"
#else
// The rows from .. to of A with a panel. `sums_so_far`: of these rows, unless this
// is the first block; if it is the last one, the sums become numbers of C.
template <int N>
__attribute__((noinline)) void multiply_rows(int64_t from, int64_t to, const Matrices& p,
                                             const Panel& own, const Left& a, float* sums_so_far) {
  const Word* panel = static_cast<const Word*>(own.words);
  const int64_t tiles = (to - from + TILE_ROWS - 1) / TILE_ROWS;
  Prefetching next_b(own.ahead, tiles), next_a(own.ahead_a, tiles);
  for (int64_t r = from; r < to; r += TILE_ROWS) {
    next_b.fetch_some();
    next_a.fetch_some();
    const Word* rows[TILE_ROWS];
    for (int i = 0; i < TILE_ROWS; i++)
      rows[i] = a.words + (std::min(to - 1, r + i) - from) * a.row;
    Lanes sums[TILE_ROWS][N] = {};
    float* before = sums_so_far + (r - from) * N * LANES;
    if (!own.is_first) load_tile<N>(before, sums);
    multiply_tile<N>(rows, panel, own.depth, sums);
    if (own.is_last)
      finish_sums<N>(r, to, p, own, sums);
    else
      store_tile<N>(sums, before);
  }
}
#endif

// The words `start` .. `start` + `depth` - 1 of the rows of a task.
LORA_INLINE Left rows_of_a(const Matrices& p, const Task& task, int64_t start, int64_t depth,
                           float* buffer) {
  const Word* a = static_cast<const Word*>(p.a) + task.from * p.a_row + start;
  if (!p.a_competes) return {a, p.a_row};
  Word* copied = reinterpret_cast<Word*>(buffer);
  for (int64_t r = task.from; r < task.to; r++, a += p.a_row)
    std::memcpy(copied + (r - task.from) * BLOCK_WORDS, a, depth * sizeof(Word));
  return {copied, BLOCK_WORDS};
}

template <class T>
LORA_INLINE void pack_panel(const Matrices& p, const T* b, int64_t k, int64_t from, int64_t to,
                            int64_t column, int64_t width, Word* words) {
  const int64_t columns = std::min(p.n - column, width);
  if (p.b_columns)
    pack_columns(from, to, k, b + column * k, columns, width, words);
  else
    pack_depth(from, to, k, b + column, p.n, columns, width, words);
}

// The numbers `first` .. `first` + `count` - 1 of the rows from .. to of blocks.
inline void read_numbers(const std::vector<BlockRows>& blocks, int64_t from, int64_t to,
                         int64_t first, int64_t count, bf16* numbers) {
  int64_t start = 0;
  for (const BlockRows& part : blocks) {
    const int64_t a = std::max(from - start, int64_t(0)), b = std::min(to - start, part.rows);
    if (a < b)
      dequantize_units(a, b, first, count, part.form, part.bytes,
                       numbers + (start + a - from) * count);
    start += part.rows;
  }
}

// As `pack_panel`, of blocks.
inline void pack_blocks(const Matrices& p, int64_t from, int64_t to, int64_t column, int64_t width,
                        bf16* numbers, Word* words) {
  const int64_t columns = std::min(p.n - column, width);
  for (int64_t start = from; start < to; start += PART_WORDS, words += PART_WORDS * width) {
    const int64_t end = std::min(to, start + PART_WORDS), first = start * DEPTH,
                  depth = std::min(p.k, end * DEPTH) - first;
    if (p.b_columns) {
      read_numbers(*p.blocks, column, column + columns, first, depth, numbers);
      pack_columns(0, end - start, depth, numbers, columns, width, words);
    } else {
      const int64_t left = column / UNIT * UNIT, row = round_up(column + columns, UNIT) - left;
      read_numbers(*p.blocks, first, first + depth, left, row, numbers);
      pack_depth(0, end - start, depth, numbers + (column - left), row, columns, width, words);
    }
  }
}

// q as the rows of a panel, in f32.
LORA_INLINE void pack_q(const Matrices& p, int64_t column, int64_t width, float* into) {
  for (int64_t j = 0; j < p.r; j++)
    for (int64_t c = 0; c < width; c++) {
      const int64_t own = column + c;
      into[j * width + c] = own >= p.n ? 0 : p.q[p.b_columns ? own * p.r + j : j * p.n + own];
    }
}

// `rows` rows of blocks from `row` on, and of these the values `first` .. `first` + `count` - 1.
LORA_INLINE Ahead rows_of_blocks(const std::vector<BlockRows>& blocks, int64_t row, int64_t rows,
                                 int64_t first, int64_t count) {
  for (const BlockRows& part : blocks) {
    if (row < part.rows) {
      const BlockSize size = size_of_block(part.form.type);
      const auto* start = (const char*)part.bytes + row * part.form.row_bytes +
                          header_bytes(part.form) + first / size.values * size.bytes;
      return {start, std::min(rows, part.rows - row), count * size.bytes / size.values,
              part.form.row_bytes};
    }
    row -= part.rows;
  }
  return {};
}

// The words start .. end - 1 of the panel at `column`, as they lie in B; none for a negative column.
LORA_INLINE Ahead block_of(const Matrices& p, int64_t start, int64_t end, int64_t column) {
  if (column < 0) return {};
  const int64_t size = p.b_half ? 2 : 4, first = start * DEPTH,
                depth = std::min(p.k, end * DEPTH) - first,
                columns = std::min(PANEL, p.n - column);
  if (p.blocks)
    return p.b_columns ? rows_of_blocks(*p.blocks, column, columns, first, depth)
                       : rows_of_blocks(*p.blocks, first, depth, column, columns);
  const char* b = static_cast<const char*>(p.b);
  if (p.b_columns) return {b + (column * p.k + first) * size, columns, depth * size, p.k * size};
  return {b + (first * p.n + column) * size, depth, columns * size, p.n * size};
}

// What comes after the block start .. end - 1 of the panel i of a task.
LORA_INLINE Ahead next_block(const Matrices& p, const Task& task, int64_t start, int64_t end,
                             int64_t words, int64_t i) {
  if (i + 1 < task.panels) return block_of(p, start, end, task.column + (i + 1) * PANEL);
  if (end < words)
    return block_of(p, end, std::min(words, end + BLOCK_WORDS), task.column);
  return block_of(p, 0, std::min(words, BLOCK_WORDS), task.next_column);
}

// The next block of the rows of A, which is copied.
LORA_INLINE Ahead next_rows(const Matrices& p, const Task& task, int64_t end, int64_t words) {
  const char* a = static_cast<const char*>(p.a) + (task.from * p.a_row + end) * sizeof(Word);
  const int64_t depth = std::min(words - end, BLOCK_WORDS), size = sizeof(Word);
  return {a, depth > 0 ? task.to - task.from : 0, depth * size, p.a_row * size};
}

// The rows of a task of C, and its panels from `column` on.
inline void multiply_task(const Matrices& p, const Task& task, const Buffers& buffers) {
#ifdef LORA_TILES
  const Tiles tiles;
#endif
  const int64_t words = (p.k + DEPTH - 1) / DEPTH,
                sums_of_panel = round_up(task.to - task.from, ROWS_TOGETHER) * PANEL;
  // Once also without words: then C is what is added.
  for (int64_t start = 0; start == 0 || start < words; start += BLOCK_WORDS) {
    const int64_t end = std::min(words, start + BLOCK_WORDS);
    const Left a = rows_of_a(p, task, start, end - start, buffers.a);
    for (int64_t i = 0; i < task.panels; i++) {
      const int64_t column = task.column + i * PANEL,
                    narrow = NARROW_LANES * LANES, width = p.n - column > narrow ? PANEL : narrow;
      Word* packed = reinterpret_cast<Word*>(buffers.panel);
      if (p.blocks)
        pack_blocks(p, start, end, column, width, buffers.numbers, packed);
      else if (p.b_half)
        pack_panel(p, static_cast<const bf16*>(p.b), p.k, start, end, column, width, packed);
      else
        pack_panel(p, static_cast<const float*>(p.b), p.k, start, end, column, width, packed);
#ifdef LORA_TILES
      fill_up(packed, end - start);
#endif
      if (end == words) pack_q(p, column, width, buffers.q);
      const bool copies_next = p.a_competes && i == 0;
      const Panel own{packed,
                      end - start,
                      column,
                      buffers.q,
                      start == 0,
                      end == words,
                      next_block(p, task, start, end, words, i),
                      copies_next ? next_rows(p, task, end, words) : Ahead{}};
      float* sums = buffers.sums + i * sums_of_panel;
      if (width == PANEL)
        multiply_rows<TILE_LANES>(task.from, task.to, p, own, a, sums);
      else
        multiply_rows<NARROW_LANES>(task.from, task.to, p, own, a, sums);
    }
  }
}

#undef LORA_INLINE
