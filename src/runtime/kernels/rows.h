// The loops of the kernels over rows of numbers. Included once per instruction set, each time in
// another namespace, so it has no include guard and no includes. All arithmetic is f32; T and U are
// float or bf16, the types that are read and written.

#define LORA_INLINE inline __attribute__((always_inline))

LORA_INLINE float wide(float x) { return x; }
LORA_INLINE float wide(bf16 x) { return from_bits((uint32_t)x.bits << 16); }

template <class T>
LORA_INLINE T narrow(float x);
template <>
LORA_INLINE float narrow<float>(float x) {
  return x;
}
// Rounds to nearest, ties to even.
template <>
LORA_INLINE bf16 narrow<bf16>(float x) {
  const uint32_t u = to_bits(x);
  const uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return bf16{(uint16_t)(x != x ? 0x7fc0 : rounded)};
}

// e^x to about 1 ulp: 2^n · e^f with |f| <= ln 2 / 2 and a polynomial for e^f (expf of Cephes).
LORA_INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  const float n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;  // the nearest integer
  const float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  return (p * f * f + f + 1.0f) * from_bits((uint32_t)((int32_t)n + 127) << 23);
}

LORA_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// Sixteen partial sums, which can be one vector register, added up in a fixed order.
template <class F>
LORA_INLINE float sum(int64_t n, F term) {
  float lanes[LANES] = {};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) lanes[l] += term(i + l);
  float rest = 0;
  for (; i < n; i++) rest += term(i);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int l = 0; l < width; l++) lanes[l] += lanes[l + width];
  return lanes[0] + rest;
}

template <class T>
LORA_INLINE float largest(int64_t n, const T* x) {
  float lanes[LANES];
  for (int l = 0; l < LANES; l++) lanes[l] = -INFINITY;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++)
      lanes[l] = wide(x[i + l]) > lanes[l] ? wide(x[i + l]) : lanes[l];
  float most = -INFINITY;
  for (; i < n; i++) most = wide(x[i]) > most ? wide(x[i]) : most;
  for (int l = 0; l < LANES; l++) most = lanes[l] > most ? lanes[l] : most;
  return most;
}

// h = x · r · w, r = 1 / √(mean(x²) + eps)
template <class T>
void rms(int64_t from, int64_t to, int64_t d, float eps, const float* x, const float* w, T* h,
         float* r) {
  for (int64_t row = from; row < to; row++) {
    const float* own = x + row * d;
    const float scale =
        1.0f / std::sqrt(sum(d, [&](int64_t i) LORA_LAMBDA { return own[i] * own[i]; }) / d + eps);
    r[row] = scale;
    for (int64_t i = 0; i < d; i++) h[row * d + i] = narrow<T>(own[i] * scale * w[i]);
  }
}

// dx = r · g - x · r³ · mean(g · x) + residual, g = dh · w
template <class T>
void rms_grad(int64_t from, int64_t to, int64_t d, const float* x, const float* r, const float* w,
              const T* dh, const float* residual, float* dx) {
  for (int64_t row = from; row < to; row++) {
    const float* own = x + row * d;
    const T* g = dh + row * d;
    const float scale = r[row];
    const float dot = sum(d, [&](int64_t i) LORA_LAMBDA { return wide(g[i]) * w[i] * own[i]; });
    const float along = scale * scale * scale * dot / d;
    float* out = dx + row * d;
    if (residual)
      for (int64_t i = 0; i < d; i++)
        out[i] = wide(g[i]) * w[i] * scale - own[i] * along + residual[row * d + i];
    else
      for (int64_t i = 0; i < d; i++) out[i] = wide(g[i]) * w[i] * scale - own[i] * along;
  }
}

// m = silu(gate) · up
template <class T>
void glu(int64_t from, int64_t to, const T* gate, const T* up, T* m) {
  for (int64_t i = from; i < to; i++)
    m[i] = narrow<T>(wide(gate[i]) * sigmoid(wide(gate[i])) * wide(up[i]));
}

