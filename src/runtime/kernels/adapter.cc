// A step of all tensors of an adapter: its gradients' norm, clipping and AdamW, in float64 and rounded
// to float32 where numbers are stored. src/models/training/adapterStep.ts computes the same bytes.

#include "call.h"
#include "subnormals.h"

// A product and a sum stay two roundings on every processor.
#pragma STDC FP_CONTRACT OFF

namespace lora {

namespace {

#define LORA_INLINE inline __attribute__((always_inline))

constexpr int EIGHT = 8;
// Numbers whose squares are one sum, whatever thread adds them.
constexpr int64_t SUMMED = 4096;

struct Moments {
  float *theta, *gradient, *m, *v;

  Moments from(int64_t i) const { return {theta + i, gradient + i, m + i, v + i}; }
};

struct Coefficients {
  double one_less_beta1, beta2, one_less_beta2, eps, decay, size, root;
  // What the gradients are multiplied by, if they are clipped.
  double factor;
  bool clips;
};

// The numbers start .. end - 1, which take one step.
struct SteppedRange {
  double start, end, decay, size, root;
};

// What all numbers have in common, in the order of `wordsOf` in src/models/training/adapterStep.ts.
struct StepForm {
  double divisor, max_norm, one_less_beta1, beta2, one_less_beta2, eps;
};

}  // namespace

// x86 without AVX2 is rare: smaller code counts for more.
#ifdef LORA_LEVELS
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#endif
namespace plain {
#include "adapterStep.h"
}

#ifdef LORA_LEVELS
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AVX2))), apply_to = function)
namespace avx2 {
#include "adapterStep.h"
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(LORA_AVX512), min_vector_width(512))), \
                             apply_to = function)
namespace avx512 {
#include "adapterStep.h"
}
#pragma clang attribute pop
#endif

namespace {

// Divides all gradients, and returns their norm.
double norm_of(int64_t n, float* gradient, double divisor) {
  const int64_t blocks = (n + SUMMED - 1) / SUMMED;
  std::vector<double> sums(blocks);
  rows(blocks, SUMMED, [&](int64_t from, int64_t to) {
    const Subnormals kept;
    for (int64_t i = from; i < to; i++)
      LORA_BEST(add_squares(std::min(SUMMED, n - i * SUMMED), gradient + i * SUMMED, divisor, &sums[i]));
  });
  double all = 0;
  for (double sum : sums) all += sum;
  return std::sqrt(all);
}

// theta, gradient, m, v: of all numbers, changed in place; form: a StepForm and SteppedRanges in
// ascending order, as words -> the words of the norm in float64. Gradients outside of the ranges
// become zeros, too.
void adapter_step(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *theta = call.in(0), *gradient = call.in(1), *m = call.in(2), *v = call.in(3),
            *words = call.in(4);
  if (!call.ok()) return;
  const int64_t n = size_of(theta), bytes = 4 * size_of(words) - (int64_t)sizeof(StepForm),
                count = bytes / (int64_t)sizeof(SteppedRange);
  if (!call.expect(size_of(gradient) == n && size_of(m) == n && size_of(v) == n && bytes >= 0 &&
                       bytes == count * (int64_t)sizeof(SteppedRange),
                   "LoraAdapterStep: shapes do not fit."))
    return;
  StepForm form;
  std::memcpy(&form, TF_TensorData(words), sizeof(form));
  std::vector<SteppedRange> ranges(count);
  std::memcpy(ranges.data(), data<uint8_t>(words) + sizeof(form), bytes);
  double end = 0;
  for (const SteppedRange& range : ranges) {
    if (!call.expect(range.start >= end && range.end >= range.start && range.end <= n,
                     "LoraAdapterStep: the ranges do not fit."))
      return;
    end = range.end;
  }
  TF_Tensor* result = call.out(0, {2});
  if (!call.ok()) return;
  const Moments all{data<float>(theta), data<float>(gradient), data<float>(m), data<float>(v)};
  const double norm = norm_of(n, all.gradient, form.divisor),
               factor = form.max_norm > 0 ? form.max_norm / (norm + 1e-6) : 1;
  std::memcpy(TF_TensorData(result), &norm, sizeof(norm));
  rows(n, 1, [&](int64_t first, int64_t last) {
    const Subnormals kept;
    int64_t done = first;
    for (const SteppedRange& range : ranges) {
      const int64_t from = std::max((int64_t)range.start, done), to = std::min((int64_t)range.end, last);
      if (from >= to) continue;
      std::fill(all.gradient + done, all.gradient + from, 0.0f);
      const Coefficients c{form.one_less_beta1, form.beta2, form.one_less_beta2, form.eps,
                           range.decay, range.size, range.root, factor, factor < 1};
      LORA_BEST(step_numbers(to - from, c, all.from(from)));
      done = to;
    }
    std::fill(all.gradient + done, all.gradient + last, 0.0f);
  });
}

const bool registered = register_op(
    {"LoraAdapterStep",
     adapter_step,
     {},
     {"theta: float", "gradient: float", "m: float", "v: float", "form: int32"},
     {"norm: int32"}});

}  // namespace
}  // namespace lora
