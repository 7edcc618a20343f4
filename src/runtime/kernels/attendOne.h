// One query of each of some heads over the keys so far, which these heads share: softmax(q kᵀ) v.
// Included after products.h once per instruction set. The sums of a head have one order whatever the
// number of heads.

#define LORA_INLINE inline __attribute__((always_inline))

// What stays in registers: keys, or vectors of a value.
constexpr int KEYS_AT_ONCE = 4, VALUE_LANES = 4;

typedef float FourReals __attribute__((vector_size(16)));

// `total` of each of four vectors.
LORA_INLINE FourReals totals(const Lanes v[4]) {
  FourReals four[4];
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    const auto eight = __builtin_shufflevector(v[k], v[k], 0, 1, 2, 3, 4, 5, 6, 7) +
                       __builtin_shufflevector(v[k], v[k], 8, 9, 10, 11, 12, 13, 14, 15);
    four[k] = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
              __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  }
  const FourReals a = __builtin_shufflevector(four[0], four[1], 0, 1, 4, 5) +
                      __builtin_shufflevector(four[0], four[1], 2, 3, 6, 7),
                  b = __builtin_shufflevector(four[2], four[3], 0, 1, 4, 5) +
                      __builtin_shufflevector(four[2], four[3], 2, 3, 6, 7);
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

// How far before they are needed keys and values are fetched, in bytes: the processor does not foresee
// where values begin, nor the next keys. `next`: what is read after the `size` numbers of `own`.
constexpr int64_t ATTENTION_AHEAD = 8192;
template <class T>
LORA_INLINE void fetch_following(int64_t at, int64_t count, int64_t size, const T* own,
                                 const T* next) {
  const int64_t ahead = at + ATTENTION_AHEAD / (int64_t)sizeof(T);
  const auto* from = (const char*)(ahead < size ? own + ahead : next + (ahead - size));
  for (int64_t line = 0; line < count * (int64_t)sizeof(T); line += 64) fetch_ahead(from + line);
}

// The scores of K keys for G queries [G, d]: [G, K], whose rows are `row` apart.
template <int G, int K, class T>
LORA_INLINE void scores_of(int64_t d, const float* q, const T* keys, int64_t row, float* scores) {
  Lanes sums[G][KEYS_AT_ONCE] = {};
  int64_t i = 0;
  for (; i + LANES <= d; i += LANES) {
    Lanes key[K];
    for (int k = 0; k < K; k++) key[k] = lanes_at(keys + k * d + i);
    for (int g = 0; g < G; g++) {
      const Lanes own = lanes_at(q + g * d + i);
      for (int k = 0; k < K; k++) sums[g][k] += own * key[k];
    }
  }
  for (int g = 0; g < G; g++) {
    const FourReals four = totals(sums[g]);
    for (int k = 0; k < K; k++) {
      float rest = 0;
      for (int64_t at = i; at < d; at++) rest += q[g * d + at] * wide(keys[k * d + at]);
      scores[g * row + k] = four[k] + rest;
    }
  }
}

// exp(score - the largest one); returns one by their sum.
LORA_INLINE float exponentials(int64_t keys, float* scores) {
  const float top = largest(keys, scores);
  for (int64_t j = 0; j < keys; j++) scores[j] = exponential(scores[j] - top);
  return 1.0f / sum(keys, [&](int64_t j) LORA_LAMBDA { return scores[j]; });
}

// The numbers i .. i + N · LANES - 1 of o [G, d], times factors.
template <int G, int N, class T>
LORA_INLINE void values_of(int64_t keys, int64_t d, int64_t i, const float* scores,
                           const float* factors, const T* values, const T* next, T* o) {
  Lanes sums[G][N] = {};
  for (int64_t j = 0; j < keys; j++) {
    if (N > 1) fetch_following(j * d + i, N * LANES, keys * d, values, next);
    Lanes value[N];
    for (int n = 0; n < N; n++) value[n] = lanes_at(values + j * d + i + n * LANES);
    for (int g = 0; g < G; g++)
      for (int n = 0; n < N; n++) sums[g][n] += scores[g * keys + j] * value[n];
  }
  for (int g = 0; g < G; g++)
    for (int n = 0; n < N; n++)
      for (int l = 0; l < LANES; l++)
        o[g * d + i + n * LANES + l] = narrow<T>(sums[g][n][l] * factors[g]);
}

// G heads: q [G, d], k and v [keys, d] -> o [G, d]. `buffer` [G · (keys + d)]. `next`: what is read
// after v.
template <int G, class T>
LORA_INLINE void attend_together(int64_t keys, int64_t d, const T* q, const T* k, const T* v,
                                 const T* next, T* o, float* buffer) {
  float *scores = buffer + G * d, factors[G];
  for (int64_t i = 0; i < G * d; i++) buffer[i] = wide(q[i]);
  int64_t j = 0;
  for (; j + KEYS_AT_ONCE <= keys; j += KEYS_AT_ONCE) {
    fetch_following(j * d, KEYS_AT_ONCE * d, keys * d, k, v);
    scores_of<G, KEYS_AT_ONCE>(d, buffer, k + j * d, keys, scores + j);
  }
  for (; j < keys; j++) scores_of<G, 1>(d, buffer, k + j * d, keys, scores + j);
  for (int g = 0; g < G; g++) factors[g] = exponentials(keys, scores + g * keys);
  int64_t i = 0;
  for (; i + VALUE_LANES * LANES <= d; i += VALUE_LANES * LANES)
    values_of<G, VALUE_LANES>(keys, d, i, scores, factors, v, next, o);
  for (; i + LANES <= d; i += LANES) values_of<G, 1>(keys, d, i, scores, factors, v, next, o);
  for (; i < d; i++)
    for (int g = 0; g < G; g++) {
      float total = 0;
      for (int64_t at = 0; at < keys; at++) total += scores[g * keys + at] * wide(v[at * d + i]);
      o[g * d + i] = narrow<T>(total * factors[g]);
    }
}

// `heads` heads with the same keys: q [heads, d], k and v [keys, d] -> o [heads, d]. `buffer`
// [HEADS_TOGETHER · (keys + d)]. `next`: the keys that are read after these, or any others.
template <class T>
void attend_one(int64_t heads, int64_t keys, int64_t d, const T* q, const T* k, const T* v,
                const T* next, T* o, float* buffer) {
  int64_t h = 0;
#if LORA_LEVEL == 2
  for (; h + 4 <= heads; h += 4) attend_together<4>(keys, d, q + h * d, k, v, next, o + h * d, buffer);
  for (; h + 3 <= heads; h += 3) attend_together<3>(keys, d, q + h * d, k, v, next, o + h * d, buffer);
  for (; h + 2 <= heads; h += 2) attend_together<2>(keys, d, q + h * d, k, v, next, o + h * d, buffer);
#endif
  for (; h < heads; h++) attend_together<1>(keys, d, q + h * d, k, v, next, o + h * d, buffer);
}

#undef LORA_INLINE
