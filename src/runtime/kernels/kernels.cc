// Fused operations that libtensorflow lacks: what a transformer computes between its products, each
// in one pass over memory instead of one pass per elementwise operation, in f32 or bf16. They are
// registered through TensorFlow's C API when the binding is loaded, and are called like any other
// operation. src/models/ops/fusedOps.ts documents what each one computes.

#include "call.h"
#include "halfRows.h"
#include "rounded.h"

namespace lora {

void rms(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *x = call.in(0), *w = call.in(1);
  if (!call.ok()) return;
  const int64_t d = last_of(x), n = d == 0 ? 0 : size_of(x) / d;
  if (!call.expect(size_of(w) == d, "LoraRms: the weight has another length than the rows."))
    return;
  TF_Tensor *h = call.out(0, shape_of(x)), *r = call.out(1, {n, 1});
  if (!call.ok()) return;
  const float eps = static_cast<Settings*>(settings)->eps;
  typed(h, [&](auto t) {
    using T = of<decltype(t)>;
    rows(n, d, [&](int64_t from, int64_t to) {
      LORA_BEST(
          rms<T>(from, to, d, eps, data<float>(x), data<float>(w), data<T>(h), data<float>(r)));
    });
  });
}

void rms_grad(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *x = call.in(0), *r = call.in(1), *w = call.in(2), *dh = call.in(3),
            *residual = call.in(4);
  if (!call.ok()) return;
  const int64_t d = last_of(x), n = d == 0 ? 0 : size_of(x) / d;
  if (!call.expect(size_of(w) == d && size_of(r) == n && size_of(dh) == n * d &&
                       (size_of(residual) == n * d || size_of(residual) == 0),
                   "LoraRmsGrad: shapes do not fit."))
    return;
  TF_Tensor* dx = call.out(0, shape_of(x));
  if (!call.ok()) return;
  typed(dh, [&](auto t) {
    using T = of<decltype(t)>;
    rows(n, d, [&](int64_t from, int64_t to) {
      LORA_BEST(rms_grad<T>(from, to, d, data<float>(x), data<float>(r), data<float>(w),
                            data<T>(dh), data_or_null<float>(residual), data<float>(dx)));
    });
  });
}

void glu(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *gate = call.in(0), *up = call.in(1);
  if (!call.ok() || !call.expect(size_of(gate) == size_of(up), "LoraGlu: shapes do not fit."))
    return;
  TF_Tensor* m = call.out(0, shape_of(gate));
  if (!call.ok()) return;
  typed(gate, [&](auto t) {
    using T = of<decltype(t)>;
    rows(size_of(gate), 1, [&](int64_t from, int64_t to) {
      LORA_BEST(glu<T>(from, to, data<T>(gate), data<T>(up), data<T>(m)));
    });
  });
}

void glu_grad(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *gate = call.in(0), *up = call.in(1), *dm = call.in(2);
  if (!call.ok() || !call.expect(size_of(gate) == size_of(up) && size_of(gate) == size_of(dm),
                                 "LoraGluGrad: shapes do not fit."))
    return;
  TF_Tensor *dgate = call.out(0, shape_of(gate)), *dup = call.out(1, shape_of(gate));
  if (!call.ok()) return;
  typed(gate, [&](auto t) {
    using T = of<decltype(t)>;
    rows(size_of(gate), 1, [&](int64_t from, int64_t to) {
      LORA_BEST(glu_grad<T>(from, to, data<T>(gate), data<T>(up), data<T>(dm), data<T>(dgate),
                            data<T>(dup)));
    });
  });
}

void sum(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *a = call.in(0), *b = call.in(1), *c = call.in(2);
  if (!call.ok() ||
      !call.expect(size_of(a) == size_of(b) && (size_of(c) == 0 || size_of(c) == size_of(a)),
                   "LoraSum: shapes do not fit."))
    return;
  TF_Tensor* y = call.out(0, shape_of(a));
  if (!call.ok()) return;
  typed(a, [&](auto ta) {
    typed(b, [&](auto tb) {
      typed(c, [&](auto tc) {
        typed(y, [&](auto ty) {
          using A = of<decltype(ta)>;
          using B = of<decltype(tb)>;
          using C = of<decltype(tc)>;
          using Y = of<decltype(ty)>;
          rows(size_of(a), 1, [&](int64_t from, int64_t to) {
            LORA_BEST(sum3(from, to, data<const A>(a), data<const B>(b), data_or_null<const C>(c),
                           data<Y>(y)));
          });
        });
      });
    });
  });
}

void convert(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor* x = call.in(0);
  if (!call.ok()) return;
  TF_Tensor* y = call.out(0, shape_of(x));
  if (!call.ok()) return;
  typed(x, [&](auto tx) {
    typed(y, [&](auto ty) {
      using X = of<decltype(tx)>;
      using Y = of<decltype(ty)>;
      rows(size_of(x), 1, [&](int64_t from, int64_t to) {
        LORA_BEST(convert(from, to, data<const X>(x), data<Y>(y)));
      });
    });
  });
}

// Computes the layout; reports an error and returns false if the rows do not fit their table.
bool compute_layout(Call& call, const Settings& s, int64_t n, int64_t width, const TF_Tensor* table,
                    Layout* layout) {
  const int64_t heads = s.heads + 2 * s.kv_heads,
                positions = width > 0 ? size_of(table) / width : 0;
  *layout = {s.batch,  n / std::max<int64_t>(1, s.batch), s.heads, s.kv_heads, width / heads,
             positions};
  return call.expect(n > 0 && s.batch > 0 && n % s.batch == 0 && width % (2 * heads) == 0 &&
                         positions > 0 && n % positions == 0 && positions * width == size_of(table),
                     "The rows of q, k and v do not fit their table.");
}

void to_heads(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *qkv = call.in(0), *table = call.in(1);
  if (!call.ok()) return;
  const Settings& s = *static_cast<Settings*>(settings);
  const int64_t width = last_of(qkv), n = width > 0 ? size_of(qkv) / width : 0;
  Layout l;
  if (!compute_layout(call, s, n, width, table, &l)) return;
  const std::vector<int64_t> keys{l.batch * l.kv_heads, l.length, l.head_dim};
  TF_Tensor *q = call.out(0, {l.batch, l.heads, l.length, l.head_dim}), *k = call.out(1, keys),
            *v = call.out(2, keys);
  if (!call.ok()) return;
  typed(qkv, [&](auto t) {
    typed(q, [&](auto u) {
      using T = of<decltype(t)>;
      using U = of<decltype(u)>;
      rows(n, width, [&](int64_t from, int64_t to) {
        LORA_BEST(to_heads(from, to, l, data<const T>(qkv), data<const float>(table), data<U>(q),
                           data<U>(k), data<U>(v)));
      });
    });
  });
}

void from_heads(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *q = call.in(0), *k = call.in(1), *v = call.in(2), *table = call.in(3);
  if (!call.ok()) return;
  const Settings& s = *static_cast<Settings*>(settings);
  const int64_t d = last_of(q), width = (s.heads + 2 * s.kv_heads) * d,
                n = size_of(q) / std::max<int64_t>(1, s.heads * d);
  Layout l;
  if (!compute_layout(call, s, n, width, table, &l) ||
      !call.expect(size_of(k) == n * s.kv_heads * d && size_of(v) == size_of(k),
                   "LoraFromHeads: shapes do not fit."))
    return;
  TF_Tensor* qkv = call.out(0, {n, width});
  if (!call.ok()) return;
  typed(q, [&](auto t) {
    typed(qkv, [&](auto u) {
      using T = of<decltype(t)>;
      using U = of<decltype(u)>;
      rows(n, width, [&](int64_t from, int64_t to) {
        LORA_BEST(from_heads(from, to, l, data<const T>(q), data<const T>(k), data<const T>(v),
                             data<const float>(table), data<U>(qkv)));
      });
    });
  });
}

// scores [batch · kv_heads, group · rows, keys], mask [1 or batch, 1, rows, keys] or empty
void softmax(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *scores = call.in(0), *mask = call.in(1);
  if (!call.ok()) return;
  const int64_t keys = last_of(scores), n = keys > 0 ? size_of(scores) / keys : 0,
                masks = size_of(mask) == 0 ? 1 : TF_Dim(mask, 0);
  const int64_t mask_rows = size_of(mask) / std::max<int64_t>(1, masks * keys);
  if (!call.expect(size_of(mask) == 0 ||
                       (size_of(mask) == masks * mask_rows * keys && n % (masks * mask_rows) == 0),
                   "LoraSoftmax: the mask does not fit."))
    return;
  TF_Tensor* p = call.out(0, shape_of(scores));
  if (!call.ok()) return;
  const Mask m{data_or_null<const float>(mask), n / masks, mask_rows};
  typed(scores, [&](auto t) {
    using T = of<decltype(t)>;
    rows(n, 4 * keys, [&](int64_t from, int64_t to) {
      std::vector<float> masked(keys);
      LORA_BEST(softmax(from, to, keys, data<const T>(scores), m, data<T>(p), masked.data()));
    });
  });
}

void softmax_grad(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *p = call.in(0), *dp = call.in(1), *d = call.in(2);
  if (!call.ok()) return;
  const int64_t keys = last_of(p), n = keys > 0 ? size_of(p) / keys : 0;
  if (!call.expect(size_of(dp) == size_of(p) && size_of(d) == n,
                   "LoraSoftmaxGrad: shapes do not fit."))
    return;
  TF_Tensor* ds = call.out(0, shape_of(p));
  if (!call.ok()) return;
  typed(p, [&](auto t) {
    using T = of<decltype(t)>;
    rows(n, keys, [&](int64_t from, int64_t to) {
      LORA_BEST(softmax_grad(from, to, keys, data<const T>(p), data<const T>(dp),
                             data<const float>(d), data<T>(ds)));
    });
  });
}

// [n, heads · d] twice -> [n, heads]
void row_dots(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *a = call.in(0), *b = call.in(1);
  if (!call.ok()) return;
  const int64_t heads = static_cast<Settings*>(settings)->heads, width = last_of(a),
                n = width > 0 ? size_of(a) / width : 0;
  if (!call.expect(size_of(a) == size_of(b) && heads > 0 && width % heads == 0,
                   "LoraRowDots: shapes do not fit."))
    return;
  TF_Tensor* dots = call.out(0, {n, heads});
  if (!call.ok()) return;
  typed(a, [&](auto t) {
    typed(b, [&](auto u) {
      using T = of<decltype(t)>;
      using U = of<decltype(u)>;
      rows(n * heads, width / heads, [&](int64_t from, int64_t to) {
        LORA_BEST(row_dots(from, to, width / heads, data<const T>(a), data<const U>(b),
                           data<float>(dots)));
      });
    });
  });
}

// Rows whose sums are added first, whatever thread adds them.
constexpr int64_t SUMMED_ROWS = 256;

// x [n, d], y [n, d] or empty -> the sums of the columns of x or of x · y [1, d]
void column_sums(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *x = call.in(0), *y = call.in(1);
  if (!call.ok()) return;
  const int64_t d = last_of(x), n = d > 0 ? size_of(x) / d : 0,
                blocks = (n + SUMMED_ROWS - 1) / SUMMED_ROWS;
  if (!call.expect(size_of(y) == 0 || size_of(y) == size_of(x), "LoraColumnSums: shapes do not fit."))
    return;
  TF_Tensor* result = call.out(0, {1, d});
  if (!call.ok()) return;
  std::vector<double> sums(std::max<int64_t>(1, blocks) * d);
  typed(x, [&](auto t) {
    typed(y, [&](auto u) {
      using T = of<decltype(t)>;
      using U = of<decltype(u)>;
      rows(blocks, SUMMED_ROWS * d, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; i++) {
          const int64_t first = i * SUMMED_ROWS, count = std::min(SUMMED_ROWS, n - first);
          const U* factor = data_or_null<const U>(y);
          LORA_BEST(column_sums(count, d, data<const T>(x) + first * d,
                                factor ? factor + first * d : factor, sums.data() + i * d));
        }
      });
    });
  });
  for (int64_t i = 1; i < blocks; i++)
    for (int64_t c = 0; c < d; c++) sums[c] += sums[i * d + c];
  for (int64_t c = 0; c < d; c++) data<float>(result)[c] = (float)sums[c];
}

