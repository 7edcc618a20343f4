// Adds updates s·BA to rows of a weight: W + dW of float64, rounded to float32 once and then as it is
// stored. src/lora/rowMerger.ts computes the same bytes, in the same order.

#include "call.h"
#include "subnormals.h"

// A product and a sum stay two roundings on every processor.
#pragma STDC FP_CONTRACT OFF

namespace lora {

namespace {

#define LORA_INLINE inline __attribute__((always_inline))

constexpr int EIGHT = 8;
// Columns whose sums stay in the processor's first cache.
constexpr int64_t TILE_COLUMNS = 512;

// How numbers are stored; the values of the attributes `type` and `rounded`.
enum class Stored : int64_t { F32, BF16, F16 };

constexpr int64_t width_of(Stored type) { return type == Stored::F32 ? 4 : 2; }

struct MergedRow {
  Stored from, to;
  const uint8_t* w;
  uint8_t* y;
  int64_t columns;
  // s·B [ranks]; the number of ranks is a multiple of four.
  const double* b;
  // [ranks, stride], zeros beyond the columns.
  const float* a;
  int64_t ranks, stride;
};

// What merging a row has done: the square of the update's length; the largest and the squared
// differences of rounding; elements that 0 was added to, and that are the same as before.
struct RowFacts {
  double square, largest, rounding, still, unchanged, not_finite;
};
constexpr int FACTS = sizeof(RowFacts) / sizeof(double);

// The facts of every eighth column.
struct Lanes8 {
  double square __attribute__((vector_size(64)));
  double rounding __attribute__((vector_size(64)));
  double largest __attribute__((vector_size(64)));
  float not_finite __attribute__((vector_size(32)));
  int32_t still __attribute__((vector_size(32)));
  int32_t unchanged __attribute__((vector_size(32)));
};

}  // namespace

#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline))
// x86 without AVX2 is rare: smaller code counts for more.
#ifdef LORA_LEVELS
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#endif
namespace plain {
#include "mergeRows.h"
}

#ifdef LORA_LEVELS
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AVX2))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX2)))
namespace avx2 {
#include "mergeRows.h"
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(LORA_AVX512), min_vector_width(512))), \
                             apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX512)))
namespace avx512 {
#include "mergeRows.h"
}
#pragma clang attribute pop
#endif

namespace {

void merge_at_level(const MergedRow& m, RowFacts* facts) {
#ifdef LORA_LEVELS
  if (level() == 2) return avx512::merge_row(m, facts);
  if (level() == 1) return avx2::merge_row(m, facts);
#endif
  plain::merge_row(m, facts);
}

RowFacts sum_of(const std::vector<RowFacts>& rows) {
  RowFacts sum{};
  for (const RowFacts& row : rows) {
    sum.square += row.square;
    sum.largest = std::max(sum.largest, row.largest);
    sum.rounding += row.rounding;
    sum.still += row.still;
    sum.unchanged += row.unchanged;
    sum.not_finite += row.not_finite;
  }
  return sum;
}

bool is_stored(int64_t type) { return type >= 0 && type <= (int64_t)Stored::F16; }

// w: rows of `width` numbers as they are stored; b: s·B of these rows in float64 [rows, ranks]; a
// [ranks, width or more] -> the rows as `rounded` stores them, filled up to a whole number of words;
// RowFacts of all rows.
void merge_rows(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  TF_Tensor *w = call.in(0), *b = call.in(1), *a = call.in(2);
  if (!call.ok()) return;
  const bool is_known = is_stored(s.type) && is_stored(s.rounded) && s.width > 0 && TF_NumDims(a) == 2;
  if (!call.expect(is_known, "LoraMergeRows: not its form.")) return;
  const auto from = (Stored)s.type, to = (Stored)s.rounded;
  const int64_t columns = s.width, ranks = TF_Dim(a, 0), stride = TF_Dim(a, 1),
                count = size_of(w) / (columns * width_of(from)),
                padded = (columns + EIGHT - 1) / EIGHT * EIGHT;
  const bool fits = size_of(w) == count * columns * width_of(from) && ranks % 4 == 0 && stride >= padded &&
                    size_of(b) == count * ranks * (int64_t)sizeof(double);
  if (!call.expect(fits, "LoraMergeRows: shapes do not fit.")) return;
  const int64_t row_bytes = columns * width_of(to);
  TF_Tensor *y = call.out(0, {(count * row_bytes + 3) / 4}), *facts = call.out(1, {2 * FACTS});
  if (!call.ok()) return;
  std::vector<RowFacts> of_rows(count);
  rows(count, columns * (ranks + 4), [&](int64_t first, int64_t last) {
    const Subnormals kept;
    std::vector<double> own(ranks);
    for (int64_t row = first; row < last; row++) {
      std::memcpy(own.data(), data<const uint8_t>(b) + row * ranks * sizeof(double), ranks * sizeof(double));
      const MergedRow m{from, to,
                        data<const uint8_t>(w) + row * columns * width_of(from),
                        data<uint8_t>(y) + row * row_bytes,
                        columns, own.data(), data<const float>(a), ranks, stride};
      merge_at_level(m, &of_rows[row]);
    }
  });
  const RowFacts sum = sum_of(of_rows);
  std::memcpy(TF_TensorData(facts), &sum, sizeof(sum));
}

const bool registered = register_op({"LoraMergeRows",
                                     merge_rows,
                                     {"type: int", "rounded: int", "width: int"},
                                     {"w: uint8", "b: uint8", "a: float"},
                                     {"y: int32", "facts: int32"}});

}  // namespace
}  // namespace lora
