// Products of matrices of f32 and bf16. src/models/ops/fusedOps.ts documents what they compute.

#include <memory>

#include "call.h"
#include "product.h"

namespace lora {

namespace {

// C [m, n] = A B + P Q + residual: A [m, k], B [k, n], P [m, r], Q [r, n]. A product of bf16 is rounded
// before the others are added: the numbers are those of separate operations.
struct Matrices {
  int64_t m, n, k, r;
  // Rows of words, `a_row` apart.
  const void* a;
  int64_t a_row;
  // Whether rows of A are so far apart that they compete for the same lines of the processor's
  // caches: then blocks of them are copied.
  bool a_competes;
  const void* b;
  bool b_half;
  const std::vector<BlockRows>* blocks;  // null: b
  // Whether A B is rounded to bf16.
  bool rounds;
  // Whether B is there as [n, k], and Q as [n, r].
  bool b_columns;
  const float *p, *q;
  const float* residual;  // null: none
  void* c;
  bool c_half;
};

template <class T>
struct Rows {
  const T* numbers;
  int64_t k, row, step, words_row;
};

// Pieces of memory that are read soon.
struct Ahead {
  const char* start;
  int64_t pieces, bytes, stride;
};

// A block of a panel of B, which has the columns of C from `column` on.
struct Panel {
  const void* words;
  int64_t depth, column;
  const float* q;
  bool is_first, is_last;
  // The block that comes next, and that of A, if its rows compete.
  Ahead ahead, ahead_a;
};

// The rows from .. to of some panels of C.
struct Task {
  int64_t from, to, column, panels;
  // Where this thread probably goes on.
  int64_t next_column;
};

struct Buffers {
  float *panel, *q, *a, *sums;
  bf16* numbers;
};

// Words of A and B that are multiplied before the sums are put away: a panel of so many stays in the
// processor's caches.
constexpr int64_t BLOCK_WORDS = 288;

// Words of a panel whose numbers are made of blocks at a time: they stay in the first cache.
constexpr int64_t PART_WORDS = 96;

// The rows of a task are a multiple of these: of several tiles of vectors, or of two of AMX.
constexpr int64_t ROWS_OF_VECTORS = 24, ROWS_OF_TILES = 32;

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline))
#undef LORA_LEVEL
#define LORA_LEVEL 0
// x86 without AVX2 is rare: smaller code counts for more.
#ifdef LORA_LEVELS
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#endif
namespace plain {
#include "matrix.h"
}

#ifdef LORA_LEVELS
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AVX2))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX2)))
#undef LORA_LEVEL
#define LORA_LEVEL 1
namespace avx2 {
#include "matrix.h"
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(LORA_AVX512), min_vector_width(512))), \
                             apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX512)))
#undef LORA_LEVEL
#define LORA_LEVEL 2
namespace avx512 {
#include "matrix.h"
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(LORA_AVX512_BF16), min_vector_width(512))), \
                             apply_to = function)
#define LORA_PAIRS
namespace avx512_bf16 {
using avx512::dequantize_units;
using avx512::narrow;
using avx512::wide;
#include "matrix.h"
}
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AMX), min_vector_width(512))), \
                             apply_to = function)
#define LORA_TILES
namespace amx {
using avx512::dequantize_units;
using avx512::narrow;
using avx512::wide;
#include "matrix.h"
}
#undef LORA_TILES
#undef LORA_PAIRS
#pragma clang attribute pop
#endif

