// Attention by blocks of queries and keys, with memory linear in their number, and its gradient.
// src/models/ops/fusedOps.ts documents what they compute.

#include <atomic>
#include <memory>
#include <thread>

#include "attend.h"
#include "call.h"

namespace lora {

namespace {

// As in src/models/attention/rowBlocks.ts.
constexpr float HIDDEN = -1e30f;

// Blocks of keys of one head add to the gradients of a block of queries in their order, whichever
// threads compute them, so that the sums are always the same.
class Turns {
 public:
  explicit Turns(const Attention& a)
      : blocks_(a.query_blocks()), next_(a.batch * a.kv_heads * a.query_blocks()) {
    for (int64_t j = a.key_blocks() - 1; j >= 0; j--) {
      const Range own = a.query_blocks_of(j);
      for (int64_t head = 0; head < a.batch * a.kv_heads; head++)
        for (int64_t i = own.from; i < own.to; i++) next_[head * blocks_ + i] = j;
    }
  }
  void await(int64_t head, int64_t i, int64_t j) {
    while (next_[head * blocks_ + i].load(std::memory_order_acquire) != j)
      std::this_thread::yield();
  }
  void pass_on(int64_t head, int64_t i, int64_t j) {
    next_[head * blocks_ + i].store(j + 1, std::memory_order_release);
  }

 private:
  const int64_t blocks_;
  std::vector<std::atomic<int64_t>> next_;
};

template <class T>
struct AttentionGrad {
  const T *q, *k, *v, *d_o;
  // Of each query the largest score and the inverse of the sum; and sum(dO · o).
  const float *stats, *dots;
  float* dq;
  T *dk, *dv;
  Turns* turns;

  void await(int64_t head, int64_t i, int64_t j) const { turns->await(head, i, j); }
  void pass_on(int64_t head, int64_t i, int64_t j) const { turns->pass_on(head, i, j); }
};

}  // namespace

#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline))
#undef LORA_LEVEL
#define LORA_LEVEL 0
namespace plain {
#include "attention.h"
}

#ifdef LORA_LEVELS
#pragma clang attribute push(__attribute__((target(LORA_AVX2))), apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX2)))
#undef LORA_LEVEL
#define LORA_LEVEL 1
namespace avx2 {
#include "attention.h"
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(LORA_AVX512), min_vector_width(512))), \
                             apply_to = function)
#undef LORA_LAMBDA
#define LORA_LAMBDA __attribute__((always_inline, target(LORA_AVX512)))
#undef LORA_LEVEL
#define LORA_LEVEL 2
namespace avx512 {
#include "attention.h"
}
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(LORA_AVX512_BF16), min_vector_width(512))), \
                             apply_to = function)
#define LORA_PAIRS
namespace avx512_bf16 {
using avx512::exponential;
using avx512::lanes_at;
using avx512::narrow;
using avx512::total;
using avx512::wide;
#include "attention.h"
}
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LORA_AMX), min_vector_width(512))), \
                             apply_to = function)
#define LORA_TILES
namespace amx {
using avx512::exponential;
using avx512::lanes_at;
using avx512::narrow;
using avx512::total;
using avx512::wide;
#include "attention.h"
}
#undef LORA_TILES
#undef LORA_PAIRS
#pragma clang attribute pop
#endif

