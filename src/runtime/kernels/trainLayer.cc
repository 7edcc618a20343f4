// Whole layers of a Llama in training, forward and backward: what LoraRms, LoraProduct, LoraToHeads,
// LoraAttend, LoraGlu, LoraLowGradients and their gradients compute one after the other, with the
// same numbers. Weights are bf16 or blocks, what is saved is bf16. src/models/layers/fusedLayer.ts calls
// it.

#include <memory>

#include "attend.h"
#include "dropout.h"

namespace lora {

namespace {

template <class T>
using Buffer = std::unique_ptr<T[]>;

// Not set to zero.
template <class T>
Buffer<T> buffer(int64_t count) {
  return Buffer<T>(new T[count]);
}

// W [out, in], A [r, in], B [out, r]; r is 0 without low-rank factors.
struct Linear {
  int64_t in = 0, out = 0, r = 0;
  const bf16* w = nullptr;
  std::vector<BlockRows> blocks;  // in place of w
  const float *a = nullptr, *b = nullptr;
  // Whether the factors have gradients.
  bool trains = false;
  Dropout dropout;

  bool drops() const { return !dropout.parts.empty(); }

  int64_t gradients() const { return trains ? r * (in + out) : 0; }
  void put_weight(ProductOf* product) const {
    if (blocks.empty())
      product->b = w;
    else
      product->blocks = &blocks;
  }
};

struct Layer {
  int64_t n, d;
  Layout heads;
  Attention attention;
  const float *x, *table;
  const float *norm_in, *norm_mlp, *bias;  // bias: of q, k and v, or null
  float eps_in, eps_mlp;
  Linear qkv, o, gate, up, down;
  // Whether the gradients of the input and of attention are wanted.
  bool wants_input, wants_attention;

  int64_t of_queries() const { return n * heads.heads * heads.head_dim; }
  int64_t of_keys() const { return n * heads.kv_heads * heads.head_dim; }
  int64_t inner() const { return n * gate.out; }
};

// What the forward pass saves, as places in one array of f32 and one of bf16.
struct Saved {
  float *r_in, *r_mlp, *x1, *stats, *xa_qkv, *xa_o, *xa_gate, *xa_up, *xa_down;
  bf16 *q, *k, *v, *o, *gate, *up;

  // Numbers of both arrays.
  static int64_t floats(const Layer& l) {
    return l.n * (2 + l.d + 2 * l.heads.heads + l.qkv.r + l.o.r + l.gate.r + l.up.r + l.down.r);
  }
  static int64_t halves(const Layer& l) {
    return 2 * (l.of_queries() + l.of_keys() + l.inner());
  }

  Saved(const Layer& l, float* f, bf16* h) {
    const auto take = [](auto** at, int64_t count) {
      auto* own = *at;
      *at += count;
      return own;
    };
    x1 = take(&f, l.n * l.d);
    stats = take(&f, 2 * l.n * l.heads.heads);
    xa_qkv = take(&f, l.n * l.qkv.r);
    xa_o = take(&f, l.n * l.o.r);
    xa_gate = take(&f, l.n * l.gate.r);
    xa_up = take(&f, l.n * l.up.r);
    xa_down = take(&f, l.n * l.down.r);
    r_in = take(&f, l.n);
    r_mlp = take(&f, l.n);
    q = take(&h, l.of_queries());
    k = take(&h, l.of_keys());
    v = take(&h, l.of_keys());
    o = take(&h, l.of_queries());
    gate = take(&h, l.inner());
    up = take(&h, l.inner());
  }
};

// Some numbers in f32 or bf16 that a product becomes.
struct Output {
  void* at;
  bool is_half;