namespace {

// What computes a product.
enum class Way { PLAIN, AVX2, AVX512, PAIRS, TILES };

Way way_of(bool is_half) {
#ifdef LORA_LEVELS
  if (is_half && multiplies_tiles()) return Way::TILES;
  if (is_half && multiplies_pairs()) return Way::PAIRS;
  if (level() == 2) return Way::AVX512;
  if (level() == 1) return Way::AVX2;
#endif
  return Way::PLAIN;
}

#ifdef LORA_LEVELS
#define LORA_BY(way, call)   \
  do {                       \
    switch (way) {           \
      case Way::TILES:       \
        amx::call;           \
        break;               \
      case Way::PAIRS:       \
        avx512_bf16::call;   \
        break;               \
      case Way::AVX512:      \
        avx512::call;        \
        break;               \
      case Way::AVX2:        \
        avx2::call;          \
        break;               \
      case Way::PLAIN:       \
        plain::call;         \
        break;               \
    }                        \
  } while (0)
#else
#define LORA_BY(way, call) plain::call
#endif

// Memory of one thread, which it keeps.
float* buffer_of(int64_t numbers) {
  thread_local std::vector<float> memory;
  if ((int64_t)memory.size() < numbers + LANES) memory.resize(numbers + LANES);
  void* aligned = memory.data();
  size_t space = memory.size() * sizeof(float);
  std::align(4 * LANES, numbers * sizeof(float), aligned, space);
  return static_cast<float*>(aligned);
}

constexpr int64_t MAX_PANEL = 3 * LANES;

// Whether words are pairs of bf16.
bool takes_pairs(Way way) { return way == Way::PAIRS || way == Way::TILES; }

// Numbers that are made of blocks at a time: columns of a panel, which begin within a unit.
constexpr int64_t MOST_NUMBERS = 2 * PART_WORDS * (MAX_PANEL + LANES);

// Products of a task that take about 5 microseconds.
constexpr int64_t LONG_TASK = 1 << 20;

// Sums of a task that stay in the second cache beside blocks of A that are copied.
constexpr int64_t MOST_SUMS = 6 * 264 * MAX_PANEL;

// How C is divided: so that all threads have something to do, and that the sums of a task stay in
// the second cache.
struct Division {
  int64_t threads, panel, panels, rows, blocks, group;

  Division(const Matrices& p, Way way) : threads(cores()) {
    panel = takes_pairs(way) || way == Way::AVX512 ? MAX_PANEL : LANES;
    const int64_t together = way == Way::TILES ? ROWS_OF_TILES : ROWS_OF_VECTORS;
    panels = (p.n + panel - 1) / panel;
    const bool is_long = p.k > 4 * BLOCK_WORDS;
    const int64_t wanted = (4 * threads + panels - 1) / panels,
                  most = is_long ? 384 : 1024;
    rows = round_up(std::min(most, std::max<int64_t>(64, (p.m + wanted - 1) / wanted)), together);
    blocks = (p.m + rows - 1) / rows;
    // The rows of A are read once for a group of panels. Where they are copied, that they are read
    // once less counts for more than that there are more tasks.
    const int64_t most_panels = p.a_competes ? std::min<int64_t>(6, MOST_SUMS / (rows * panel)) : 4,
                  share = panels * blocks / (p.a_competes ? threads : 2 * threads);
    group = is_long ? std::max<int64_t>(1, std::min(most_panels, share)) : 1;
    // Few tasks are as many for each thread.
    while (group > 1 && tasks() < 8 * threads && tasks() % threads != 0) group--;
  }