void cross_entropy(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *z = call.in(0), *labels = call.in(1);
  if (!call.ok()) return;
  const int64_t vocab = last_of(z), n = vocab > 0 ? size_of(z) / vocab : 0;
  bool in_vocabulary = size_of(labels) == n;
  for (int64_t i = 0; in_vocabulary && i < n; i++)
    in_vocabulary = data<int32_t>(labels)[i] >= 0 && data<int32_t>(labels)[i] < vocab;
  if (!call.expect(in_vocabulary, "LoraCrossEntropy: a label is not in the vocabulary.")) return;
  const int64_t wants =
      static_cast<Settings*>(settings)->wants;  // 0: the loss; 1: also p; 2: also p - onehot(label)
  TF_Tensor* p = call.out(0, wants ? shape_of(z) : std::vector<int64_t>{0});
  TF_Tensor* loss = call.out(1, {n});
  if (!call.ok()) return;
  typed(z, [&](auto t) {
    using T = of<decltype(t)>;
    rows(n, 8 * vocab, [&](int64_t from, int64_t to) {
      LORA_BEST(cross_entropy(from, to, vocab, data<const T>(z), data<const int32_t>(labels),
                              wants == 2 ? 1.0f : 0.0f, data_or_null<T>(p), data<float>(loss)));
    });
  });
}