  Output(float* x) : at(x), is_half(false) {}
  Output(bf16* x) : at(x), is_half(true) {}
};

// y = x Wᵀ + xa Bᵀ + residual with xa = x Aᵀ, which is computed at once.
ProductOf forward(const Linear& l, int64_t n, const bf16* x, float* xa, const float* residual,
                  const Output& y) {
  if (l.drops()) {
    compute_dropped(l.dropout, n, l.in, x, l.a, xa);
  } else if (l.r > 0) {
    ProductOf low{n, l.r, l.in};
    low.a = x;
    low.b = l.a;
    low.b_columns = true;
    low.c = xa;
    compute_product(low);
  }
  ProductOf product{n, l.out, l.in, l.r};
  product.a = x;
  l.put_weight(&product);
  product.b_columns = true;
  product.p = xa;
  product.q = l.b;
  product.residual = residual;
  product.c = y.at;
  product.c_half = y.is_half;
  return product;
}

// What factors add to the gradient of x: dxa A with dxa = dy B [n, r]; with dropout a sum [n, in].
struct LowSum {
  Buffer<float> dxa, sum;
};

// It and the gradients of A and B; nothing without factors. Reads x and xa. The sum is computed only
// if it is wanted.
LowSum low_backward(const Linear& l, int64_t n, Numbers dy, const bf16* x, const float* xa,
                    float* gradients, bool wants_sum = true) {
  LowSum low;
  if (l.r == 0) return low;
  if (l.drops()) {
    if (wants_sum) low.sum = buffer<float>(n * l.in);
    compute_dropped_gradients(l.dropout, {n, l.in, l.out, l.r, dy, x, l.b, xa}, l.a, gradients,
                              low.sum.get());
    return low;
  }
  low.dxa = buffer<float>(n * l.r);
  if (l.trains) {
    compute_low_gradients({n, l.in, l.out, l.r, dy, x, l.b, xa}, low.dxa.get(), gradients);
    return low;
  }
  ProductOf product{n, l.r, l.out};
  product.a = dy;
  product.b = l.b;
  product.exact = true;
  product.c = low.dxa.get();
  compute_product(product);
  return low;
}

// dx = dy W + what factors add + residual; with dropout there is no residual.
ProductOf backward(const Linear& l, int64_t n, Numbers dy, const LowSum& low, const float* residual,
                   const Output& dx) {
  ProductOf product{n, l.in, l.out, low.dxa ? l.r : 0};
  product.a = dy;
  l.put_weight(&product);
  product.p = low.dxa.get();
  product.q = l.a;
  product.residual = low.sum ? low.sum.get() : residual;
  product.c = dx.at;
  product.c_half = dx.is_half;
  return product;
}

void norm(int64_t n, int64_t d, float eps, const float* x, const float* w, bf16* h, float* r) {
  rows(n, d, [&](int64_t from, int64_t to) { LORA_BEST(rms<bf16>(from, to, d, eps, x, w, h, r)); });
}

void norm_grad(int64_t n, int64_t d, const float* x, const float* r, const float* w,
               const float* dh, const float* residual, float* dx) {
  rows(n, d, [&](int64_t from, int64_t to) {
    LORA_BEST(rms_grad<float>(from, to, d, x, r, w, dh, residual, dx));
  });
}

Buffer<bf16> gated(const Layer& l, const Saved& s) {
  auto m = buffer<bf16>(l.inner());
  rows(l.inner(), 1, [&](int64_t from, int64_t to) {
    LORA_BEST(glu<bf16>(from, to, s.gate, s.up, m.get()));
  });
  return m;
}

void attention_forward(const Layer& l, const Saved& s) {
  const int64_t width = l.qkv.out;
  auto qkv = buffer<float>(l.n * width);
  {
    auto h = buffer<bf16>(l.n * l.d);
    norm(l.n, l.d, l.eps_in, l.x, l.norm_in, h.get(), s.r_in);
    compute_product(forward(l.qkv, l.n, h.get(), s.xa_qkv, nullptr, qkv.get()));
  }
  rows(l.n, width, [&](int64_t from, int64_t to) {
    if (l.bias)
      for (int64_t row = from; row < to; row++)
        LORA_BEST(sum3(0, width, qkv.get() + row * width, l.bias, (const float*)nullptr,
                       qkv.get() + row * width));
    LORA_BEST(to_heads(from, to, l.heads, qkv.get(), l.table, s.q, s.k, s.v));
  });
  qkv.reset();
  attend_heads<bf16>(l.attention, s.q, s.k, s.v, nullptr, s.o, s.stats);
  compute_product(forward(l.o, l.n, s.o, s.xa_o, l.x, s.x1));
}

void mlp_forward(const Layer& l, const Saved& s, float* y) {
  {
    auto h = buffer<bf16>(l.n * l.d);
    norm(l.n, l.d, l.eps_mlp, s.x1, l.norm_mlp, h.get(), s.r_mlp);
    compute_pair(forward(l.gate, l.n, h.get(), s.xa_gate, nullptr, s.gate),
                 forward(l.up, l.n, h.get(), s.xa_up, nullptr, s.up), false);
  }
  const auto m = gated(l, s);
  compute_product(forward(l.down, l.n, m.get(), s.xa_down, s.x1, y));
}

// The gradients of the factors, one layer's behind the other's.
struct Gradients {
  float *qkv, *o, *gate, *up, *down;