  int64_t groups() const { return (panels + group - 1) / group; }
  int64_t tasks() const { return groups() * blocks; }
  // Its products.
  int64_t of_task(const Matrices& p) const { return rows * group * panel * p.k; }
  Task task(int64_t number, const Matrices& p) const {
    const int64_t from = number % blocks * rows, first = number / blocks * group,
                  next = (number + threads) / blocks * group;
    return {from, std::min(p.m, from + rows), first * panel, std::min(group, panels - first),
            next < panels ? next * panel : -1};
  }
};

// Computes products of one size. `in_turn`: a product reads what those before it have written to the
// same place; each task then computes its part of all of them.
void multiply(const std::vector<Matrices>& products, Way way, bool in_turn) {
  const Matrices& p = products.front();
  int64_t rank = 0;
  bool has_blocks = false;
  for (const Matrices& own : products) {
    rank = std::max(rank, own.r);
    has_blocks = has_blocks || own.blocks;
  }
  const Division division(p, way);
  const int64_t of_panel = BLOCK_WORDS * MAX_PANEL, of_q = rank * MAX_PANEL,
                of_a = p.a_competes ? BLOCK_WORDS * division.rows : 0,
                of_sums = division.group * division.rows * MAX_PANEL,
                of_blocks = has_blocks ? MOST_NUMBERS / 2 : 0,
                numbers = of_panel + of_q + of_a + of_sums + of_blocks,
                count = products.size(), together = in_turn ? count : 1,
                tasks = division.tasks() * (count / together);
  const auto work = [&](int64_t first, int64_t last) {
    float* buffer = buffer_of(numbers);
    float* after = buffer + of_panel + of_q;
    const Buffers buffers{buffer, buffer + of_panel, after, after + of_a,
                          reinterpret_cast<bf16*>(after + of_a + of_sums)};
    for (int64_t i = first; i < last; i++)
      for (int64_t k = 0; k < together; k++) {
        const Matrices& own = products[i / division.tasks() + k];
        LORA_BY(way, multiply_task(own, division.task(i % division.tasks(), own), buffers));
      }
  };
  // Tasks are long: that the last ones end together counts for more than how often one is taken.
  if (division.of_task(p) >= LONG_TASK)
    Pool::shared().run_each(tasks, work);
  else
    rows(tasks, together * division.of_task(p), work);
}

// The words of A, which are made if its numbers are not such words.
template <class T>
std::unique_ptr<uint32_t[]> words_of(Matrices* p, const T* a, bool a_columns, bool is_half, Way way) {
  const bool is_paired = takes_pairs(way),
             is_ready = !a_columns && (is_paired ? std::is_same_v<T, bf16> && p->k % 2 == 0
                                                 : std::is_same_v<T, float> && !is_half);
  const int64_t words = is_paired ? (p->k + 1) / 2 : p->k;
  p->a = a;
  p->a_row = words;
  p->a_competes = words % 512 == 0 && words > BLOCK_WORDS;
  if (is_ready) return nullptr;
  std::unique_ptr<uint32_t[]> packed(new uint32_t[p->m * p->a_row]);
  const Rows<T> from_rows{a, p->k, a_columns ? 1 : p->k, a_columns ? p->m : 1, p->a_row};
  rows(p->m, p->k, [&](int64_t from, int64_t to) {
    LORA_BY(way, pack_rows(from, to, from_rows, is_half, packed.get()));
  });
  p->a = packed.get();
  return packed;
}

}  // namespace

namespace {

Matrices matrices_of(const ProductOf& product) {
  Matrices own{};
  own.m = product.m;
  own.n = product.n;
  own.k = product.k;
  own.r = product.r;
  own.b = product.b.at;
  own.blocks = product.blocks;
  own.b_half = product.b.is_half || product.blocks;
  own.b_columns = product.b_columns;
  own.p = product.p;
  own.q = product.q;
  own.residual = product.residual;
  own.c = product.c;
  own.c_half = product.c_half;
  own.rounds = own.b_half && !product.exact;
  return own;
}

void compute(const std::vector<ProductOf>& products, bool in_turn) {
  std::vector<Matrices> own;
  std::vector<std::unique_ptr<uint32_t[]>> words;
  const Way way = way_of(matrices_of(products.front()).rounds);
  for (const ProductOf& product : products) {
    own.push_back(matrices_of(product));
    const auto make = [&](const auto* a) {
      words.push_back(words_of(&own.back(), a, product.a_columns, own.back().rounds, way));
    };
    if (product.a.is_half)
      make(static_cast<const bf16*>(product.a.at));
    else
      make(static_cast<const float*>(product.a.at));
  }
  multiply(own, way, in_turn);
}

}  // namespace

void compute_product(const ProductOf& product) { compute({product}, false); }

void compute_pair(const ProductOf& first, const ProductOf& second, bool in_turn) {
  compute({first, second}, in_turn);
}

