// Writes the trained numbers of an adapter into the matrices of its blocks.
// src/models/training/writtenFactors.ts calls it.

#include "call.h"
#include "subnormals.h"

// A product and a sum stay two roundings on every processor.
#pragma STDC FP_CONTRACT OFF

namespace lora {

namespace {

// A module's factors within the matrices of its block, as words: A [r, in] from `a` on in the flat
// vector is in the block's A [ranks, in] at `rank`; B [.., r] from `b` on is in the block's
// B [out, ranks] at `row` and `rank`, times `scaling`.
struct PlacedFactors {
  double block, a, b, r, in, row, rows, rank, ranks, out, scaling;
};
constexpr int WORDS = sizeof(PlacedFactors) / sizeof(double);

// Larger sizes could overflow.
constexpr double LARGEST_SIZE = 1LL << 31, LARGEST_PLACE = 1LL << 53;

struct Place {
  int64_t block, a, b, r, in, row, rows, rank, ranks, out;
  double scaling;
  // The row of B of each of its rows in the block; null: the same.
  const int32_t* order = nullptr;

  Place() = default;
  explicit Place(const PlacedFactors& p)
      : block((int64_t)p.block), a((int64_t)p.a), b((int64_t)p.b), r((int64_t)p.r),
        in((int64_t)p.in), row((int64_t)p.row), rows((int64_t)p.rows), rank((int64_t)p.rank),
        ranks((int64_t)p.ranks), out((int64_t)p.out), scaling(p.scaling) {}

  int64_t row_of(int64_t i) const { return order ? order[i] : i; }
  int64_t numbers() const { return r * (in + rows); }

  // Whether it lies within its block, and its factors within n numbers.
  bool fits(int64_t n) const {
    int64_t last = rows - 1;
    for (int64_t i = 0; order && i < rows; i++) {
      if (order[i] < 0) return false;
      last = std::max<int64_t>(last, order[i]);
    }
    return r > 0 && in > 0 && rows > 0 && rank + r <= ranks && row + rows <= out &&
           a + r * in <= n && b + (last + 1) * r <= n;
  }
};

bool are_sizes(const PlacedFactors& p) {
  for (double size : {p.block, p.r, p.in, p.row, p.rows, p.rank, p.ranks, p.out})
    if (!(size >= 0 && size <= LARGEST_SIZE)) return false;
  for (double place : {p.a, p.b})
    if (!(place >= 0 && place <= LARGEST_PLACE)) return false;
  return true;
}

// Of n numbers; orders: of each block, [out] or empty. Reports an error and returns false if they do
// not fit; `within`: whether a place lies within the tensors of its block.
template <class F>
bool read_places(Call& call, TF_Tensor* words, int64_t n, const std::vector<TF_Tensor*>& orders,
                 F within, std::vector<Place>* places) {
  const int64_t count = size_of(words) / (2 * WORDS);
  std::vector<PlacedFactors> all(count);
  std::memcpy(all.data(), TF_TensorData(words), count * sizeof(PlacedFactors));
  for (const PlacedFactors& own : all) {
    bool fits = are_sizes(own) && own.block < (double)orders.size();
    if (fits) {
      Place place(own);
      const TF_Tensor* order = orders[place.block];
      fits = size_of(order) == 0 ||
             (size_of(order) == place.out && place.row + place.rows <= place.out);
      if (fits && size_of(order) > 0) place.order = data<const int32_t>(order) + place.row;
      fits = fits && place.fits(n) && within(place);
      places->push_back(place);
    }
    if (!call.expect(fits, "LoraWriteFactors: shapes do not fit.")) return false;
  }
  return true;
}

// Calls f with each place, on all threads.
template <class F>
void each(const std::vector<Place>& places, F f) {
  int64_t numbers = 0;
  for (const Place& place : places) numbers += place.numbers();
  const int64_t count = places.size();
  if (count == 0) return;
  rows(count, numbers / count, [&](int64_t from, int64_t to) {
    const Subnormals kept;
    for (int64_t i = from; i < to; i++) f(places[i]);
  });
}

std::vector<TF_Tensor*> inputs_from(Call& call, int64_t first, int64_t count) {
  std::vector<TF_Tensor*> inputs;
  for (int64_t i = 0; i < count; i++) inputs.push_back(call.in((int)(first + i)));
  return inputs;
}

int64_t blocks_of(void* settings) { return static_cast<Settings*>(settings)->N; }

// theta: all numbers; form: PlacedFactors; A [ranks, in] and B [out, ranks] of each block, which are
// changed in place.
void write_factors(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const int64_t blocks = blocks_of(settings);
  TF_Tensor *theta = call.in(0), *words = call.in(1);
  const auto as = inputs_from(call, 2, blocks), bs = inputs_from(call, 2 + blocks, blocks),
             orders = inputs_from(call, 2 + 2 * blocks, blocks);
  if (!call.ok()) return;
  std::vector<Place> places;
  const auto within = [&](const Place& p) {
    return p.ranks * p.in == size_of(as[p.block]) && p.out * p.ranks == size_of(bs[p.block]);
  };
  if (!read_places(call, words, size_of(theta), orders, within, &places)) return;
  call.out(0, {0});
  if (!call.ok()) return;
  const float* numbers = data<float>(theta);
  each(places, [&](const Place& p) {
    std::memcpy(data<float>(as[p.block]) + p.rank * p.in, numbers + p.a,
                p.r * p.in * sizeof(float));
    float* into = data<float>(bs[p.block]) + p.row * p.ranks + p.rank;
    for (int64_t i = 0; i < p.rows; i++, into += p.ranks) {
      const float* b = numbers + p.b + p.row_of(i) * p.r;
      for (int64_t k = 0; k < p.r; k++) into[k] = (float)(p.scaling * b[k]);
    }
  });
}

const bool registered =
    register_op({"LoraWriteFactors",
                 write_factors,
                 {"N: int >= 1"},
                 {"theta: float", "form: int32", "as: N * float", "bs: N * float",
                  "orders: N * int32"},
                 {"nothing: float"}});

}  // namespace
}  // namespace lora