  static int64_t count(const Layer& l) {
    return l.qkv.gradients() + l.o.gradients() + l.gate.gradients() + l.up.gradients() +
           l.down.gradients();
  }
  Gradients(const Layer& l, float* at) {
    qkv = at;
    o = qkv + l.qkv.gradients();
    gate = o + l.o.gradients();
    up = gate + l.gate.gradients();
    down = up + l.up.gradients();
  }
};

// What the projections of a branch read, computed again if their gradients need it.
Buffer<bf16> normed_again(const Layer& l, bool is_needed, float eps, const float* x,
                          const float* w) {
  if (!is_needed) return nullptr;
  auto h = buffer<bf16>(l.n * l.d);
  auto r = buffer<float>(l.n);
  norm(l.n, l.d, eps, x, w, h.get(), r.get());
  return h;
}

// dh of gate and up, whose gradients are given.
void inner_backward(const Layer& l, const bf16* dgate, const bf16* dup, const LowSum& of_gate,
                    const LowSum& of_up, float* dh) {
  const ProductOf gate = backward(l.gate, l.n, dgate, of_gate, nullptr, dh);
  if (!of_up.sum) {
    // each number of the sum is read before it is written
    compute_pair(gate, backward(l.up, l.n, dup, of_up, dh, dh), true);
    return;
  }
  auto second = buffer<float>(l.n * l.d);
  compute_pair(gate, backward(l.up, l.n, dup, of_up, nullptr, second.get()), false);
  rows(l.n * l.d, 1, [&](int64_t from, int64_t to) {
    LORA_BEST(sum3(from, to, dh, second.get(), (const float*)nullptr, dh));
  });
}

// dx1 of the MLP and the residual for dy.
void mlp_backward(const Layer& l, const Saved& s, const float* dy, const Gradients& g, float* dx1) {
  auto dh = buffer<float>(l.n * l.d);
  {
    auto dgate = buffer<bf16>(l.inner()), dup = buffer<bf16>(l.inner());
    {
      const auto m = l.down.r > 0 ? gated(l, s) : nullptr;
      auto dm = buffer<bf16>(l.inner());
      const auto low = low_backward(l.down, l.n, dy, m.get(), s.xa_down, g.down);
      compute_product(backward(l.down, l.n, dy, low, nullptr, dm.get()));
      rows(l.inner(), 1, [&](int64_t from, int64_t to) {
        LORA_BEST(glu_grad<bf16>(from, to, s.gate, s.up, dm.get(), dgate.get(), dup.get()));
      });
    }
    const auto h = normed_again(l, l.gate.r > 0 || l.up.r > 0, l.eps_mlp, s.x1, l.norm_mlp);
    const auto of_gate = low_backward(l.gate, l.n, dgate.get(), h.get(), s.xa_gate, g.gate),
               of_up = low_backward(l.up, l.n, dup.get(), h.get(), s.xa_up, g.up);
    inner_backward(l, dgate.get(), dup.get(), of_gate, of_up, dh.get());
  }
  norm_grad(l.n, l.d, s.x1, s.r_mlp, l.norm_mlp, dh.get(), dy, dx1);
}

// dqkv [n, (heads + 2 kv_heads) · head_dim] for dx1.
template <class T>
Buffer<T> heads_backward(const Layer& l, const Saved& s, const float* dx1, const Gradients& g) {
  auto d_o = buffer<bf16>(l.of_queries()), dq = buffer<bf16>(l.of_queries()),
       dk = buffer<bf16>(l.of_keys()), dv = buffer<bf16>(l.of_keys());
  const auto low = low_backward(l.o, l.n, dx1, s.o, s.xa_o, g.o);
  compute_product(backward(l.o, l.n, dx1, low, nullptr, d_o.get()));
  attend_heads_grad<bf16>(l.attention, {s.q, s.k, s.v, s.o, s.stats, d_o.get()}, dq.get(), dk.get(),
                          dv.get());
  auto dqkv = buffer<T>(l.n * l.qkv.out);
  rows(l.n, l.qkv.out, [&](int64_t from, int64_t to) {
    LORA_BEST(
        from_heads(from, to, l.heads, dq.get(), dk.get(), dv.get(), l.table, dqkv.get()));
  });
  return dqkv;
}

void attention_backward(const Layer& l, const Saved& s, const float* dx1, const Gradients& g,
                        float* dx) {
  const auto back = [&](Numbers dqkv, const LowSum& low) {
    if (!l.wants_input) return;
    auto dh = buffer<float>(l.n * l.d);
    compute_product(backward(l.qkv, l.n, dqkv, low, nullptr, dh.get()));
    norm_grad(l.n, l.d, l.x, s.r_in, l.norm_in, dh.get(), dx1, dx);
  };
  if (l.qkv.r == 0) return back(heads_backward<bf16>(l, s, dx1, g).get(), {});
  const auto dqkv = heads_backward<float>(l, s, dx1, g);
  const auto h = normed_again(l, true, l.eps_in, l.x, l.norm_in);
  back(dqkv.get(),
       low_backward(l.qkv, l.n, dqkv.get(), h.get(), s.xa_qkv, g.qkv, l.wants_input));
}

// The integers that describe a layer (src/models/ops/layerKernels.ts). Behind TRAINS: of each linear
// layer how many inputs hold its weight in blocks; if some do, the numbers of a row and their types;
// and then the parts of its dropout.
enum {
  BATCH,
  HEADS,
  KV_HEADS,
  CAUSAL,
  WINDOW,
  EPS_IN,
  EPS_MLP,
  WANTS_INPUT,
  WANTS_ATTENTION,
  DROPOUT_RATE,
  DROPOUT_SCALE,
  TRAINS
};
constexpr int LINEARS = 5;

// The inputs of all layers: form, x or dy, ids or empty.
constexpr int COMMON_INPUTS = 3;

// The inputs in f32 of a layer: table, norm_in, norm_mlp, bias or empty; then a and b of each linear
// layer.
constexpr int FLOATS_OF_LAYER = 4 + 2 * LINEARS;

// What is left of the description of the layers, and the number of the next input of each kind.
struct Form {
  const int32_t *at, *end;
  int floats, numbers, blocks;

