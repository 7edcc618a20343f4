// One or more tokens of each of several sequences through all layers of a Llama and its output layer:
// what LoraRms, LoraFewRows, LoraToHeads, LoraAttendOne, LoraGlu and LoraSum compute one after the
// other, with the same numbers. src/models/layers/fusedStep.ts calls it.

#include <cmath>
#include <memory>

#include "call.h"
#include "halfRows.h"
#include "rounded.h"

namespace lora {

namespace {

// Some outputs of a product.
struct Part {
  int64_t type;  // of ggml: 0 for f32, 30 for bf16, or that of blocks
  int64_t first, count, row_bytes;
  const void* weight;
};

constexpr int64_t F32_TYPE = 0, BF16_TYPE = 30;

bool takes_rounded(const Part& part) {
  return part.type != F32_TYPE && part.type != BF16_TYPE && has_levels((BlockType)part.type);
}

bool takes_halves(const Part& part) { return part.type == BF16_TYPE && multiplies_pairs(); }

struct Input;

// y = x Wᵀ + x Aᵀ Bᵀ (+ residual) + bias
struct Product {
  int64_t in = 0, out = 0, r = 0;
  std::vector<Part> parts;
  const float *bias = nullptr, *A = nullptr, *B = nullptr;

  // Whether some of its weights are of a kind.
  template <class F>
  bool has(F kind) const {
    return std::any_of(parts.begin(), parts.end(), kind);
  }

  // The outputs from .. to of x Wᵀ.
  void multiply(int64_t from, int64_t to, const Input& input, float* y) const;

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
  void compute(int64_t from, int64_t to, const Input& input, const float* residual, float* y,
               float* added) const;
};

// Numbers that are written before they are read: a vector would be filled with zeros first.
template <class T>
class Unset {
 public:
  explicit Unset(int64_t size) : numbers_(new T[size]) {}
  T* data() { return numbers_.get(); }

 private:
  const std::unique_ptr<T[]> numbers_;
};

// x as rows that are rounded for weights of some kinds.
struct RoundedInput {
  std::shared_ptr<const RoundedRows> rounded;
  std::shared_ptr<const HalfRows> halves;
};

// What a product reads: rows x, rounded as well if its weights take that, and x Aᵀ.
struct Input {
  int64_t m;
  const float* x;
  RoundedInput as;
  std::vector<float> xa;

