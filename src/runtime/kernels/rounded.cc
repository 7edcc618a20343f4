// The loops of integer.h for each instruction set, and the choice between them.

#include "rounded.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lora {

// The steps of the IQ4 types, plus 128, and those of MXFP4, plus 12.
inline const uint8_t IQ4_LEVELS[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                       129, 141, 153, 166, 181, 197, 217, 241};
inline const uint8_t MXFP4_LEVELS[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                         12, 11, 10, 9,  8,  6,  4,  0};

#define LORA_DOT_PLAIN 0
#define LORA_DOT_AVX2 1
#define LORA_DOT_VNNI 2
#define LORA_DOT_AVX_VNNI 3
#define LORA_DOT_NEON 4
#define LORA_DOT_NEON_DOT 5

#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline))
#if defined(__aarch64__)
#define LORA_DOT LORA_DOT_NEON
#else
#define LORA_DOT LORA_DOT_PLAIN
#endif
namespace plain {
#include "integer.h"
#include "tiles.h"
#include "roundedRows.h"
}

#if defined(__x86_64__)
#define LORA_VNNI LORA_AVX512 ",avx512vnni"
#define LORA_AVX_VNNI LORA_AVX2 ",avxvnni"
#pragma clang attribute push(__attribute__((target(LORA_AVX2))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX2)))
#undef LORA_DOT
#define LORA_DOT LORA_DOT_AVX2
namespace avx2 {
#include "integer.h"
#include "tiles.h"
#include "roundedRows.h"
}
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AVX_VNNI))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX_VNNI)))
#undef LORA_DOT
#define LORA_DOT LORA_DOT_AVX_VNNI
namespace avx_vnni {
using namespace avx2;
#include "integer.h"
#include "tiles.h"
#include "roundedRows.h"
}
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_VNNI))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_VNNI)))
#undef LORA_DOT
#define LORA_DOT LORA_DOT_VNNI
namespace vnni {
using namespace avx2;
#include "integer.h"
#include "tiles.h"
#include "roundedRows.h"
}
#pragma clang attribute pop
#elif defined(__aarch64__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target("dotprod")))
#undef LORA_DOT
#define LORA_DOT LORA_DOT_NEON_DOT
namespace neon_dot {
using namespace plain;
#include "integer.h"
#include "tiles.h"
#include "roundedRows.h"
}
#pragma clang attribute pop
#endif

// What multiplies bytes on this processor: one of LORA_DOT_*.
inline int supported_dot() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (level() == 0) return LORA_DOT_PLAIN;
  if (level() == 2 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 11)))
    return LORA_DOT_VNNI;
  const char* limit = std::getenv("LORA_KERNELS_LEVEL");
  const bool is_avx2 = limit && std::strcmp(limit, "1") == 0;
  if (!is_avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4)))
    return LORA_DOT_AVX_VNNI;
  return LORA_DOT_AVX2;
#elif defined(__aarch64__) && defined(__APPLE__)
  return LORA_DOT_NEON_DOT;
#elif defined(__aarch64__) && defined(__linux__)
  return getauxval(AT_HWCAP) & (1ul << 20) ? LORA_DOT_NEON_DOT : LORA_DOT_NEON;
#elif defined(__aarch64__)
  return LORA_DOT_NEON;
#else
  return LORA_DOT_PLAIN;
#endif
}

inline int dot_kind() {
  static const int kind = supported_dot();
  return kind;
}

#if defined(__x86_64__)
#define LORA_BEST_DOT(call)     \
  do {                          \
    switch (dot_kind()) {       \
      case LORA_DOT_VNNI:       \
        vnni::call;             \
        break;                  \
      case LORA_DOT_AVX_VNNI:   \
        avx_vnni::call;         \
        break;                  \
      case LORA_DOT_AVX2:       \
        avx2::call;             \
        break;                  \
      default:                  \
        plain::call;            \
    }                           \
  } while (0)
#elif defined(__aarch64__)
#define LORA_BEST_DOT(call)                \
  do {                                     \
    if (dot_kind() == LORA_DOT_NEON_DOT)   \
      neon_dot::call;                      \
    else                                   \
      plain::call;                         \
  } while (0)
#else
#define LORA_BEST_DOT(call) plain::call
#endif

RoundedRows::RoundedRows(int64_t m, int64_t width, const float* x) : m_(m), units_(width / UNIT) {
  const int64_t whole = m / GROUP, rest = m % GROUP;
  rows_.resize((whole * GROUP + (rest ? stored(rest) : 0)) * units_);
  for (int64_t g = 0; g * GROUP < m; g++)
    LORA_BEST_DOT(round_rows(rows_of(g), units_, x + g * GROUP * width, stored(rows_of(g)),
                             rows_.data() + g * GROUP * units_));
}

void RoundedRows::multiply(int64_t from, int64_t to, BlockType type, int64_t row_bytes, int64_t out,
                           const uint8_t* q, float* y) const {
  for (int64_t g = 0; g * GROUP < m_; g++)
    LORA_BEST_DOT(few_rows_rounded(from, to, rows_of(g), type, units_, row_bytes, out,
                                   rows_.data() + g * GROUP * units_, q, y + g * GROUP * out));
}

}  // namespace lora