// Changes theta, m and v in place: nothing else may read them meanwhile.
void adamw(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *theta = call.in(0), *gradient = call.in(1), *m = call.in(2), *v = call.in(3),
            *step = call.in(4);
  if (!call.ok()) return;
  const int64_t n = size_of(theta);
  if (!call.expect(size_of(gradient) == n && size_of(m) == n && size_of(v) == n &&
                       size_of(step) * sizeof(float) == sizeof(AdamWStep),
                   "LoraAdamW: shapes do not fit."))
    return;
  call.out(0, {0});
  if (!call.ok()) return;
  const AdamWStep settings = *data<const AdamWStep>(step);
  rows(n, 1, [&](int64_t from, int64_t to) {
    LORA_BEST(adamw(from, to, settings, data<float>(theta), data<const float>(gradient),
                    data<float>(m), data<float>(v)));
  });
}

// x [m, in], w [out, in] -> [m, out]
void few_rows(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  TF_Tensor *x = call.in(0), *w = call.in(1);
  if (!call.ok()) return;
  const int64_t width = last_of(x), m = width > 0 ? size_of(x) / width : 0,
                out = width > 0 ? size_of(w) / width : 0;
  if (!call.expect(width > 0 && last_of(w) == width, "LoraFewRows: shapes do not fit.")) return;
  TF_Tensor* y = call.out(0, {m, out});
  if (!call.ok()) return;
  if (s.rounded && TF_TensorType(w) == TF_BFLOAT16 && multiplies_pairs()) {
    const HalfRows halves(m, width, data<const float>(x));
    rows(out, m * width, [&](int64_t from, int64_t to) {
      halves.multiply(from, to, out, data<const bf16>(w), data<float>(y));
    });
    return;
  }
  typed(w, [&](auto t) {
    using T = of<decltype(t)>;
    rows(out, m * width, [&](int64_t from, int64_t to) {
      LORA_BEST(few_rows(from, to, m, width, out, data<const float>(x), data<const T>(w),
                         data<float>(y)));
    });
  });
}

