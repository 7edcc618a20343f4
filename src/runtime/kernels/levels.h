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
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
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

// What a mask of dropout is made of: a key and the upper half of a counter of Philox, and the least
// lower 23 bits of a random number whose place is kept, and multiplied by the scale.
struct MaskKey {
  uint32_t key[2], counter[2];
  uint32_t least;
  float scale;
};

// The types of quantized weights, by their numbers in ggml (ggml_type), and those of
// src/formats/quantized.
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
  NF4 = 100,
  FP4 = 101,
  NF4_NESTED = 102,
  FP4_NESTED = 103,
  INT8_ROWS = 104,
  INT8_GROUPS = 105,
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
    case BlockType::NF4:
    case BlockType::FP4:
      return {64, 36};
    case BlockType::NF4_NESTED:
    case BlockType::FP4_NESTED:
      return {64, 33};
    case BlockType::INT8_ROWS:
    case BlockType::INT8_GROUPS:
      return {32, 32};
  }
  return {0, 0};
}

// Whether rows begin with what their blocks have in common.
constexpr bool has_header(BlockType type) { return type >= BlockType::NF4_NESTED; }

// To what the values are rounded, whatever they are read as.
enum class Rounding : int64_t { NONE, TO_BF16, TO_F16 };

// Rows of blocks, in `row_bytes` each.
struct RowsForm {
  BlockType type;
  Rounding rounding;
  // INT8_GROUPS: the logarithm of the number of values that share a scale.
  int64_t group;
  int64_t width, row_bytes;
};

// A type's number has the rounding and the group in its upper bits (src/formats/quantized).
inline RowsForm rows_form(int64_t type, int64_t width, int64_t row_bytes) {
  return {(BlockType)(type & 0xff), (Rounding)(type >> 8 & 0xff), type >> 16 & 0xff, width,
          row_bytes};
}

// Bytes before the first block of a row.
inline int64_t header_bytes(const RowsForm& form) {
  switch (form.type) {
    case BlockType::NF4_NESTED:
    case BlockType::FP4_NESTED:
      return 4 * (3 + (form.width / 64 + 254) / 256);  // first, offset, scales of scales
    case BlockType::INT8_ROWS:
      return 8;
    case BlockType::INT8_GROUPS:
      return 4 * (form.width >> form.group);
    default:
      return 0;
  }
}

// Whether rows of this form hold `width` values.
inline bool fits(const RowsForm& form) {
  const BlockSize block = size_of_block(form.type);
  const bool has_groups = form.type != BlockType::INT8_GROUPS ||
                          (form.group >= 5 && form.group < 32 &&
                           form.width % (int64_t(1) << form.group) == 0);
  return block.values > 0 && form.rounding <= Rounding::TO_F16 && form.width > 0 &&
         form.width % block.values == 0 && has_groups &&
         header_bytes(form) + form.width / block.values * block.bytes <= form.row_bytes;
}

// Some rows of a matrix, each filled up to whole words.
struct BlockRows {
  RowsForm form;
  int64_t rows;
  const uint8_t* bytes;
};