  int32_t next() { return at < end ? *at++ : 0; }
};

bool read_weight(Call& call, Form* form, Linear* l) {
  const int32_t parts = form->next();
  if (parts == 0) {
    const TF_Tensor* w = call.in(form->numbers++);
    if (!call.ok()) return false;
    l->in = TF_NumDims(w) == 2 ? TF_Dim(w, 1) : 0;
    l->out = TF_NumDims(w) == 2 ? TF_Dim(w, 0) : 0;
    l->w = data<const bf16>(w);
  } else {
    l->in = form->next();
  }
  for (int32_t i = 0; i < parts; i++) {
    const TF_Tensor* words = call.in(form->blocks++);
    BlockRows own;
    if (!call.ok() || !read_blocks(call, form->next(), l->in, words, &own)) return false;
    l->out += own.rows;
    l->blocks.push_back(own);
  }
  return call.expect(parts >= 0 && l->in > 0 && l->out > 0, "LoraLayers: a weight is not a matrix.");
}

bool read_linear(Call& call, bool trains, Form* form, Linear* l) {
  TF_Tensor *a = call.in(form->floats++), *b = call.in(form->floats++);
  if (!call.ok() || !read_weight(call, form, l)) return false;
  l->r = size_of(a) / l->in;
  l->a = data_or_null<const float>(a);
  l->b = data_or_null<const float>(b);
  l->trains = trains && l->r > 0;
  return call.expect(size_of(a) == l->r * l->in && size_of(b) == l->r * l->out &&
                         read_parts(&form->at, form->end, l->r, &l->dropout) &&
                         (l->trains || !l->drops()),
                     "LoraLayers: shapes do not fit.");
}

bool fit(const Layer& l) {
  const Layout& h = l.heads;
  const int64_t own = h.heads * h.head_dim;
  return l.qkv.in == l.d && l.qkv.out == (h.heads + 2 * h.kv_heads) * h.head_dim && l.o.in == own &&
         l.o.out == l.d && l.gate.in == l.d && l.up.in == l.d && l.up.out == l.gate.out &&
         l.down.in == l.gate.out && l.down.out == l.d;
}

// Reads the next layer, whose input has the shape of `x`. Reports an error and returns false if the
// shapes do not fit.
bool read_layer(Call& call, const TF_Tensor* x, const TF_Tensor* ids, Form* form, Layer* l) {
  TF_Tensor *table = call.in(form->floats++), *norm_in = call.in(form->floats++),
            *norm_mlp = call.in(form->floats++), *bias = call.in(form->floats++);
  if (!call.ok() ||
      !call.expect(form->end - form->at >= TRAINS + LINEARS, "LoraLayers: shapes do not fit."))
    return false;
  const int32_t* at = form->at;
  form->at += TRAINS + LINEARS;
  Linear* linears[LINEARS] = {&l->qkv, &l->o, &l->gate, &l->up, &l->down};
  for (int i = 0; i < LINEARS; i++) {
    linears[i]->dropout.rate = from_bits((uint32_t)at[DROPOUT_RATE]);
    linears[i]->dropout.scale = from_bits((uint32_t)at[DROPOUT_SCALE]);
    if (!read_linear(call, at[TRAINS + i] != 0, form, linears[i])) return false;
  }
  l->n = TF_Dim(x, 0);
  l->d = TF_Dim(x, 1);
  const int64_t batch = at[BATCH], heads = at[HEADS], kv = at[KV_HEADS], width = l->qkv.out,
                all = heads + 2 * kv, positions = size_of(table) / width;
  if (!call.expect(batch > 0 && l->n % batch == 0 && heads > 0 && kv > 0 && heads % kv == 0 &&
                       width % (2 * all) == 0 && positions > 0 && l->n % positions == 0 &&
                       positions * width == size_of(table) && size_of(norm_in) == l->d &&
                       size_of(norm_mlp) == l->d &&
                       (size_of(bias) == 0 || size_of(bias) == width) &&
                       (size_of(ids) == 0 || size_of(ids) == 2 * l->n),
                   "LoraLayers: shapes do not fit."))
    return false;
  l->heads = {batch, l->n / batch, heads, kv, width / all, positions};
  if (!call.expect(fit(*l), "LoraLayers: shapes do not fit.")) return false;
  Attention& a = l->attention;
  a = {batch, heads, kv, l->n / batch, l->n / batch, width / all, at[CAUSAL] != 0, at[WINDOW]};
  if (size_of(ids) > 0) {
    a.query_ids = data<const int32_t>(ids);
    a.key_ids = a.query_ids + l->n;
  }
  complete(&a);
  l->table = data<const float>(table);
  l->norm_in = data<const float>(norm_in);
  l->norm_mlp = data<const float>(norm_mlp);
  l->bias = data_or_null<const float>(bias);
  l->eps_in = from_bits((uint32_t)at[EPS_IN]);
  l->eps_mlp = from_bits((uint32_t)at[EPS_MLP]);
  l->wants_input = at[WANTS_INPUT] != 0;
  l->wants_attention = at[WANTS_ATTENTION] != 0;
  return true;
}

// Reads all layers. Reports an error and returns none if the shapes do not fit.
std::vector<Layer> read_layers(Call& call, const Settings& s, const TF_Tensor* x) {
  const TF_Tensor *described = call.in(0), *ids = call.in(2);
  std::vector<Layer> layers;
  if (!call.ok() || !call.expect(TF_NumDims(x) == 2 && size_of(x) > 0 &&
                                     s.F == s.L * FLOATS_OF_LAYER,
                                 "LoraLayers: shapes do not fit."))
    return layers;
  const auto* at = data<const int32_t>(described);
  const int numbers = COMMON_INPUTS + (int)s.F;
  Form form{at, at + size_of(described), COMMON_INPUTS, numbers, numbers + (int)s.H};
  for (int64_t i = 0; i < s.L; i++) {
    Layer l{};
    if (!read_layer(call, x, ids, &form, &l)) return {};
    layers.push_back(std::move(l));
  }
  return layers;
}

// The form, x [n, d] and ids, and the inputs of L layers -> of each its output, and what it saved.
void layers_forward(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  const TF_Tensor* x = call.in(1);
  if (!call.ok()) return;
  auto layers = read_layers(call, s, x);
  const auto* input = data<const float>(x);
  for (int i = 0; i < (int)layers.size(); i++) {
    Layer& l = layers[i];
    TF_Tensor *y = call.out(i, {l.n, l.d}), *floats = call.out(s.L + i, {Saved::floats(l)}),
              *halves = call.out(2 * s.L + i, {Saved::halves(l)});
    if (!call.ok()) return;
    l.x = input;
    const Saved saved(l, data<float>(floats), data<bf16>(halves));
    attention_forward(l, saved);
    mlp_forward(l, saved, data<float>(y));
    input = data<const float>(y);
  }
}

// The gradients of a layer for dy [n, d]; dx only if it is wanted.
void layer_backward(const Layer& l, const Saved& saved, const float* dy, float* gradients,
                    float* dx) {
  const Gradients g(l, gradients);
  auto dx1 = buffer<float>(l.n * l.d);
  mlp_backward(l, saved, dy, g, dx1.get());
  if (l.wants_attention) attention_backward(l, saved, dx1.get(), g, dx);
}

// The form, dy of the last layer and ids, the inputs of L layers with the tables of the opposite
// rotation, and of each x and what it saved -> dx of the first layer, or nothing, and of each trained
// factor A and B [r, in + out] the gradients, as of LoraLowGradients.
void layers_backward(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  const TF_Tensor* last = call.in(1);
  if (!call.ok()) return;
  auto layers = read_layers(call, s, last);
  if (layers.empty()) return;
  int64_t count = 0;
  for (const Layer& l : layers) count += Gradients::count(l);
  const auto [n, d] = std::pair{layers[0].n, layers[0].d};
  TF_Tensor *dx = call.out(0, {layers[0].wants_input ? n : 0, d}), *gradients = call.out(1, {count});
  if (!call.ok()) return;
  const int first = (int)(COMMON_INPUTS + s.F + s.H + s.N), of_kind = (int)s.L;
  auto between = buffer<float>(s.L > 1 ? n * d : 0), other = buffer<float>(s.L > 2 ? n * d : 0);
  const auto* dy = data<const float>(last);
  auto* end = data<float>(gradients) + count;
  for (int i = of_kind - 1; i >= 0; i--) {
    Layer& l = layers[i];
    TF_Tensor *x = call.in(first + i), *floats = call.in(first + of_kind + i),
              *halves = call.in(first + 2 * of_kind + i);
    if (!call.ok() ||
        !call.expect(size_of(x) == n * d && size_of(floats) == Saved::floats(l) &&
                         size_of(halves) == Saved::halves(l) && (i == 0 || l.wants_input),
                     "LoraLayersGrad: shapes do not fit."))
      return;
    l.x = data<const float>(x);
    end -= Gradients::count(l);
    float* into = i == 0 ? data<float>(dx) : between.get();
    layer_backward(l, {l, data<float>(floats), data<bf16>(halves)}, dy, end, into);
    dy = into;
    std::swap(between, other);
  }
}

const std::vector<const char*> ATTRS{"L: int >= 1", "F: int >= 0", "H: int >= 0", "N: int >= 0"};

const bool registered =
    register_op({"LoraLayers",
                 layers_forward,
                 ATTRS,
                 {"form: int32", "x: float", "ids: int32", "f32: F * float",
                  "weights: H * bfloat16", "blocks: N * int32"},
                 {"ys: L * float", "floats: L * float", "halves: L * bfloat16"}}) &&
    register_op({"LoraLayersGrad",
                 layers_backward,
                 ATTRS,
                 {"form: int32", "dy: float", "ids: int32", "f32: F * float",
                  "weights: H * bfloat16", "blocks: N * int32", "xs: L * float",
                  "floats: L * float", "halves: L * bfloat16"},
                 {"dx: float", "gradients: float"}});

}  // namespace

}  // namespace lora
