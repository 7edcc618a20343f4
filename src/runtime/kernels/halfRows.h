// Products of few rows that are rounded to bf16 with weights in bf16, for generation.
#pragma once

#include <vector>

#include "levels.h"

namespace lora {

// Few rows x [m, width], rounded once for the products that read them, on processors that multiply
// pairs of bf16. Each number of y is a sum in an order that depends on the width alone.
class HalfRows {
 public:
  HalfRows(int64_t m, int64_t width, const float* x);

  // The outputs from .. to of y [m, out] with rows of w [out, width].
  void multiply(int64_t from, int64_t to, int64_t out, const bf16* w, float* y) const;

 private:
  int64_t m_, width_, row_;  // rows are `row_` apart, and 0 from `width_` on
  std::vector<bf16> rows_;
};

}  // namespace lora