// Rows of blocks [rows, words], which are below each other -> [all rows, width]
void dequantize(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  const Settings& s = *static_cast<Settings*>(settings);
  std::vector<BlockRows> parts(s.N);
  int64_t all = 0;
  for (size_t i = 0; i < parts.size(); i++) {
    TF_Tensor* words = call.in((int)i);
    if (!call.ok() || !read_blocks(call, s.type, s.width, words, &parts[i])) return;
    all += parts[i].rows;
  }
  TF_Tensor* y = call.out(0, {all, s.width});
  if (!call.ok()) return;
  typed(y, [&](auto t) {
    using T = of<decltype(t)>;
    T* into = data<T>(y);
    for (const BlockRows& b : parts) {
      rows(b.rows, b.form.width, [&](int64_t from, int64_t to) {
        LORA_BEST(dequantize_rows(from, to, b.form, b.bytes, into));
      });
      into += b.rows * b.form.width;
    }
  });
}

// x [m, width], blocks [out, words] -> [m, out]
void few_rows_of_blocks(void* settings, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *x = call.in(0), *words = call.in(1);
  const Settings& s = *static_cast<Settings*>(settings);
  BlockRows b;
  if (!call.ok() || !read_blocks(call, s.type, s.width, words, &b)) return;
  const int64_t width = b.form.width, m = size_of(x) / width;
  if (!call.expect(last_of(x) == width, "LoraFewRowsOfBlocks: shapes do not fit.")) return;
  TF_Tensor* y = call.out(0, {m, b.rows});
  if (!call.ok()) return;
  if (s.rounded && has_levels(b.form.type)) {
    const RoundedRows rounded(m, width, data<const float>(x));
    rows(b.rows, m * width, [&](int64_t from, int64_t to) {
      rounded.multiply(from, to, b.form.type, b.form.row_bytes, b.rows, b.bytes, data<float>(y));
    });
    return;
  }
  rows(b.rows, m * width, [&](int64_t from, int64_t to) {
    LORA_BEST(few_rows_of_blocks(from, to, m, b.form, b.rows, data<const float>(x), b.bytes,
                                 data<float>(y)));
  });
}

