// The kernels' loops for each instruction set, and the choice between them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <vector>

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

// The types of quantized weights, by their numbers in ggml (ggml_type).
enum class BlockType : int64_t {
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ4_NL = 20,
  IQ4_XS = 23,
  MXFP4 = 39,
};

struct BlockSize {
  int64_t values, bytes;
};

// No values: not a type of the kernels.
constexpr BlockSize size_of_block(BlockType type) {
  switch (type) {
    case BlockType::Q4_0:
      return {32, 18};
    case BlockType::Q4_1:
      return {32, 20};
    case BlockType::Q5_0:
      return {32, 22};
    case BlockType::Q5_1:
      return {32, 24};
    case BlockType::Q8_0:
      return {32, 34};
    case BlockType::Q2_K:
      return {256, 84};
    case BlockType::Q3_K:
      return {256, 110};
    case BlockType::Q4_K:
      return {256, 144};
    case BlockType::Q5_K:
      return {256, 176};
    case BlockType::Q6_K:
      return {256, 210};
    case BlockType::IQ4_NL:
      return {32, 18};
    case BlockType::IQ4_XS:
      return {256, 136};
    case BlockType::MXFP4:
      return {32, 17};
  }
  return {0, 0};
}

// The sixteen uneven steps of the IQ4 types.
inline const float IQ4_STEPS[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};
// Twice the sixteen numbers of E2M1.
inline const float MXFP4_STEPS[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Sixteen numbers: one vector register of AVX-512, or several of others.
constexpr int LANES = 16;
typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t LaneBits __attribute__((vector_size(4 * LANES)));
typedef int32_t LaneInts __attribute__((vector_size(4 * LANES)));
typedef uint16_t LaneHalves __attribute__((vector_size(2 * LANES)));
typedef uint8_t LaneBytes __attribute__((vector_size(LANES)));
typedef int8_t LaneSigned __attribute__((vector_size(LANES)));
// Values of a block that are computed together.
constexpr int UNIT = 2 * LANES;

// Rows of x whose sums a product keeps in registers beside those of four rows of W.
#define LORA_ROWS_OF_X 1
#define LORA_LEVEL 0
// Without it, rows of blocks are multiplied as numbers: on x86 without AVX2, which is rare, smaller
// code counts for more.
#if !defined(__x86_64__)
#define LORA_FROM_BLOCKS
#endif
namespace plain {
#include "rows.h"
#include "blocks.h"
#include "products.h"
}

// The attributes are clang's: for zig c++ they replace options, which would hold for the whole file.
#if defined(__x86_64__)
#define LORA_LEVELS
#define LORA_AVX2 "avx2,fma,f16c"
#define LORA_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(LORA_AVX2))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX2)))
#define LORA_FROM_BLOCKS
#undef LORA_LEVEL
#define LORA_LEVEL 1
namespace avx2 {
#include "rows.h"
#include "blocks.h"
#include "products.h"
}
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AVX512), min_vector_width(512))), \
                             apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX512)))
#undef LORA_LEVEL
#define LORA_LEVEL 2
#undef LORA_ROWS_OF_X
#define LORA_ROWS_OF_X 4
namespace avx512 {
#include "rows.h"
#include "blocks.h"
#include "products.h"
}
#pragma clang attribute pop

// 2 for AVX-512, 1 for AVX2. Not __builtin_cpu_supports: nothing fills in its table in what zig
// links, so it always says no.
inline int supported_level() {
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA) || !(c & bit_F16C))
    return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const unsigned avx_state = 0x06, avx512_state = 0xe6;
  if ((low & avx_state) != avx_state) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return 0;
  const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  return (low & avx512_state) == avx512_state && (b & avx512) == avx512 ? 2 : 1;
}
#endif

// 1 if the processor multiplies bf16 (AVX512_BF16 or AMX_BF16), 0 if oneDNN widens it instead; -1
// where only a measurement tells, -2 where oneDNN has no products of bf16: it ends the process then.
inline float multiplies_bf16() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  const bool has_amx_bf16 = d & (1u << 22);
  const bool has_avx512_bf16 = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
  const bool has_ne_convert = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (d & (1u << 5));
  if (supported_level() < 2) return has_ne_convert && supported_level() == 1 ? 0 : -2;
  return has_avx512_bf16 || has_amx_bf16;
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