  // `shared`: of another product that reads the same rows.
  Input(const Product& product, bool rounds, int64_t m, const float* x, RoundedInput shared = {})
      : m(m), x(x), as(std::move(shared)), xa(product.down(m, x)) {
    if (rounds && !as.rounded && product.has(takes_rounded))
      as.rounded = std::make_shared<RoundedRows>(m, product.in, x);
    if (rounds && !as.halves && product.has(takes_halves))
      as.halves = std::make_shared<HalfRows>(m, product.in, x);
  }
};

void Product::multiply(int64_t from, int64_t to, const Input& input, float* y) const {
  const auto& [m, x, as, xa] = input;
  for (const Part& p : parts) {
    const int64_t a = std::max(from, p.first) - p.first,
                  b = std::min(to, p.first + p.count) - p.first;
    if (a >= b) continue;
    float* own = y + p.first;
    if (p.type == F32_TYPE)
      LORA_BEST(few_rows(a, b, m, in, out, x, (const float*)p.weight, own));
    else if (as.halves && takes_halves(p))
      as.halves->multiply(a, b, out, (const bf16*)p.weight, own);
    else if (p.type == BF16_TYPE)
      LORA_BEST(few_rows(a, b, m, in, out, x, (const bf16*)p.weight, own));
    else if (as.rounded && takes_rounded(p))
      as.rounded->multiply(a, b, (BlockType)p.type, p.row_bytes, out, (const uint8_t*)p.weight, own);
    else
      LORA_BEST(few_rows_of_blocks(a, b, m, rows_form(p.type, in, p.row_bytes), out, x,
                                   (const uint8_t*)p.weight, own));
  }
}

void Product::compute(int64_t from, int64_t to, const Input& input, const float* residual, float* y,
                      float* added) const {
  multiply(from, to, input, y);
  if (r == 0 && !residual && !bias) return;
  if (r > 0) LORA_BEST(few_rows(from, to, input.m, r, out, input.xa.data(), B, added));
  for (int64_t row = 0; row < input.m; row++)
    for (int64_t i = row * out + from; i < row * out + to; i++) {
      if (r > 0) y[i] += added[i];
      if (residual) y[i] += residual[i];
      if (bias) y[i] += bias[i - row * out];
    }
}

// Reads the description of layers: see fusedStep.ts.
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
  const float *table, *norm_in, *norm_mlp;
  Product qkv, o, gate, up, down;
};

// The norm and the output layer above the layers.
struct Head {
  float eps;
  const float* norm;
  Product output;
};

// The token of a row: its sequence, and how many tokens this has before it.
struct Place {
  int64_t sequence, length;
};

// A step of m tokens of some sequences.
struct Step {
  int64_t m, d;
  // Whether rows are rounded for products with weights in blocks and in bf16.
  bool rounds;
  int64_t sequences;
  std::vector<Place> places;
  std::vector<Layer> layers;
  Head head;
};

Layer read_layer(Form& form, int64_t m, int64_t d, int64_t head_dim) {
  Layer l;
  const int64_t heads = form.number(), kv_heads = form.number();
  form.expect(heads > 0 && kv_heads > 0 && heads % kv_heads == 0 && head_dim > 0);
  l.heads = {m, 1, heads, kv_heads, head_dim, m};
  l.window = form.number();
  l.eps_in = form.real();
  l.eps_mlp = form.real();
  l.table = form.vector(m * (heads + 2 * kv_heads) * head_dim);
  l.norm_in = form.vector(d);
  l.norm_mlp = form.vector(d);
  l.qkv = form.product(d, (heads + 2 * kv_heads) * head_dim);
  l.o = form.product(heads * head_dim, d);
  l.gate = form.product(d, -1);
  l.up = form.product(d, l.gate.out);
  l.down = form.product(l.up.out, d);
  return l;
}

// For `caches` caches of keys, all sequences of a layer behind each other.
Step read_step(Form& form, int64_t m, int64_t d, int64_t caches, int64_t head_dim) {
  const bool rounds = form.number() != 0;
  Step step{m, d, rounds, form.number(), {}, {}, {}};
  form.expect(step.sequences > 0 && caches % step.sequences == 0);
  for (int64_t k = 0; k < m; k++) {
    const int64_t sequence = form.number(), length = form.number();
    form.expect(sequence >= 0 && sequence < step.sequences && length >= 0);
    step.places.push_back({sequence, length});
  }
  for (int64_t k = 0; form.good() && k < caches; k += step.sequences)
    step.layers.push_back(read_layer(form, m, d, head_dim));
  step.head.eps = form.real();
  step.head.norm = form.vector(d);
  step.head.output = form.product(d, -1);
  return step;
}

// Keys and values of all sequences in one layer [kv_heads, capacity, head_dim].
template <class T>
struct Caches {
  std::vector<int64_t> capacities;
  std::vector<T*> keys, values;
};

// Writes a row of each head behind the `length` rows that are there.
template <class T>
void append(int64_t kv_heads, int64_t length, int64_t capacity, int64_t d, const T* rows, T* cache) {
  for (int64_t head = 0; head < kv_heads; head++)
    std::memcpy(cache + (head * capacity + length) * d, rows + head * d, d * sizeof(T));
}

// With fewer of them, threads would wait for each other.
constexpr int64_t LEAST_UNITS = 12;

// o [m, heads · head_dim] of the heads of m tokens, which the caches of their sequences get first: a
// token sees those before it in this step, too.
template <class T>
void attend(const Step& step, const Layer& l, const T* q, const T* k, const T* v,
            const Caches<T>& caches, T* o) {
  const int64_t kv = l.heads.kv_heads, d = l.heads.head_dim, heads = l.heads.heads,
                group = heads / kv;
  int64_t most = 0;
  for (int64_t r = 0; r < step.m; r++) {
    const auto [s, length] = step.places[r];
    append(kv, length, caches.capacities[s], d, k + r * kv * d, caches.keys[s]);
    append(kv, length, caches.capacities[s], d, v + r * kv * d, caches.values[s]);
    most = std::max(most, length + 1);
  }
  struct Seen {
    int64_t count;
    const T *keys, *values;
  };
  const auto seen_by = [&](int64_t head) -> Seen {
    const auto [s, before] = step.places[head / heads];
    const int64_t length = before + 1,
                  skipped = l.window > 0 ? std::max<int64_t>(0, length - l.window) : 0,
                  first = (head % heads / group * caches.capacities[s] + skipped) * d;
    return {length - skipped, caches.keys[s] + first, caches.values[s] + first};
  };
  // heads with the same keys go to one thread where there are many
  const int64_t unit = step.m * kv >= LEAST_UNITS ? group : 1;
  rows(step.m * heads / unit, 4 * unit * most * d, [&](int64_t from, int64_t to) {
    std::vector<float> buffer(HEADS_TOGETHER * (most + d));
    Seen seen = seen_by(from * unit);
    for (int64_t i = from * unit, end; i < to * unit; i = end) {
      end = std::min(to * unit, (i / group + 1) * group);
      const Seen next = seen_by(std::min(end, step.m * heads - 1));
      LORA_BEST(attend_one(end - i, seen.count, d, q + i * d, seen.keys, seen.values, next.keys,
                           o + i * d, buffer.data()));
      seen = next;
    }
  });
}

template <class T>
void compute_attention(const Step& step, const Layer& l, const float* x, const Caches<T>& caches,
                       float* y) {
  const Layout& heads = l.heads;
  const int64_t m = step.m, d = step.d, width = l.qkv.out, own = heads.heads * heads.head_dim,
                kv = heads.kv_heads * heads.head_dim;
  Unset<float> h(m * d), r(m), qkv(m * width), added(m * std::max(width, d)), wide(m * own);
  Unset<T> q(m * own), k(m * kv), v(m * kv), o(m * own);
  LORA_BEST(rms<float>(0, m, d, l.eps_in, x, l.norm_in, h.data(), r.data()));
  const Input normed(l.qkv, step.rounds, m, h.data());
  outputs(width, m * d, [&](int64_t from, int64_t to) {
    l.qkv.compute(from, to, normed, nullptr, qkv.data(), added.data());
  });
  LORA_BEST(to_heads(0, m, heads, qkv.data(), l.table, q.data(), k.data(), v.data()));
  attend(step, l, q.data(), k.data(), v.data(), caches, o.data());
  LORA_BEST(convert(0, m * own, o.data(), wide.data()));
  const Input attended(l.o, step.rounds, m, wide.data());
  outputs(d, m * own, [&](int64_t from, int64_t to) {
    l.o.compute(from, to, attended, x, y, added.data());
  });
}

void compute_mlp(const Step& step, const Layer& l, const float* x, float* y) {
  const int64_t m = step.m, d = step.d, inner = l.gate.out;
  Unset<float> h(m * d), r(m), gate(m * inner), up(m * inner), joined(m * inner),
      added(m * std::max(inner, d));
  LORA_BEST(rms<float>(0, m, d, l.eps_mlp, x, l.norm_mlp, h.data(), r.data()));
  const Input of_gate(l.gate, step.rounds, m, h.data());
  const Input of_up(l.up, step.rounds, m, h.data(), of_gate.as);
  outputs(inner, 2 * m * d, [&](int64_t from, int64_t to) {
    l.gate.compute(from, to, of_gate, nullptr, gate.data(), added.data());
    l.up.compute(from, to, of_up, nullptr, up.data(), added.data());
    for (int64_t row = 0; row < m * inner; row += inner)
      LORA_BEST(glu(row + from, row + to, gate.data(), up.data(), joined.data()));
  });
  const Input product(l.down, step.rounds, m, joined.data());
  outputs(d, m * inner, [&](int64_t from, int64_t to) {
    l.down.compute(from, to, product, x, y, added.data());
  });
}

void compute_head(const Step& step, const float* x, float* y) {
  const int64_t m = step.m, d = step.d;
  const Product& output = step.head.output;
  Unset<float> h(m * d), r(m), added(output.r > 0 ? m * output.out : 0);
  LORA_BEST(rms<float>(0, m, d, step.head.eps, x, step.head.norm, h.data(), r.data()));
  const Input input(output, step.rounds, m, h.data());
  outputs(output.out, m * d, [&](int64_t from, int64_t to) {
    output.compute(from, to, input, nullptr, y, added.data());
  });
}

std::vector<TF_Tensor*> next(Call& call, int* i, int64_t count) {
  std::vector<TF_Tensor*> tensors;
  for (int64_t k = 0; k < count; k++) tensors.push_back(call.in((*i)++));
  return tensors;
}

// Checks the caches of all layers, which have room for all tokens.
void expect_room(Form& form, const Step& step, const std::vector<TF_Tensor*>& keys,
                 const std::vector<TF_Tensor*>& values, int64_t head_dim) {
  std::vector<int64_t> lengths(step.sequences);
  for (const auto [sequence, length] : step.places)
    lengths[sequence] = std::max(lengths[sequence], length + 1);
  for (size_t k = 0; k < keys.size() && form.good(); k++)
    form.expect(TF_NumDims(keys[k]) == 3 &&
                TF_Dim(keys[k], 0) == step.layers[k / step.sequences].heads.kv_heads &&
                TF_Dim(keys[k], 1) >= lengths[k % step.sequences] &&
                TF_Dim(keys[k], 2) == head_dim && shape_of(values[k]) == shape_of(keys[k]));
}

// x [m, d], the form, weights and rotary tables, and the keys and values of its sequences in each
// layer [kv_heads, capacity, head_dim], which are changed in place: nothing else may read them
// meanwhile -> logits [m, vocab]
void step_of_model(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  int i = 0;
  TF_Tensor *x = call.in(i++), *form_tensor = call.in(i++);
  const auto f32 = next(call, &i, s.F), bf16s = next(call, &i, s.H), blocks = next(call, &i, s.Q),
             keys = next(call, &i, s.N), values = next(call, &i, s.N);
  if (!call.ok()) return;
  const int64_t m = TF_NumDims(x) == 2 ? TF_Dim(x, 0) : 0, d = last_of(x),
                head_dim = last_of(keys[0]);
  Form form(form_tensor, f32, bf16s, blocks);
  form.expect(m > 0);
  if (!call.expect(form.good(), "LoraStep: shapes do not fit.")) return;
  const Step step = read_step(form, m, d, s.N, head_dim);
  if (form.good()) expect_room(form, step, keys, values, head_dim);
  if (!call.expect(form.good(), "LoraStep: shapes do not fit.")) return;
  TF_Tensor* logits = call.out(0, {m, step.head.output.out});
  if (!call.ok()) return;
  std::vector<float> own(data<const float>(x), data<const float>(x) + m * d), between(m * d);
  typed(s.T, [&](auto t) {
    using T = of<decltype(t)>;
    for (size_t l = 0; l < step.layers.size(); l++) {
      Caches<T> caches;
      for (size_t k = l * step.sequences; k < (l + 1) * step.sequences; k++) {
        caches.capacities.push_back(TF_Dim(keys[k], 1));
        caches.keys.push_back(data<T>(keys[k]));
        caches.values.push_back(data<T>(values[k]));
      }
      compute_attention(step, step.layers[l], own.data(), caches, between.data());
      compute_mlp(step, step.layers[l], between.data(), own.data());
    }
  });
  compute_head(step, own.data(), data<float>(logits));
}

const bool registered = register_op({
    "LoraStep",
    step_of_model,
    {"T" FLOATS, "F: int >= 0", "H: int >= 0", "Q: int >= 0", "N: int >= 1"},
    {"x: float", "form: int32", "f32: F * float", "bf16: H * bfloat16", "blocks: Q * int32",
     "keys: N * T", "values: N * T"},
    {"logits: float"},
});

}  // namespace

}  // namespace lora