// q [batch, heads, 1, d], k and v [batch · kv_heads, keys, d] -> [batch, heads · d]
void attend_one(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor *q = call.in(0), *k = call.in(1), *v = call.in(2);
  if (!call.ok()) return;
  const int64_t d = last_of(q), heads = d > 0 ? size_of(q) / d : 0,
                kv = TF_NumDims(k) == 3 ? TF_Dim(k, 0) : 0,
                keys = TF_NumDims(k) == 3 ? TF_Dim(k, 1) : 0;
  if (!call.expect(TF_NumDims(q) == 4 && kv > 0 && keys > 0 && heads % kv == 0 &&
                       size_of(k) == kv * keys * d && size_of(v) == size_of(k),
                   "LoraAttendOne: shapes do not fit."))
    return;
  TF_Tensor* o = call.out(0, {TF_Dim(q, 0), TF_Dim(q, 1) * d});
  if (!call.ok()) return;
  typed(q, [&](auto t) {
    using T = of<decltype(t)>;
    const int64_t group = heads / kv;
    rows(heads, 4 * keys * d, [&](int64_t from, int64_t to) {
      std::vector<float> buffer(HEADS_TOGETHER * (keys + d));
      for (int64_t h = from, end; h < to; h = end) {
        end = std::min(to, (h / group + 1) * group);
        const int64_t first = h / group * keys * d;
        LORA_BEST(attend_one(end - h, keys, d, data<const T>(q) + h * d, data<const T>(k) + first,
                             data<const T>(v) + first, data<const T>(k) + first + keys * d,
                             data<T>(o) + h * d, buffer.data()));
      }
    });
  });
}