template <class T>
void glu_grad(int64_t from, int64_t to, const T* gate, const T* up, const T* dm, T* dgate, T* dup) {
  for (int64_t i = from; i < to; i++) {
    const float g = wide(gate[i]), d = wide(dm[i]), s = sigmoid(g);
    dup[i] = narrow<T>(d * g * s);
    dgate[i] = narrow<T>(d * wide(up[i]) * s * (1.0f + g * (1.0f - s)));
  }
}

template <class A, class B, class C, class T>
void sum3(int64_t from, int64_t to, const A* a, const B* b, const C* c, T* y) {
  if (c)
    for (int64_t i = from; i < to; i++) y[i] = narrow<T>(wide(a[i]) + wide(b[i]) + wide(c[i]));
  else
    for (int64_t i = from; i < to; i++) y[i] = narrow<T>(wide(a[i]) + wide(b[i]));
}

// (a + ib)(c + is) on neighbouring pairs.
template <class T, class U>
LORA_INLINE void rotate(int64_t d, const T* x, const float* table, U* y) {
  for (int64_t i = 0; i < d; i += 2) {
    const float a = wide(x[i]), b = wide(x[i + 1]), c = table[i], s = table[i + 1];
    y[i] = narrow<U>(a * c - b * s);
    y[i + 1] = narrow<U>(a * s + b * c);
  }
}

// Offset of a token's row of one head in [batch, heads, length, head_dim].
LORA_INLINE int64_t offset_of(const Layout& l, int64_t token, int64_t head, int64_t heads) {
  return ((token / l.length * heads + head) * l.length + token % l.length) * l.head_dim;
}

template <class T, class U>
void to_heads(int64_t from, int64_t to, const Layout& l, const T* qkv, const float* table, U* q,
              U* k, U* v) {
  const int64_t width = (l.heads + 2 * l.kv_heads) * l.head_dim, d = l.head_dim;
  for (int64_t token = from; token < to; token++) {
    const T* x = qkv + token * width;
    const float* factors = table + token % l.positions * width;
    for (int64_t h = 0; h < l.heads; h++)
      rotate(d, x + h * d, factors + h * d, q + offset_of(l, token, h, l.heads));
    for (int64_t h = 0; h < l.kv_heads; h++) {
      const int64_t at = offset_of(l, token, h, l.kv_heads), own = (l.heads + h) * d,
                    value = own + l.kv_heads * d;
      rotate(d, x + own, factors + own, k + at);
      for (int64_t i = 0; i < d; i++) v[at + i] = narrow<U>(wide(x[value + i]));
    }
  }
}

template <class T, class U>
void from_heads(int64_t from, int64_t to, const Layout& l, const T* q, const T* k, const T* v,
                const float* table, U* qkv) {
  const int64_t width = (l.heads + 2 * l.kv_heads) * l.head_dim, d = l.head_dim;
  for (int64_t token = from; token < to; token++) {
    U* y = qkv + token * width;
    const float* factors = table + token % l.positions * width;
    for (int64_t h = 0; h < l.heads; h++)
      rotate(d, q + offset_of(l, token, h, l.heads), factors + h * d, y + h * d);
    for (int64_t h = 0; h < l.kv_heads; h++) {
      const int64_t at = offset_of(l, token, h, l.kv_heads), own = (l.heads + h) * d,
                    value = own + l.kv_heads * d;
      rotate(d, k + at, factors + own, y + own);
      for (int64_t i = 0; i < d; i++) y[value + i] = narrow<U>(wide(v[at + i]));
    }
  }
}