namespace {

#ifdef LORA_LEVELS
#define LORA_BEST_OF_PAIRS(T, call)                                   \
  do {                                                                \
    if constexpr (std::is_same_v<T, bf16>) {                          \
      if (multiplies_tiles()) {                                       \
        amx::call;                                                    \
        break;                                                        \
      }                                                               \
      if (multiplies_pairs()) {                                       \
        avx512_bf16::call;                                            \
        break;                                                        \
      }                                                               \
    }                                                                 \
    LORA_BEST(call);                                                  \
  } while (0)
#else
#define LORA_BEST_OF_PAIRS(T, call) LORA_BEST(call)
#endif

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Calls f for 0 .. n - 1, in this order, from all cores; `numbers`: of a buffer for each.
template <class F>
void drain(int64_t n, int64_t numbers, F f) {
  std::atomic<int64_t> next{0};
  rows(64, 1 << 20, [&](int64_t, int64_t) {
    int64_t i = next++;
    if (i >= n) return;
    std::vector<float> memory(numbers + LANES);
    void* aligned = memory.data();
    size_t space = memory.size() * sizeof(float);
    std::align(4 * LANES, numbers * sizeof(float), aligned, space);
    for (; i < n; i = next++) f(i, static_cast<float*>(aligned));
  });
}

// Reports an error and returns false if the shapes do not fit.
bool read_attention(Call& call, const Settings& s, const TF_Tensor* q, const TF_Tensor* k,
                    const TF_Tensor* v, const TF_Tensor* ids, Attention* a) {
  const bool ranks = TF_NumDims(q) == 4 && TF_NumDims(k) == 3;
  if (!call.expect(ranks && shape_of(k) == shape_of(v), "LoraAttend: shapes do not fit."))
    return false;
  *a = {};
  a->batch = TF_Dim(q, 0);
  a->heads = TF_Dim(q, 1);
  a->queries = TF_Dim(q, 2);
  a->d = TF_Dim(q, 3);
  a->kv_heads = a->batch > 0 ? TF_Dim(k, 0) / a->batch : 0;
  a->keys = TF_Dim(k, 1);
  const int64_t numbers = 2 * a->batch * a->keys;
  if (!call.expect(a->batch > 0 && a->kv_heads > 0 && a->kv_heads * a->batch == TF_Dim(k, 0) &&
                       a->heads % a->kv_heads == 0 && TF_Dim(k, 2) == a->d && a->d > 0 &&
                       a->d % 2 == 0 && a->queries > 0 && a->queries <= a->keys &&
                       (size_of(ids) == 0 || size_of(ids) == numbers),
                   "LoraAttend: shapes do not fit."))
    return false;
  a->causal = s.causal != 0;
  a->window = s.window;
  a->softcap = s.softcap;
  if (size_of(ids) > 0) {
    a->query_ids = data<const int32_t>(ids);
    a->key_ids = a->query_ids + a->batch * a->keys;
  }
  complete(a);
  return true;
}

// Words of a block of keys.
int64_t block_words(const Attention& a, int64_t depth) { return a.block_keys * a.width / depth; }

}  // namespace

void complete(Attention* a) {
  a->first = a->keys - a->queries;
  a->width = round_up(a->d, LANES);
  a->block_queries = std::min(MAX_BLOCK_QUERIES, round_up(a->queries, LANES));
  a->block_keys = std::min<int64_t>(128, round_up(a->keys, LANES));
}

template <class T>
void attend_heads(const Attention& a, const T* q, const T* k, const T* v, const float* sinks, T* o,
                  float* stats) {
  const int64_t depth = std::is_same_v<T, bf16> && multiplies_pairs() ? 2 : 1,
                words = block_words(a, depth), all = a.batch * a.kv_heads * a.key_blocks();
  std::unique_ptr<uint32_t[]> packed(new uint32_t[2 * all * words]);
  uint32_t *keys = packed.get(), *values = keys + all * words;
  drain(all, words, [&](int64_t item, float* buffer) {
    const int64_t head = item / a.key_blocks(), from = head * a.keys * a.d,
                  key = item % a.key_blocks() * a.block_keys;
    LORA_BEST_OF_PAIRS(T, pack_keys<T>(a, k + from, v + from, key, (uint32_t*)buffer,
                                       keys + item * words, values + item * words));
  });
  // The last queries see the most keys: they come first.
  const int64_t heads = a.batch * a.heads, group = a.heads / a.kv_heads,
                numbers = a.block_queries * (2 * a.block_keys + 3 * a.width + 2);
  drain(heads * a.query_blocks(), numbers, [&](int64_t item, float* buffer) {
    const int64_t head = item % heads, sequence = head / a.heads, own = head / group,
                  query = (a.query_blocks() - 1 - item / heads) * a.block_queries,
                  at = own * a.key_blocks() * words;
    LORA_BEST_OF_PAIRS(
        T, attend_block<T>(a, sequence, query, q + head * a.queries * a.d, keys + at, values + at,
                           sinks ? sinks + head % a.heads : nullptr,
                           o + (sequence * a.queries * a.heads + head % a.heads) * a.d,
                           stats + 2 * head * a.queries, buffer));
  });
}

