// What sampling needs of logits, so that little of a vocabulary is left to JavaScript.

#include "call.h"

namespace lora {

namespace {

// z [m, vocab] and f64 temperatures [m, 2] as halves -> of blocks of `width` tokens the largest logit
// and, unless the temperature is 0, the sum of exp((z - the row's largest) / temperature).
void weigh(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *z = call.in(0), *halves = call.in(1);
  if (!call.ok()) return;
  const int64_t vocab = last_of(z), m = vocab == 0 ? 0 : size_of(z) / vocab;
  const int64_t width = static_cast<Settings*>(settings)->width;
  if (!call.expect(width > 0 && size_of(halves) == 2 * m, "LoraWeigh: shapes do not fit.")) return;
  const int64_t blocks = (vocab + width - 1) / width;
  TF_Tensor *largest = call.out(0, {m, blocks}), *sums = call.out(1, {m, blocks, 2});
  if (!call.ok()) return;
  std::vector<double> temperatures(m), most(m, -INFINITY);
  std::memcpy(temperatures.data(), TF_TensorData(halves), 8 * m);
  // Calls f for the blocks of each row in [from, to) of all blocks.
  const auto each_row = [&](auto f) {
    rows(m * blocks, width, [&](int64_t from, int64_t to) {
      for (int64_t row = from / blocks; row * blocks < to; row++)
        f(row, std::max<int64_t>(0, from - row * blocks), std::min(blocks, to - row * blocks));
    });
  };
  each_row([&](int64_t row, int64_t from, int64_t to) {
    LORA_BEST(largest_of_blocks(from, to, width, vocab, data<float>(z) + row * vocab,
                                data<float>(largest) + row * blocks));
  });
  for (int64_t i = 0; i < m * blocks; i++)
    most[i / blocks] = std::max<double>(most[i / blocks], data<float>(largest)[i]);
  each_row([&](int64_t row, int64_t from, int64_t to) {
    double* own = (double*)data<float>(sums) + row * blocks;
    if (temperatures[row] > 0)
      LORA_BEST(weigh_blocks(from, to, width, vocab, data<float>(z) + row * vocab, most[row],
                             temperatures[row], own));
    else
      std::fill(own + from, own + to, 0.0);
  });
}

const bool registered = register_op({
    "LoraWeigh",
    weigh,
    {"width: int"},
    {"z: float", "temperatures: int32"},
    {"largest: float", "sums: float"},
});

}  // namespace

}  // namespace lora
