// The kernels' loops for each instruction set, and the choice between them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define LORA_LAMBDA __attribute__((always_inline))

namespace lora {

struct bf16 {
  uint16_t bits;
};

inline __attribute__((always_inline)) float from_bits(uint32_t u) {
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}
inline __attribute__((always_inline)) uint32_t to_bits(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return u;
}

// Of rows of q, k and v [batch · length, (heads + 2 kv_heads) · head_dim]. The rotary table has
// `positions` rows, which repeat.
struct Layout {
  int64_t batch, length, heads, kv_heads, head_dim, positions;
};

// Added to the scores: one mask of `rows` rows for each `rows_per_mask` rows of scores, within
// which it repeats. A null pointer: no mask.
struct Mask {
  const float* numbers;
  int64_t rows_per_mask, rows;
};

// The coefficients of one step of AdamW, in the order of `stepTensors` in
// src/models/training/adamw.ts.
struct AdamWStep {
  float scale, decay, size, root, one_less_beta1, beta2, one_less_beta2, eps;
};

namespace plain {
#include "rows.h"
}

// The attributes are clang's: for zig c++ they replace options, which would hold for the whole file.
#if defined(__x86_64__)
#define LORA_LEVELS
#define LORA_AVX2 "avx2,fma"
#define LORA_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
#pragma clang attribute push(__attribute__((target(LORA_AVX2))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX2)))
namespace avx2 {
#include "rows.h"
}
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AVX512), min_vector_width(512))), \
                             apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX512)))
namespace avx512 {
#include "rows.h"
}
#pragma clang attribute pop

// 2 for AVX-512, 1 for AVX2. Not __builtin_cpu_supports: nothing fills in its table in what zig
// links, so it always says no.
inline int supported_level() {
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const unsigned avx_state = 0x06, avx512_state = 0xe6;
  if ((low & avx_state) != avx_state) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return 0;
  const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  return (low & avx512_state) == avx512_state && (b & avx512) == avx512 ? 2 : 1;
}
#endif

// 1 if the processor multiplies bf16 (AVX512_BF16 or AMX_BF16), 0 if it does not; -1 where only a
// measurement tells.
inline float multiplies_bf16() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  const bool has_amx_bf16 = d & (1u << 22);
  const bool has_avx512_bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
  return supported_level() == 2 && (has_avx512_bf16 || has_amx_bf16);
#else
  return -1;
#endif
}

// The widest instruction set of the processor. LORA_KERNELS_LEVEL lowers it, so that each can be
// tested on one machine.
inline int level() {
#ifdef LORA_LEVELS
  static const int supported = [] {
    const int best = supported_level();
    const char* limit = std::getenv("LORA_KERNELS_LEVEL");
    return limit ? std::min(best, std::atoi(limit)) : best;
  }();
  return supported;
#else
  return 0;
#endif
}

#ifdef LORA_LEVELS
#define LORA_BEST(call)    \
  do {                     \
    if (level() == 2)      \
      avx512::call;        \
    else if (level() == 1) \
      avx2::call;          \
    else                   \
      plain::call;         \
  } while (0)
#else
#define LORA_BEST(call) plain::call
#endif

}  // namespace lora
