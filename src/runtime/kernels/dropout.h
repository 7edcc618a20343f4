// Low-rank factors of linear layers whose input is dropped out, which dropout.cc computes.
#pragma once

#include "product.h"

namespace lora {

// The factors of one module: some ranks of A and B.
struct DroppedPart {
  int64_t r;
  bool drops;  // a frozen module has no dropout
  int32_t seed;
};

struct Dropout {
  float rate = 0, scale = 1;  // what is kept is multiplied by it
  std::vector<DroppedPart> parts;  // of one layer; none without dropout
};

// Integers that describe the parts of a layer: how many, and of each r, whether it drops, and its seed.
// Returns false if they do not fit `r`. `at` is left behind them.
bool read_parts(const int32_t** at, const int32_t* end, int64_t r, Dropout* dropout);

// xa = dropped(x) aᵀ [m, r], with another mask for each part: x [m, in], a [r, in].
void compute_dropped(const Dropout& dropout, int64_t m, int64_t in, Numbers x, const float* a,
                     float* xa);

// As `compute_low_gradients`, and what the factors add to the gradient of x: the sum over the parts of
// mask · (dxa a) [m, in], or null if it is not wanted.
void compute_dropped_gradients(const Dropout& dropout, const LowRank& layer, const float* a,
                               float* gradients, float* dx);

}  // namespace lora
