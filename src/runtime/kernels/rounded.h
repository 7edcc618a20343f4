// Products of rows that are rounded to bytes, for generation.
#pragma once

#include <vector>

#include "levels.h"

namespace lora {

// 32 numbers of a row of x: x ≈ scale · level, with |level| <= 127, and scale = max |x| / 127, as
// ggml's Q8_0 and Q8_1.
struct RoundedUnit {
  alignas(32) int8_t levels[UNIT];
  float scale;
  int32_t sums[2];  // of the first and of the second sixteen levels
  float total;      // scale · their sum
};

// The types that rounded rows are multiplied by. Those of 2 and 3 bits, and those of
// src/formats/quantized, are multiplied exactly.
constexpr bool has_levels(BlockType type) {
  switch (type) {
    case BlockType::Q4_0:
    case BlockType::Q4_1:
    case BlockType::Q5_0:
    case BlockType::Q5_1:
    case BlockType::Q8_0:
    case BlockType::Q4_K:
    case BlockType::Q5_K:
    case BlockType::Q6_K:
    case BlockType::IQ4_NL:
    case BlockType::IQ4_XS:
    case BlockType::MXFP4:
      return true;
    default:
      return false;
  }
}

// Few rows x [m, width], rounded once for the products that read them.
class RoundedRows {
 public:
  static constexpr int64_t GROUP = 8;

  // As how many rows up to eight are stored: those that are missing are 0.
  static int64_t stored(int64_t rows) { return rows == 1 ? 1 : rows <= 4 ? 4 : GROUP; }

  RoundedRows(int64_t m, int64_t width, const float* x);

  // The outputs from .. to of y [m, out] with rows of blocks of a type that `has_levels`.
  void multiply(int64_t from, int64_t to, BlockType type, int64_t row_bytes, int64_t out,
                const uint8_t* q, float* y) const;

 private:
  int64_t rows_of(int64_t group) const { return std::min(GROUP, m_ - group * GROUP); }

  int64_t m_, units_;
  // Of each group of rows the units, of each unit the rows.
  std::vector<RoundedUnit> rows_;
};

}  // namespace lora