void processor(void*, TF_OpKernelContext* context) {
  Call call(context);
  TF_Tensor* answers = call.out(0, {2});
  if (!call.ok()) return;
  data<float>(answers)[0] = multiplies_bf16();
  data<float>(answers)[1] = prefers_product() && cores() <= MAX_THREADS ? 1 : 0;
}

const bool all_registered = [] {
  bool good = true;
  for (const Op& op : std::vector<Op>{
           {"LoraRms",
            rms,
            {"T" FLOATS, "eps: float"},
            {"x: float", "weight: float"},
            {"h: T", "r: float"}},
           {"LoraRmsGrad",
            rms_grad,
            {"T" FLOATS},
            {"x: float", "r: float", "weight: float", "dh: T", "residual: float"},
            {"dx: float"}},
           {"LoraProcessor", processor, {}, {}, {"answers: float"}},
           {"LoraGlu", glu, {"T" FLOATS}, {"gate: T", "up: T"}, {"m: T"}},
           {"LoraGluGrad",
            glu_grad,
            {"T" FLOATS},
            {"gate: T", "up: T", "dm: T"},
            {"dgate: T", "dup: T"}},
           {"LoraSum",
            sum,
            {"A" FLOATS, "B" FLOATS, "C" FLOATS, "T" FLOATS},
            {"a: A", "b: B", "c: C"},
            {"y: T"}},
           {"LoraConvert", convert, {"T" FLOATS, "U" FLOATS}, {"x: T"}, {"y: U"}},
           {"LoraToHeads",
            to_heads,
            {"T" FLOATS, "U" FLOATS, "batch: int", "heads: int", "kv_heads: int"},
            {"qkv: T", "table: float"},
            {"q: U", "k: U", "v: U"}},
           {"LoraFromHeads",
            from_heads,
            {"T" FLOATS, "U" FLOATS, "batch: int", "heads: int", "kv_heads: int"},
            {"q: T", "k: T", "v: T", "table: float"},
            {"qkv: U"}},
           {"LoraSoftmax", softmax, {"T" FLOATS}, {"scores: T", "mask: float"}, {"p: T"}},
           {"LoraSoftmaxGrad",
            softmax_grad,
            {"T" FLOATS},
            {"p: T", "dp: T", "d: float"},
            {"ds: T"}},
           {"LoraRowDots",
            row_dots,
            {"T" FLOATS, "U" FLOATS, "heads: int"},
            {"a: T", "b: U"},
            {"dots: float"}},
           {"LoraColumnSums",
            column_sums,
            {"T" FLOATS, "U" FLOATS},
            {"x: T", "y: U"},
            {"sums: float"}},
           {"LoraFewRows",
            few_rows,
            {"T" FLOATS, "rounded: int = 0"},
            {"x: float", "w: T"},
            {"y: float"}},
           {"LoraDequantize",
            dequantize,
            {"T" FLOATS, "type: int", "width: int", "N: int >= 1"},
            {"blocks: N * int32"},
            {"y: T"}},
           {"LoraFewRowsOfBlocks",
            few_rows_of_blocks,
            {"type: int", "width: int", "rounded: int"},
            {"x: float", "blocks: int32"},
            {"y: float"}},
           {"LoraAttendOne", attend_one, {"T" FLOATS}, {"q: T", "k: T", "v: T"}, {"o: T"}},
           {"LoraAdamW",
            adamw,
            {},
            {"theta: float", "gradient: float", "m: float", "v: float", "step: float"},
            {"nothing: float"}},
           {"LoraCrossEntropy",
            cross_entropy,
            {"T" FLOATS, "wants: int"},
            {"z: T", "labels: int32"},
            {"p: T", "loss: float"}},
       })
    good = register_op(op) && good;
  return good;
}();

}  // namespace lora