void compute_low_gradients(const LowRank& l, float* dxa, float* gradients) {
  const auto exact = [](int64_t m, int64_t n, int64_t k, Numbers a, bool a_columns, Numbers b,
                        float* c) {
    ProductOf product{m, n, k};
    product.a = a;
    product.a_columns = a_columns;
    product.b = b;
    product.exact = true;
    product.c = c;
    compute_product(product);
  };
  if (l.m > 0) exact(l.m, l.r, l.out, l.dy, false, l.b, dxa);
  exact(l.r, l.in, l.m, dxa, true, l.x, gradients);
  exact(l.r, l.out, l.m, l.xa, true, l.dy, gradients + l.r * l.in);
}

namespace {

// a [m, k] (or [k, m]), b [k, n] (or [n, k]), p [m, r] and q [r, n] (or [n, r], as b), or empty,
// residual [m, n] or empty -> [m, n]
void product(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  TF_Tensor *a = call.in(0), *b = call.in(1), *p = call.in(2), *q = call.in(3),
            *residual = call.in(4);
  if (!call.ok() ||
      !call.expect(TF_NumDims(a) == 2 && TF_NumDims(b) == 2, "LoraProduct: no matrices."))
    return;
  ProductOf own{};
  own.a_columns = s.transpose_a != 0;
  own.b_columns = s.transpose_b != 0;
  own.m = TF_Dim(a, own.a_columns ? 1 : 0);
  own.k = TF_Dim(a, own.a_columns ? 0 : 1);
  own.n = TF_Dim(b, own.b_columns ? 0 : 1);
  own.r = size_of(p) / std::max<int64_t>(1, own.m);
  if (!call.expect(TF_Dim(b, own.b_columns ? 1 : 0) == own.k && size_of(p) == own.m * own.r &&
                       size_of(q) == own.r * own.n &&
                       (size_of(residual) == 0 || size_of(residual) == own.m * own.n),
                   "LoraProduct: shapes do not fit."))
    return;
  TF_Tensor* c = call.out(0, {own.m, own.n});
  if (!call.ok() || size_of(c) == 0) return;
  own.a = numbers_of(a);
  own.b = numbers_of(b);
  own.exact = s.exact != 0;
  own.p = data_or_null<const float>(p);
  own.q = data_or_null<const float>(q);
  own.residual = data_or_null<const float>(residual);
  own.c = TF_TensorData(c);
  own.c_half = TF_TensorType(c) == TF_BFLOAT16;
  compute_product(own);
}

// Of a linear layer and its low-rank update: dy [m, out], b [out, r], x [m, in], xa [m, r] ->
// dxa = dy b [m, r], and of each number of dA = dxaᵀ x [r, in], and then of dB = xaᵀ dy [r, out].
void low_gradients(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *dy = call.in(0), *b = call.in(1), *x = call.in(2), *xa = call.in(3);
  if (!call.ok()) return;
  const int64_t out = last_of(dy), in = last_of(x), r = last_of(b),
                m = out > 0 ? size_of(dy) / out : 0;
  if (!call.expect(size_of(dy) == m * out && size_of(b) == out * r && size_of(x) == m * in &&
                       size_of(xa) == m * r && out * r * in > 0,
                   "LoraLowGradients: shapes do not fit."))
    return;
  TF_Tensor *dxa = call.out(0, {m, r}), *both = call.out(1, {r * (in + out)});
  if (!call.ok()) return;
  compute_low_gradients({m, in, out, r, numbers_of(dy), numbers_of(x), data<const float>(b),
                         data<const float>(xa)},
                        data<float>(dxa), data<float>(both));
}

const bool registered = register_op({"LoraProduct",
                                     product,
                                     {"T" FLOATS, "U" FLOATS, "V" FLOATS, "transpose_a: int = 0",
                                      "transpose_b: int = 0", "exact: int = 0"},
                                     {"a: T", "b: U", "p: float", "q: float", "residual: float"},
                                     {"c: V"}}) &&
                        register_op({"LoraLowGradients",
                                     low_gradients,
                                     {"T" FLOATS, "U" FLOATS},
                                     {"dy: T", "b: float", "x: U", "xa: float"},
                                     {"dxa: float", "both: float"}});

}  // namespace
}  // namespace lora
