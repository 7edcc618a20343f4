// Products of matrices, which matrix.cc computes.
#pragma once

#include <cstdint>
#include <vector>

#include "call.h"

namespace lora {

// Numbers of f32 or bf16.
struct Numbers {
  const void* at = nullptr;
  bool is_half = false;

  Numbers() = default;
  Numbers(const float* x) : at(x) {}
  Numbers(const bf16* x) : at(x), is_half(true) {}
};

inline Numbers numbers_of(const TF_Tensor* x) {
  if (TF_TensorType(x) == TF_BFLOAT16) return data<const bf16>(x);
  return data<const float>(x);
}

// C [m, n] = A B + P Q + residual: A [m, k], B [k, n], P [m, r], Q [r, n]. Where B is bf16 and the
// product is not exact, A is rounded to bf16, and A B before the others are added.
struct ProductOf {
  int64_t m, n, k, r = 0;
  Numbers a, b;
  // B in blocks, of which its numbers in bf16 are made: rows below each other. Null: b.
  const std::vector<BlockRows>* blocks = nullptr;
  // Whether A is there as [k, m]; whether B is there as [n, k], and Q as [n, r].
  bool a_columns = false, b_columns = false;
  bool exact = false;
  const float *p = nullptr, *q = nullptr;
  const float* residual = nullptr;  // null: none
  void* c;
  bool c_half = false;
};

void compute_product(const ProductOf& product);

// Two products whose operands have the same sizes and types, as one piece of work. `in_turn`: the
// residual of the second one is the first one.
void compute_pair(const ProductOf& first, const ProductOf& second, bool in_turn);

// A linear layer [m, in] -> [m, out] with a low-rank update: dy [m, out], b [out, r], x [m, in],
// xa [m, r].
struct LowRank {
  int64_t m, in, out, r;
  Numbers dy, x;
  const float *b, *xa;
};

// dxa = dy b [m, r], and of each number of dA = dxaᵀ x [r, in], and then of dB = xaᵀ dy [r, out].
void compute_low_gradients(const LowRank& layer, float* dxa, float* gradients);

}  // namespace lora