// softmax(scores + mask) over rows of `keys` numbers. `masked`: a buffer for one row.
template <class T>
void softmax(int64_t from, int64_t to, int64_t keys, const T* scores, const Mask& masks, T* p,
             float* masked) {
  for (int64_t row = from; row < to; row++) {
    const T* x = scores + row * keys;
    const float* mask =
        masks.numbers
            ? masks.numbers + (row / masks.rows_per_mask * masks.rows + row % masks.rows) * keys
            : nullptr;
    if (mask)
      for (int64_t i = 0; i < keys; i++) masked[i] = wide(x[i]) + mask[i];
    else
      for (int64_t i = 0; i < keys; i++) masked[i] = wide(x[i]);
    const float top = largest(keys, masked);
    for (int64_t i = 0; i < keys; i++) masked[i] = exponential(masked[i] - top);
    const float factor = 1.0f / sum(keys, [&](int64_t i) LORA_LAMBDA { return masked[i]; });
    for (int64_t i = 0; i < keys; i++) p[row * keys + i] = narrow<T>(masked[i] * factor);
  }
}

// ds = p · (dp - d), with one d per row
template <class T>
void softmax_grad(int64_t from, int64_t to, int64_t keys, const T* p, const T* dp, const float* d,
                  T* ds) {
  for (int64_t row = from; row < to; row++)
    for (int64_t i = row * keys; i < (row + 1) * keys; i++)
      ds[i] = narrow<T>(wide(p[i]) * (wide(dp[i]) - d[row]));
}

template <class T, class U>
void row_dots(int64_t from, int64_t to, int64_t d, const T* a, const U* b, float* dots) {
  for (int64_t row = from; row < to; row++)
    dots[row] =
        sum(d, [&](int64_t i) LORA_LAMBDA { return wide(a[row * d + i]) * wide(b[row * d + i]); });
}

// loss = log(sum(exp z)) - z[label]; p = softmax(z) unless it is null, minus `at_label` at the
// label.
template <class T>
void cross_entropy(int64_t from, int64_t to, int64_t vocab, const T* z, const int32_t* labels,
                   float at_label, T* p, float* loss) {
  for (int64_t row = from; row < to; row++) {
    const T* x = z + row * vocab;
    const float top = largest(vocab, x);
    const float total =
        sum(vocab, [&](int64_t i) LORA_LAMBDA { return exponential(wide(x[i]) - top); });
    loss[row] = top + std::log(total) - wide(x[labels[row]]);
    if (!p) continue;
    const float factor = 1.0f / total;
    for (int64_t i = 0; i < vocab; i++)
      p[row * vocab + i] = narrow<T>(exponential(wide(x[i]) - top) * factor);
    p[row * vocab + labels[row]] =
        narrow<T>(exponential(wide(x[labels[row]]) - top) * factor - at_label);
  }
}

// torch.optim.AdamW, rounding in the same order. Changes theta, m and v in place.
inline void adamw(int64_t from, int64_t to, const AdamWStep& s, float* theta, const float* gradient,
                  float* m, float* v) {
  for (int64_t i = from; i < to; i++) {
    const float g = gradient[i] * s.scale;
    m[i] += s.one_less_beta1 * (g - m[i]);
    v[i] = v[i] * s.beta2 + s.one_less_beta2 * g * g;
    theta[i] = theta[i] * s.decay - s.size * m[i] / (std::sqrt(v[i]) / s.root + s.eps);
  }
}

// sums: of the columns of rows x [n, d] in float64, or of x · y where there is a y.
template <class T, class U>
void column_sums(int64_t n, int64_t d, const T* x, const U* y, double* sums) {
  for (int64_t row = 0; row < n; row++, x += d) {
    if (!y) {
      for (int64_t c = 0; c < d; c++) sums[c] += wide(x[c]);
      continue;
    }
    for (int64_t c = 0; c < d; c++) sums[c] += (double)wide(x[c]) * wide(y[c]);
    y += d;
  }
}

template <class T, class U>
void convert(int64_t from, int64_t to, const T* x, U* y) {
  for (int64_t i = from; i < to; i++) y[i] = narrow<U>(wide(x[i]));
}

#undef LORA_INLINE