template <class T>
void attend_heads_grad(const Attention& a, const Attended<T>& own, T* dq, T* dk, T* dv) {
  const int64_t heads = a.batch * a.heads;
  std::vector<float> dots(heads * a.queries);
  rows(a.batch * a.queries, a.heads * a.d, [&](int64_t from, int64_t to) {
    std::vector<float> sums((to - from) * a.heads);
    const int64_t at = from * a.heads * a.d;
    LORA_BEST(row_dots(0, sums.size(), a.d, own.o + at, own.d_o + at, sums.data()));
    for (int64_t row = from; row < to; row++)
      for (int64_t h = 0; h < a.heads; h++)
        dots[(row / a.queries * a.heads + h) * a.queries + row % a.queries] =
            sums[(row - from) * a.heads + h];
  });
  const int64_t block = a.block_queries * a.width, size = a.block_keys * a.width,
                scores = a.block_queries * a.block_keys;
  std::unique_ptr<float[]> sums(new float[heads * a.query_blocks() * block]());
  Turns turns(a);
  const AttentionGrad<T> g{own.q,       own.k,      own.v, own.d_o, own.stats,
                           dots.data(), sums.get(), dk,    dv,      &turns};
  // Blocks of keys of one head are far from each other in this order, so they rarely wait.
  const int64_t kv = a.batch * a.kv_heads;
  drain(kv * a.key_blocks(), 6 * scores + 5 * size + 4 * block, [&](int64_t item, float* buffer) {
    LORA_BEST_OF_PAIRS(T, attend_block_grad<T>(a, g, item % kv, item / kv, buffer));
  });
  rows(heads * a.queries, a.d, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; row++) {
      const int64_t head = row / a.queries, i = row % a.queries,
                    at = head * a.query_blocks() * block + i * a.width;
      LORA_BEST(convert(0, a.d, sums.get() + at, dq + row * a.d));
    }
  });
}

template void attend_heads(const Attention&, const bf16*, const bf16*, const bf16*, const float*,
                           bf16*, float*);
template void attend_heads_grad(const Attention&, const Attended<bf16>&, bf16*, bf16*, bf16*);

namespace {

// q [batch, heads, queries, d], k and v [batch · kv_heads, keys, d], ids [2, batch, keys] or empty,
// sinks [heads] or empty -> o [batch · queries, heads · d], stats [batch, heads, queries, 2]
void attend(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *q = call.in(0), *k = call.in(1), *v = call.in(2), *ids = call.in(3),
            *sinks = call.in(4);
  Attention a;
  if (!call.ok() || !read_attention(call, *static_cast<Settings*>(settings), q, k, v, ids, &a))
    return;
  if (!call.expect(size_of(sinks) == 0 || size_of(sinks) == a.heads,
                   "LoraAttend: there is not one sink for each head."))
    return;
  TF_Tensor *o = call.out(0, {a.batch * a.queries, a.heads * a.d}),
            *stats = call.out(1, {a.batch, a.heads, a.queries, 2});
  if (!call.ok()) return;
  typed(q, [&](auto t) {
    using T = of<decltype(t)>;
    attend_heads<T>(a, data<const T>(q), data<const T>(k), data<const T>(v),
                    data_or_null<const float>(sinks), data<T>(o), data<float>(stats));
  });
}

// The inputs and outputs of `attend`, and dO like o -> dq, dk, dv
void attend_grad(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *q = call.in(0), *k = call.in(1), *v = call.in(2), *ids = call.in(3), *o = call.in(4),
            *stats = call.in(5), *d_o = call.in(6);
  Attention a;
  if (!call.ok() || !read_attention(call, *static_cast<Settings*>(settings), q, k, v, ids, &a))
    return;
  if (!call.expect(size_of(o) == size_of(q) && size_of(d_o) == size_of(q) &&
                       size_of(stats) == 2 * a.batch * a.heads * a.queries,
                   "LoraAttendGrad: shapes do not fit."))
    return;
  TF_Tensor *dq = call.out(0, shape_of(q)), *dk = call.out(1, shape_of(k)),
            *dv = call.out(2, shape_of(v));
  if (!call.ok()) return;
  typed(q, [&](auto t) {
    using T = of<decltype(t)>;
    const Attended<T> own{data<const T>(q), data<const T>(k),         data<const T>(v),
                          data<const T>(o), data<const float>(stats), data<const T>(d_o)};
    attend_heads_grad<T>(a, own, data<T>(dq), data<T>(dk), data<T>(dv));
  });
}

const bool registered =
    register_op({"LoraAttend",
                 attend,
                 {"T" FLOATS, "causal: int", "window: int", "softcap: float"},
                 {"q: T", "k: T", "v: T", "ids: int32", "sinks: float"},
                 {"o: T", "stats: float"}}) &&
    register_op({"LoraAttendGrad",
                 attend_grad,
                 {"T" FLOATS, "causal: int", "window: int", "softcap: float"},
                 {"q: T", "k: T", "v: T", "ids: int32", "o: T", "stats: float", "d_o: T"},
                 {"dq: T", "dk: T", "dv: T"}});

}  // namespace

}  // namespace lora
