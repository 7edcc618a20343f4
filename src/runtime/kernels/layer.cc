// One more token of each of several sequences through a whole layer of a Llama: what LoraRms,
// LoraFewRows, LoraToHeads, LoraAttendOne, LoraGlu and LoraSum compute one after the other, with
// the same numbers. src/models/layers/fusedStep.ts calls it.

#include <cmath>

#include "call.h"

namespace lora {

namespace {

// Some outputs of a product.
struct Part {
  int64_t type;  // of ggml: 0 for f32, 30 for bf16, or that of blocks
  int64_t first, count, row_bytes;
  const void* weight;
};

constexpr int64_t F32_TYPE = 0, BF16_TYPE = 30;

// y = x Wᵀ + x Aᵀ Bᵀ (+ residual) + bias
struct Product {
  int64_t in = 0, out = 0, r = 0;
  std::vector<Part> parts;
  const float *bias = nullptr, *A = nullptr, *B = nullptr;

  // The outputs from .. to of x Wᵀ.
  void multiply(int64_t from, int64_t to, int64_t m, const float* x, float* y) const {
    for (const Part& p : parts) {
      const int64_t a = std::max(from, p.first) - p.first,
                    b = std::min(to, p.first + p.count) - p.first;
      if (a >= b) continue;
      float* own = y + p.first;
      if (p.type == F32_TYPE)
        LORA_BEST(few_rows(a, b, m, in, out, x, (const float*)p.weight, own));
      else if (p.type == BF16_TYPE)
        LORA_BEST(few_rows(a, b, m, in, out, x, (const bf16*)p.weight, own));
      else
        LORA_BEST(few_rows_of_blocks(a, b, m, rows_form(p.type, in, p.row_bytes), out, x,
                                     (const uint8_t*)p.weight, own));
    }
  }

  // x Aᵀ [m, r]
  std::vector<float> down(int64_t m, const float* x) const {
    std::vector<float> xa(m * r);
    if (r > 0)
      rows(r, m * in, [&](int64_t from, int64_t to) {
        LORA_BEST(few_rows(from, to, m, in, r, x, A, xa.data()));
      });
    return xa;
  }

  // The outputs from .. to of y; `residual` may be null. `added`: a buffer like y.
  void compute(int64_t from, int64_t to, int64_t m, const float* x, const float* xa,
               const float* residual, float* y, float* added) const {
    multiply(from, to, m, x, y);
    if (r > 0) LORA_BEST(few_rows(from, to, m, r, out, xa, B, added));
    for (int64_t row = 0; row < m; row++)
      for (int64_t i = row * out + from; i < row * out + to; i++) {
        if (r > 0) y[i] += added[i];
        if (residual) y[i] += residual[i];
        if (bias) y[i] += bias[i - row * out];
      }
  }
};

// Reads the description of a layer: see fusedStep.ts.
class Form {
 public:
  Form(const TF_Tensor* form, std::vector<TF_Tensor*> f32, std::vector<TF_Tensor*> bf16,
       std::vector<TF_Tensor*> blocks)
      : at_(data<const int32_t>(form)),
        end_(at_ + size_of(form)),
        f32_(std::move(f32)),
        bf16_(std::move(bf16)),
        blocks_(std::move(blocks)) {}

  bool good() const { return good_; }
  void expect(bool holds) { good_ = good_ && holds; }

  int64_t number() {
    expect(at_ < end_);
    return good_ ? *at_++ : 0;
  }
  float real() { return from_bits((uint32_t)number()); }

  // A vector of `size` numbers.
  const float* vector(int64_t size) {
    const TF_Tensor* x = tensor(f32_, number());
    expect(x && size_of(x) == size);
    return good_ ? data<const float>(x) : nullptr;
  }

  // A product of rows of `in` numbers, which has `out` outputs (-1: any number).
  Product product(int64_t in, int64_t out) {
    Product p;
    p.in = in;
    const int64_t bias = number(), A = number(), B = number(), count = number();
    for (int64_t i = 0; i < count && good_; i++) {
      const Part part = next_part(p);
      p.parts.push_back(part);
      p.out += part.count;
    }
    expect(p.out > 0 && (out < 0 || p.out == out));
    if (good_ && bias >= 0) p.bias = matrix(bias, p.out);
    if (good_ && A >= 0) {
      p.r = size_of(tensor(f32_, A)) / in;
      expect(p.r > 0);
      p.A = matrix(A, p.r * in);
      p.B = matrix(B, p.out * p.r);
    }
    return p;
  }

 private:
  TF_Tensor* tensor(const std::vector<TF_Tensor*>& list, int64_t i) {
    static TF_Tensor* const none = nullptr;
    expect(i >= 0 && i < (int64_t)list.size());
    return good_ ? list[i] : none;
  }

