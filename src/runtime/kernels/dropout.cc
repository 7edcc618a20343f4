// Dropout before the A of low-rank factors. src/models/ops/fusedOps.ts documents what it computes.

#include "dropout.h"

#include <memory>

namespace lora {

namespace {

constexpr int64_t PART = 64;  // numbers whose mask is made together

uint32_t high_half(uint64_t x) { return (uint32_t)(x >> 32); }

// The key and the counter that StatelessRandomUniform makes of the seeds (seed, 0): one block of
// Philox4x32-10.
MaskKey key_of(const Dropout& dropout, int32_t seed) {
  const uint64_t wide = (uint64_t)(int64_t)seed;
  uint32_t c[4] = {(uint32_t)wide, high_half(wide), 0, 0}, k0 = 0x3ec8f720, k1 = 0x02461e29;
  for (int round = 0; round < 10; round++, k0 += 0x9e3779b9, k1 += 0xbb67ae85) {
    const uint64_t first = c[0] * uint64_t(0xd2511f53), second = c[2] * uint64_t(0xcd9e8d57);
    const uint32_t next[4] = {high_half(second) ^ c[1] ^ k0, (uint32_t)second,
                              high_half(first) ^ c[3] ^ k1, (uint32_t)first};
    std::memcpy(c, next, sizeof(c));
  }
  const auto least = (uint32_t)std::ceil(dropout.rate * (1 << 23));
  return {{c[0], c[1]}, {c[2], c[3]}, least, dropout.scale};
}

void drop(const MaskKey& key, int64_t n, Numbers x, float* dropped, uint8_t* kept) {
  rows((n + PART - 1) / PART, PART, [&](int64_t from, int64_t to) {
    if (x.is_half)
      LORA_BEST(drop(from, to, n, key, static_cast<const bf16*>(x.at), dropped, kept));
    else
      LORA_BEST(drop(from, to, n, key, static_cast<const float*>(x.at), dropped, kept));
  });
}

ProductOf exact(int64_t m, int64_t n, int64_t k, Numbers a, Numbers b, float* c) {
  ProductOf product{m, n, k};
  product.a = a;
  product.b = b;
  product.exact = true;
  product.c = c;
  return product;
}

// Columns of x [m, r], `count` from `first` on, to or from a matrix of their own.
template <class F>
void each_row(int64_t m, int64_t r, int64_t first, int64_t count, F f) {
  for (int64_t row = 0; row < m; row++) f(row * r + first, row * count);
}

int64_t ranks_of(const Dropout& dropout) {
  int64_t r = 0;
  for (const DroppedPart& part : dropout.parts) r += part.r;
  return r;
}

}  // namespace

bool read_parts(const int32_t** at, const int32_t* end, int64_t r, Dropout* dropout) {
  const int64_t count = *at < end ? *(*at)++ : 0;
  if (count < 0 || count > (end - *at) / 3) return false;
  for (int64_t i = 0; i < count; i++, *at += 3) {
    const DroppedPart part{(*at)[0], (*at)[1] != 0, (*at)[2]};
    if (part.r <= 0 || part.r > r) return false;
    r -= part.r;
    dropout->parts.push_back(part);
  }
  return count == 0 || (r == 0 && dropout->rate >= 0 && dropout->rate < 1);
}

void compute_dropped(const Dropout& dropout, int64_t m, int64_t in, Numbers x, const float* a,
                     float* xa) {
  const int64_t r = ranks_of(dropout);
  std::unique_ptr<float[]> dropped(new float[m * in]), own(new float[m * r]);
  int64_t rank = 0;
  for (const DroppedPart& part : dropout.parts) {
    if (part.drops) drop(key_of(dropout, part.seed), m * in, x, dropped.get(), nullptr);
    ProductOf product = exact(m, part.r, in, part.drops ? Numbers(dropped.get()) : x, a + rank * in,
                              part.r == r ? xa : own.get());
    product.b_columns = true;
    compute_product(product);
    if (part.r < r)
      each_row(m, r, rank, part.r, [&](int64_t to, int64_t from) {
        std::memcpy(xa + to, own.get() + from, part.r * sizeof(float));
      });
    rank += part.r;
  }
}

void compute_dropped_gradients(const Dropout& dropout, const LowRank& l, const float* a,
                               float* gradients, float* dx) {
  const int64_t n = l.m * l.in;
  const auto floats = [](int64_t count) { return std::unique_ptr<float[]>(new float[count]); };
  const auto dxa = floats(l.m * l.r), own = floats(l.m * l.r), dropped = floats(n);
  std::unique_ptr<uint8_t[]> kept(new uint8_t[n]);
  compute_product(exact(l.m, l.r, l.out, l.dy, l.b, dxa.get()));
  ProductOf of_b = exact(l.r, l.out, l.m, l.xa, l.dy, gradients + l.r * l.in);
  of_b.a_columns = true;
  compute_product(of_b);
  int64_t rank = 0;
  for (const DroppedPart& part : dropout.parts) {
    each_row(l.m, l.r, rank, part.r, [&](int64_t from, int64_t to) {
      std::memcpy(own.get() + to, dxa.get() + from, part.r * sizeof(float));
    });
    if (part.drops) drop(key_of(dropout, part.seed), n, l.x, dropped.get(), kept.get());
    ProductOf of_a = exact(part.r, l.in, l.m, own.get(), part.drops ? Numbers(dropped.get()) : l.x,
                           gradients + rank * l.in);
    of_a.a_columns = true;
    compute_product(of_a);
    if (dx) {
      compute_product(exact(l.m, l.in, part.r, own.get(), a + rank * l.in, dropped.get()));
      rows(n, 1, [&](int64_t from, int64_t to) {
        LORA_BEST(add_dropped(from, to, dropout.scale, part.drops ? kept.get() : nullptr,
                              dropped.get(), rank > 0, dx));
      });
    }
    rank += part.r;
  }
}

namespace {

// The form of one layer: the bits of the rate and of the scale, and the parts. Reports an error and
// returns false if they do not fit.
bool read_dropout(Call& call, const TF_Tensor* form, int64_t r, Dropout* dropout) {
  const int32_t *at = data<const int32_t>(form), *end = at + size_of(form);
  bool fits = size_of(form) > 2;
  if (fits) {
    dropout->rate = from_bits((uint32_t)at[0]);
    dropout->scale = from_bits((uint32_t)at[1]);
    at += 2;
    fits = read_parts(&at, end, r, dropout) && !dropout->parts.empty();
  }
  return call.expect(fits, "The parts of dropout do not fit the factors.");
}

// form, x [m, in], a [r, in] -> xa [m, r]
void dropped_low(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *form = call.in(0), *x = call.in(1), *a = call.in(2);
  if (!call.ok()) return;
  const int64_t in = last_of(x), m = in > 0 ? size_of(x) / in : 0, r = in > 0 ? size_of(a) / in : 0;
  Dropout dropout;
  if (!call.expect(m * r > 0 && size_of(a) == r * in, "LoraDropped: shapes do not fit.") ||
      !read_dropout(call, form, r, &dropout))
    return;
  TF_Tensor* xa = call.out(0, {m, r});
  if (!call.ok()) return;
  compute_dropped(dropout, m, in, numbers_of(x), data<const float>(a), data<float>(xa));
}

// form, dy [m, out], b [out, r], x [m, in], xa [m, r], a [r, in] -> dx [m, in], or nothing unless
// `wants`, and of each number of dA [r, in], and then of dB [r, out].
void dropped_gradients(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *form = call.in(0), *dy = call.in(1), *b = call.in(2), *x = call.in(3),
            *xa = call.in(4), *a = call.in(5);
  if (!call.ok()) return;
  const int64_t out = last_of(dy), in = last_of(x), r = last_of(b),
                m = out > 0 ? size_of(dy) / out : 0;
  Dropout dropout;
  if (!call.expect(m * out * r * in > 0 && size_of(dy) == m * out && size_of(b) == out * r &&
                       size_of(x) == m * in && size_of(xa) == m * r && size_of(a) == r * in,
                   "LoraDroppedGradients: shapes do not fit.") ||
      !read_dropout(call, form, r, &dropout))
    return;
  const bool wants = static_cast<Settings*>(settings)->wants != 0;
  TF_Tensor *dx = call.out(0, {wants ? m : 0, in}), *both = call.out(1, {r * (in + out)});
  if (!call.ok()) return;
  const LowRank layer{m,  in, out, r, numbers_of(dy), numbers_of(x), data<const float>(b),
                      data<const float>(xa)};
  compute_dropped_gradients(dropout, layer, data<const float>(a), data<float>(both),
                            data_or_null<float>(dx));
}

const bool registered = register_op({"LoraDropped",
                                     dropped_low,
                                     {"T" FLOATS},
                                     {"form: int32", "x: T", "a: float"},
                                     {"xa: float"}}) &&
                        register_op({"LoraDroppedGradients",
                                     dropped_gradients,
                                     {"T" FLOATS, "U" FLOATS, "wants: int = 1"},
                                     {"form: int32", "dy: T", "b: float", "x: U", "xa: float",
                                      "a: float"},
                                     {"dx: float", "both: float"}});

}  // namespace
}  // namespace lora
