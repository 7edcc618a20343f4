// The loop of products of rows of bf16, where the processor multiplies pairs of these.

#include "halfRows.h"

namespace lora {

namespace {

// Numbers of bf16 in a vector.
constexpr int HALVES = 2 * LANES;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

#ifdef LORA_LEVELS
#pragma clang attribute push(__attribute__((target(LORA_AVX512_BF16), min_vector_width(512))), \
                             apply_to = function)
namespace avx512_bf16 {

#define LORA_INLINE inline __attribute__((always_inline))

typedef __bf16 Halves __attribute__((vector_size(2 * HALVES)));

LORA_INLINE Halves halves_at(const bf16* p) {
  Halves v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// The last numbers of a row, and 0 behind them.
LORA_INLINE Halves last_halves(const bf16* p, int64_t count) {
  Halves v = {};
  std::memcpy(&v, p, count * sizeof(bf16));
  return v;
}

// x [m, width] -> rows of bf16, `row` apart.
inline void round_halves(int64_t m, int64_t width, int64_t row, const float* x, bf16* rows) {
  for (int64_t r = 0; r < m; r++)
    for (int64_t i = 0; i < width; i++) rows[r * row + i] = avx512::narrow<bf16>(x[r * width + i]);
}

// W rows of w with R rows x.
template <int W, int R>
LORA_INLINE void multiply_tile(int64_t width, const bf16* w, bool fetch, int64_t row, const bf16* x,
                               int64_t out, float* y) {
  Lanes sums[R][W] = {};
  const auto add = [&](int64_t i, const Halves* values)
                       __attribute__((always_inline, target(LORA_AVX512_BF16))) {
    for (int r = 0; r < R; r++) {
      const Halves own = halves_at(x + r * row + i);
      for (int k = 0; k < W; k++)
        sums[r][k] = __builtin_ia32_dpbf16ps_512(sums[r][k], own, values[k]);
    }
  };
  const auto* ahead = (const char*)w + ahead_of(W * width * sizeof(bf16));
  Halves values[W];
  int64_t i = 0;
  for (; i + HALVES <= width; i += HALVES) {
    for (int k = 0; k < W; k++) {
      if (fetch) avx512::fetch_ahead(ahead + (i * W + k * HALVES) * sizeof(bf16));
      values[k] = halves_at(w + k * width + i);
    }
    add(i, values);
  }
  if (i < width) {
    for (int k = 0; k < W; k++) values[k] = last_halves(w + k * width + i, width - i);
    add(i, values);
  }
  for (int r = 0; r < R; r++)
    for (int k = 0; k < W; k++) y[r * out + k] = avx512::total(sums[r][k]);
}

// W rows of w with m rows x.
template <int W>
LORA_INLINE void multiply_some(int64_t m, int64_t width, const bf16* w, int64_t row, const bf16* x,
                               int64_t out, float* y) {
  int64_t r = 0;
  for (; r + 8 <= m; r += 8)
    multiply_tile<W, 8>(width, w, r == 0, row, x + r * row, out, y + r * out);
  for (; r + 4 <= m; r += 4)
    multiply_tile<W, 4>(width, w, r == 0, row, x + r * row, out, y + r * out);
  for (; r + 2 <= m; r += 2)
    multiply_tile<W, 2>(width, w, r == 0, row, x + r * row, out, y + r * out);
  for (; r < m; r++) multiply_tile<W, 1>(width, w, r == 0, row, x + r * row, out, y + r * out);
}

// The outputs from .. to of m rows x.
inline void few_halves(int64_t from, int64_t to, int64_t m, int64_t width, const bf16* w,
                       int64_t row, const bf16* x, int64_t out, float* y) {
  int64_t o = from;
  // one row is read faster than several at a time, which save loading x
  for (; m > 1 && o + 3 <= to; o += 3) multiply_some<3>(m, width, w + o * width, row, x, out, y + o);
  for (; o < to; o++) multiply_some<1>(m, width, w + o * width, row, x, out, y + o);
}

#undef LORA_INLINE

}  // namespace avx512_bf16
#pragma clang attribute pop
#endif

HalfRows::HalfRows(int64_t m, int64_t width, const float* x)
    : m_(m), width_(width), row_(round_up(width, HALVES)), rows_(m * row_) {
#ifdef LORA_LEVELS
  avx512_bf16::round_halves(m, width, row_, x, rows_.data());
#endif
}

void HalfRows::multiply(int64_t from, int64_t to, int64_t out, const bf16* w, float* y) const {
#ifdef LORA_LEVELS
  avx512_bf16::few_halves(from, to, m_, width_, w, row_, rows_.data(), out, y);
#endif
}

}  // namespace lora