  const float* matrix(int64_t i, int64_t size) {
    const TF_Tensor* x = tensor(f32_, i);
    expect(x && size_of(x) == size);
    return good_ ? data<const float>(x) : nullptr;
  }

  Part next_part(const Product& p) {
    const int64_t type = number(), i = number();
    const bool dense = type == F32_TYPE || type == BF16_TYPE;
    const TF_Tensor* x = tensor(type == F32_TYPE ? f32_ : type == BF16_TYPE ? bf16_ : blocks_, i);
    expect(x && TF_NumDims(x) == 2);
    if (!good_) return {};
    const int64_t row_bytes = 4 * TF_Dim(x, 1);
    expect(dense ? TF_Dim(x, 1) == p.in : fits(rows_form(type, p.in, row_bytes)));
    return {type, p.out, TF_Dim(x, 0), row_bytes, TF_TensorData(x)};
  }

  const int32_t *at_, *end_;
  const std::vector<TF_Tensor*> f32_, bf16_, blocks_;
  bool good_ = true;
};

struct Layer {
  Layout heads;
  int64_t window;
  float eps_in, eps_mlp;
  const float *norm_in, *norm_mlp;
  Product qkv, o, gate, up, down;
};

Layer read_layer(Form& form, int64_t m, int64_t d, int64_t head_dim) {
  Layer l;
  const int64_t heads = form.number(), kv_heads = form.number();
  form.expect(heads > 0 && kv_heads > 0 && heads % kv_heads == 0 && head_dim > 0);
  l.heads = {m, 1, heads, kv_heads, head_dim, m};
  l.window = form.number();
  l.eps_in = form.real();
  l.eps_mlp = form.real();
  l.norm_in = form.vector(d);
  l.norm_mlp = form.vector(d);
  l.qkv = form.product(d, (heads + 2 * kv_heads) * head_dim);
  l.o = form.product(heads * head_dim, d);
  l.gate = form.product(d, -1);
  l.up = form.product(d, l.gate.out);
  l.down = form.product(l.up.out, d);
  return l;
}

// Keys or values of one sequence [kv_heads, length, head_dim] with one more row of each head.
template <class T>
void append(int64_t head, int64_t length, int64_t d, const T* cache, const T* row, T* longer) {
  T* to = longer + head * (length + 1) * d;
  std::memcpy(to, cache + head * length * d, length * d * sizeof(T));
  std::memcpy(to + length * d, row + head * d, d * sizeof(T));
}

template <class T>
struct Caches {
  std::vector<int64_t> lengths;
  std::vector<const T*> keys, values;
  std::vector<T*> longer_keys, longer_values;
};

// o [m, heads · head_dim] of the heads of m sequences, whose caches grow.
template <class T>
void attend(const Layer& l, const T* q, const T* k, const T* v, const Caches<T>& caches, T* o) {
  const int64_t kv = l.heads.kv_heads, d = l.heads.head_dim, group = l.heads.heads / kv,
                m = l.heads.batch;
  const int64_t most = *std::max_element(caches.lengths.begin(), caches.lengths.end()) + 1;
  rows(m * kv, 4 * most * d * group, [&](int64_t from, int64_t to) {
    std::vector<float> buffer(most + d);
    for (int64_t i = from; i < to; i++) {
      const int64_t s = i / kv, head = i % kv, length = caches.lengths[s] + 1,
                    skipped = l.window > 0 ? std::max<int64_t>(0, length - l.window) : 0,
                    first = (head * length + skipped) * d;
      append(head, length - 1, d, caches.keys[s], k + s * kv * d, caches.longer_keys[s]);
      append(head, length - 1, d, caches.values[s], v + s * kv * d, caches.longer_values[s]);
      const int64_t at = (s * l.heads.heads + head * group) * d;
      LORA_BEST(attend_one(0, group, group, length - skipped, d, q + at,
                           caches.longer_keys[s] + first, caches.longer_values[s] + first, o + at,
                           buffer.data(), buffer.data() + most));
    }
  });
}

template <class T>
void compute_attention(const Layer& l, int64_t d, const float* x, const float* table,
                       const Caches<T>& caches, float* y) {
  const Layout& heads = l.heads;
  const int64_t m = heads.batch, width = l.qkv.out, own = heads.heads * heads.head_dim,
                kv = heads.kv_heads * heads.head_dim;
  std::vector<float> h(m * d), r(m), qkv(m * width), added(m * std::max(width, d)), wide(m * own);
  std::vector<T> q(m * own), k(m * kv), v(m * kv), o(m * own);
  LORA_BEST(rms<float>(0, m, d, l.eps_in, x, l.norm_in, h.data(), r.data()));
  std::vector<float> xa = l.qkv.down(m, h.data());
  rows(width, m * d, [&](int64_t from, int64_t to) {
    l.qkv.compute(from, to, m, h.data(), xa.data(), nullptr, qkv.data(), added.data());
  });
  LORA_BEST(to_heads(0, m, heads, qkv.data(), table, q.data(), k.data(), v.data()));
  attend(l, q.data(), k.data(), v.data(), caches, o.data());
  LORA_BEST(convert(0, m * own, o.data(), wide.data()));
  xa = l.o.down(m, wide.data());
  rows(d, m * own, [&](int64_t from, int64_t to) {
    l.o.compute(from, to, m, wide.data(), xa.data(), x, y, added.data());
  });
}

void compute_mlp(const Layer& l, int64_t m, int64_t d, const float* x, float* y) {
  const int64_t inner = l.gate.out;
  std::vector<float> h(m * d), r(m), gate(m * inner), up(m * inner), added(m * std::max(inner, d));
  LORA_BEST(rms<float>(0, m, d, l.eps_mlp, x, l.norm_mlp, h.data(), r.data()));
  const std::vector<float> gate_down = l.gate.down(m, h.data()), up_down = l.up.down(m, h.data());
  rows(inner, 2 * m * d, [&](int64_t from, int64_t to) {
    l.gate.compute(from, to, m, h.data(), gate_down.data(), nullptr, gate.data(), added.data());
    l.up.compute(from, to, m, h.data(), up_down.data(), nullptr, up.data(), added.data());
    for (int64_t row = 0; row < m * inner; row += inner)
      LORA_BEST(glu(row + from, row + to, gate.data(), up.data(), gate.data()));
  });
  const std::vector<float> down = l.down.down(m, gate.data());
  rows(d, m * inner, [&](int64_t from, int64_t to) {
    l.down.compute(from, to, m, gate.data(), down.data(), x, y, added.data());
  });
}

std::vector<TF_Tensor*> next(Call& call, int* i, int64_t count) {
  std::vector<TF_Tensor*> tensors;
  for (int64_t k = 0; k < count; k++) tensors.push_back(call.in((*i)++));
  return tensors;
}

// x [m, d], the form, the rotary table [m · (heads + 2 kv_heads) · head_dim], weights, and the keys
// and values of m sequences [kv_heads, length, head_dim] -> y [m, d], longer keys and values
void step_of_layer(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  int i = 0;
  TF_Tensor *x = call.in(i++), *form_tensor = call.in(i++), *table = call.in(i++);
  const auto f32 = next(call, &i, s.F), bf16s = next(call, &i, s.H), blocks = next(call, &i, s.Q),
             keys = next(call, &i, s.N), values = next(call, &i, s.N);
  if (!call.ok()) return;
  const int64_t m = s.N, d = last_of(x), head_dim = last_of(keys[0]);
  Form form(form_tensor, f32, bf16s, blocks);
  form.expect(m > 0 && TF_NumDims(x) == 2 && TF_Dim(x, 0) == m);
  const Layer layer = read_layer(form, m, d, head_dim);
  form.expect(size_of(table) == m * layer.qkv.out);
  for (int64_t k = 0; k < m; k++)
    form.expect(TF_NumDims(keys[k]) == 3 && TF_Dim(keys[k], 0) == layer.heads.kv_heads &&
                TF_Dim(keys[k], 2) == head_dim && shape_of(values[k]) == shape_of(keys[k]));
  if (!call.expect(form.good(), "LoraStepOfLayer: shapes do not fit.")) return;
  TF_Tensor* y = call.out(0, {m, d});
  typed(s.T, [&](auto t) {
    using T = of<decltype(t)>;
    Caches<T> caches;
    for (int64_t k = 0; k < m && call.ok(); k++) {
      const int64_t length = TF_Dim(keys[k], 1);
      const std::vector<int64_t> shape{layer.heads.kv_heads, length + 1, head_dim};
      TF_Tensor *longer = call.out((int)(1 + k), shape), *more = call.out((int)(1 + m + k), shape);
      if (!call.ok()) return;
      caches.lengths.push_back(length);
      caches.keys.push_back(data<const T>(keys[k]));
      caches.values.push_back(data<const T>(values[k]));
      caches.longer_keys.push_back(data<T>(longer));
      caches.longer_values.push_back(data<T>(more));
    }
    std::vector<float> between(m * d);
    compute_attention(layer, d, data<const float>(x), data<const float>(table), caches,
                      between.data());
    compute_mlp(layer, m, d, between.data(), data<float>(y));
  });
}

const bool registered = register_op({
    "LoraStepOfLayer",
    step_of_layer,
    {"T" FLOATS, "F: int >= 0", "H: int >= 0", "Q: int >= 0", "N: int >= 1"},
    {"x: float", "form: int32", "table: float", "f32: F * float", "bf16: H * bfloat16",
     "blocks: Q * int32", "keys: N * T", "values: N * T"},
    {"y: float", "longer_keys: N * T", "longer_values: N * T"},
});

}  // namespace

}  // namespace lora