// The sixteen uneven steps of the IQ4 types.
inline const float IQ4_STEPS[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};
// Twice the sixteen numbers of E2M1.
inline const float MXFP4_STEPS[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Quantiles of a normal distribution (bitsandbytes).
inline const float NF4_STEPS[16] = {-1.0f,
                                    -0.6961928009986877f,
                                    -0.5250730514526367f,
                                    -0.39491748809814453f,
                                    -0.28444138169288635f,
                                    -0.18477343022823334f,
                                    -0.09105003625154495f,
                                    0.0f,
                                    0.07958029955625534f,
                                    0.16093020141124725f,
                                    0.24611230194568634f,
                                    0.33791524171829224f,
                                    0.44070982933044434f,
                                    0.5626170039176941f,
                                    0.7229568362236023f,
                                    1.0f};
inline const float FP4_STEPS[16] = {
    0.0f, 1 / 192.0f, 2 / 3.0f, 1.0f, 1 / 3.0f, 0.5f, 1 / 6.0f, 0.25f,
    0.0f, -1 / 192.0f, -2 / 3.0f, -1.0f, -1 / 3.0f, -0.5f, -1 / 6.0f, -0.25f};

// The numbers of bitsandbytes' dynamic type, in ascending order (src/formats/quantized/codes.ts).
struct DynamicMap {
  float numbers[256];

  DynamicMap() {
    float* next = numbers;
    *next++ = 0;
    *next++ = 1;
    for (int i = 0; i < 7; i++) {
      const int count = 1 << i;
      const double start = 0.1f, step = (float)((1.0f - 0.1f) / (float)count);
      const auto bound = [&](int k) {
        return (float)(2 * k < count + 1 ? start + step * k : 1.0 - step * (count - k));
      };
      const float scale = (float)std::pow(10.0, i - 6);
      for (int k = 0; k < count; k++) {
        const float number = scale * ((bound(k) + bound(k + 1)) / 2);
        *next++ = number;
        *next++ = -number;
      }
    }
    std::sort(numbers, next);
  }
};
inline const DynamicMap DYNAMIC_MAP;

// Sixteen numbers: one vector register of AVX-512, or several of others.
constexpr int LANES = 16;
typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t LaneBits __attribute__((vector_size(4 * LANES)));
typedef int32_t LaneInts __attribute__((vector_size(4 * LANES)));
typedef uint16_t LaneHalves __attribute__((vector_size(2 * LANES)));
typedef uint8_t LaneBytes __attribute__((vector_size(LANES)));
typedef int8_t LaneSigned __attribute__((vector_size(LANES)));
typedef uint64_t LanePairsOfBits __attribute__((vector_size(4 * LANES)));
// Values of a block that are computed together.
constexpr int UNIT = 2 * LANES;

// How far before it is needed a byte of a matrix is fetched, of which `together` are read at a time.
inline int64_t ahead_of(int64_t together) { return std::max<int64_t>(together, 10240); }

// Heads that attend together at most.
constexpr int HEADS_TOGETHER = 4;

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
#include "attendOne.h"
#include "weigh.h"
#include "masks.h"
}

// The attributes are clang's: for zig c++ they replace options, which would hold for the whole file.
#if defined(__x86_64__)
#define LORA_LEVELS
#define LORA_AVX2 "avx2,fma,f16c"
#define LORA_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#define LORA_AVX512_BF16 LORA_AVX512 ",avx512bf16"
#define LORA_AMX LORA_AVX512_BF16 ",amx-tile,amx-bf16"
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
#include "attendOne.h"
#include "weigh.h"
#include "masks.h"
}
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AVX512), min_vector_width(512))), \
                             apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX512)))
#undef LORA_LEVEL
#define LORA_LEVEL 2
namespace avx512 {
#include "rows.h"
#include "blocks.h"
#include "products.h"
#include "attendOne.h"
#include "weigh.h"
#include "masks.h"
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
// tested on one machine: 2 for AVX-512, 1+vnni for AVX2 with AVX-VNNI, 1 for AVX2 alone, 0 for
// neither.
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

// Whether products of bf16 are made of pairs, which the processor multiplies.
inline bool multiplies_pairs() {
#ifdef LORA_LEVELS
  static const bool has = [] {
    unsigned a, b, c, d;
    return level() == 2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
  }();
  return has;
#else
  return false;
#endif
}

// Whether the processor multiplies tiles of bf16 (AMX), and Linux permits this process to use them,
// which has to be asked for (Documentation/arch/x86/xstate.rst). Not with LORA_KERNELS_LEVEL.
inline bool multiplies_tiles() {
#if defined(LORA_LEVELS) && defined(__linux__)
  static const bool has = [] {
    unsigned a, b, c, d, low, high;
    const unsigned tile_state = 0x60000, amx_tile_and_bf16 = 1u << 24 | 1u << 22;
    if (!multiplies_pairs() || std::getenv("LORA_KERNELS_LEVEL")) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & amx_tile_and_bf16) != amx_tile_and_bf16)
      return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    return (low & tile_state) == tile_state &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
  }();
  return has;
#else
  return false;
#endif
}

// Whether LoraProduct is faster than oneDNN's products of bf16: not where only those use AMX.
inline bool prefers_product() {
#ifdef LORA_LEVELS
  unsigned a, b, c, d;
  const bool has_amx_bf16 = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22));
  return multiplies_pairs() && (multiplies_tiles() || !has_amx_bf16);
#else
  return false;
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
