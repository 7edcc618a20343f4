// Attention by blocks of queries and keys, without the array of all scores (online softmax,
// Milakov & Gimelshein 2018; its gradient, FlashAttention-2, Dao 2023). Included by attention.cc
// once per instruction set, after levels.h. Every product multiplies words: numbers of f32, or,
// where the processor multiplies bf16 (LORA_PAIRS), pairs of bf16 that are neighbours in the
// dimension that is summed over.

#define LORA_INLINE inline __attribute__((always_inline))

#ifdef LORA_PAIRS
typedef uint32_t Word;
constexpr int DEPTH = 2;  // numbers of a word
typedef __bf16 LanePairs __attribute__((vector_size(4 * LANES)));
typedef __bf16 LaneRounded __attribute__((vector_size(2 * LANES)));

LORA_INLINE Lanes multiply(Lanes sum, Word a, Lanes b) {
  return __builtin_ia32_dpbf16ps_512(sum, (LanePairs)((LaneBits){} + a), (LanePairs)b);
}
LORA_INLINE LaneHalves rounded(const float* x) {
  Lanes v;
  std::memcpy(&v, x, sizeof(v));
  return (LaneHalves)__builtin_convertvector(v, LaneRounded);
}
#else
typedef float Word;
constexpr int DEPTH = 1;

LORA_INLINE Lanes multiply(Lanes sum, Word a, Lanes b) { return sum + a * b; }
#endif

// A matrix of words that is read as a left operand, word (row, k) at rows · row + k · step.
struct Left {
  const Word* words;
  int64_t row, step;
};

// Rows of a product that are computed together, and the vectors of each.
constexpr int TILE_ROWS = 4;
constexpr int TILE_LANES = LORA_LEVEL == 2 ? 4 : 1;

// TILE_ROWS rows of c (+)= a b: b [depth, width], c [.., width].
template <int N>
LORA_INLINE void product_tile(const Left& a, const Word* b, int64_t depth, int64_t width, bool adds,
                              float* c) {
  Lanes sums[TILE_ROWS][N] = {};
  if (adds)
    for (int r = 0; r < TILE_ROWS; r++)
      std::memcpy(sums[r], c + r * width, sizeof(sums[r]));
  for (int64_t k = 0; k < depth; k++) {
    Lanes right[N];
    std::memcpy(right, b + k * width, sizeof(right));
    for (int r = 0; r < TILE_ROWS; r++) {
      const Word left = a.words[r * a.row + k * a.step];
      for (int n = 0; n < N; n++) sums[r][n] = multiply(sums[r][n], left, right[n]);
    }
  }
  for (int r = 0; r < TILE_ROWS; r++) std::memcpy(c + r * width, sums[r], sizeof(sums[r]));
}

template <int N>
LORA_INLINE void product_panel(int64_t rows, Left a, const Word* b, int64_t depth, int64_t width,
                               bool adds, float* c) {
  for (int64_t m = 0; m < rows; m += TILE_ROWS, a.words += TILE_ROWS * a.row)
    product_tile<N>(a, b, depth, width, adds, c + m * width);
}

// c [rows, width] (+)= a [rows, depth] b [depth, width]; the rows are a multiple of TILE_ROWS, the
// width is one of LANES.
__attribute__((noinline)) static void product(int64_t rows, const Left& a, const Word* b, int64_t depth, int64_t width,
                    bool adds, float* c) {
  int64_t at = 0;
  for (; at + TILE_LANES * LANES <= width; at += TILE_LANES * LANES)
    product_panel<TILE_LANES>(rows, a, b + at, depth, width, adds, c + at);
  for (; at < width; at += LANES) product_panel<1>(rows, a, b + at, depth, width, adds, c + at);
}

// Rows of d numbers, `stride` apart, as words [padded, width / DEPTH] with zeros behind them.
template <class T>
LORA_INLINE void pack_rows(const T* x, int64_t stride, int64_t count, int64_t padded, int64_t d,
                           int64_t width, Word* words) {
  std::memset(words, 0, padded * width / DEPTH * sizeof(Word));
  for (int64_t r = 0; r < count; r++) {
#ifdef LORA_PAIRS
    // a loop: rows are short, and a call for each takes longer
    T* own = reinterpret_cast<T*>(words + r * width / DEPTH);
    for (int64_t i = 0; i < d; i++) own[i] = x[r * stride + i];
#else
    for (int64_t i = 0; i < d; i++) words[r * width + i] = wide(x[r * stride + i]);
#endif
  }
}

// The transpose of `pack_rows`: words [width / DEPTH, padded].
LORA_INLINE void transpose_words(const Word* x, int64_t rows, int64_t columns, Word* y) {
  for (int64_t r = 0; r < rows; r += LANES)
    for (int64_t c = 0; c < columns; c++)
      for (int64_t own = r; own < std::min(rows, r + LANES); own++)
        y[c * rows + own] = x[own * columns + c];
}

// `pack_rows` where rows are summed over: words [padded / DEPTH, width].
template <class T>
LORA_INLINE void pack_depth(const T* x, int64_t stride, int64_t count, int64_t padded, int64_t d,
                            int64_t width, Word* words) {
#ifdef LORA_PAIRS
  std::memset(words, 0, padded * width / DEPTH * sizeof(Word));
  for (int64_t r = 0; r < count; r += 2) {
    const T *first = x + r * stride, *second = first + stride;
    Word* own = words + r / 2 * width;
    if (r + 1 < count)
      for (int64_t i = 0; i < d; i++)
        own[i] = (uint32_t)first[i].bits | (uint32_t)second[i].bits << 16;
    else
      for (int64_t i = 0; i < d; i++) own[i] = first[i].bits;
  }
#else
  pack_rows(x, stride, count, padded, d, width, words);
#endif
}

// Numbers [rows, width] as words of rows.
LORA_INLINE void round_rows(const float* x, int64_t rows, int64_t width, Word* words) {
#ifdef LORA_PAIRS
  for (int64_t i = 0; i < rows * width; i += LANES) {
    const LaneHalves halves = rounded(x + i);
    std::memcpy((uint16_t*)words + i, &halves, sizeof(halves));
  }
#else
  std::memcpy(words, x, rows * width * sizeof(float));
#endif
}

// Numbers [rows, width] as words of neighbouring rows.
LORA_INLINE void round_depth(const float* x, int64_t rows, int64_t width, Word* words) {
#ifdef LORA_PAIRS
  for (int64_t r = 0; r < rows; r += 2)
    for (int64_t i = 0; i < width; i += LANES) {
      const LaneBits low = __builtin_convertvector(rounded(x + r * width + i), LaneBits),
                     high = __builtin_convertvector(rounded(x + (r + 1) * width + i), LaneBits),
                     both = low | high << 16;
      std::memcpy(words + r / 2 * width + i, &both, sizeof(both));
    }
#else
  std::memcpy(words, x, rows * width * sizeof(float));
#endif
}

// tanhf of Cephes.
LORA_INLINE float hyperbolic_tangent(float x) {
  const float size = x < 0 ? -x : x, z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float small = p * z * x + x, large = 1.0f - 2.0f / (exponential(2.0f * size) + 1.0f);
  return size < 0.625f ? small : x < 0 ? -large : large;
}

// Hides scores [rows, keys] of the block at (query, key) that its queries do not see.
inline void hide(const Attention& a, int64_t sequence, const Block& block, float* scores) {
  const int64_t last = std::min(a.keys - block.key, block.keys);
  const int32_t* own = a.key_ids ? a.key_ids + sequence * a.keys + block.key : nullptr;
  for (int64_t r = 0; r < block.queries; r++) {
    const int64_t position = block.query + a.first + r;
    float* row = scores + r * block.keys;
    int64_t from = 0, to = last;
    if (a.causal) to = std::min(to, position - block.key + 1);
    if (a.window > 0) {
      from = std::max<int64_t>(0, position - a.window + 1 - block.key);
      to = std::min(to, position + a.window - block.key);
    }
    from = std::min(from, block.keys);
    to = std::max(from, to);
    for (int64_t i = 0; i < from; i++) row[i] = HIDDEN;
    for (int64_t i = to; i < block.keys; i++) row[i] = HIDDEN;
    if (!own || position >= a.keys) continue;
    const int32_t id = a.query_ids[sequence * a.keys + position];
    for (int64_t i = from; i < to; i++) row[i] = own[i] == id ? row[i] : HIDDEN;
  }
}

// Keys [.., d] of a head as words of the block at `key`: the transpose for products with queries.
template <class T>
void pack_transposed(const Attention& a, const T* x, int64_t key, Word* buffer, Word* words) {
  const int64_t width = a.width;
  pack_rows(x + key * a.d, a.d, std::min(a.block_keys, a.keys - key), a.block_keys, a.d, width,
            buffer);
  transpose_words(buffer, a.block_keys, width / DEPTH, words);
}
template <class T>
void pack_summed(const Attention& a, const T* x, int64_t key, Word* words) {
  pack_depth(x + key * a.d, a.d, std::min(a.block_keys, a.keys - key), a.block_keys, a.d, a.width,
             words);
}

// One block of keys and values of a head, for `attend_block`.
template <class T>
void pack_keys(const Attention& a, const T* k, const T* v, int64_t key, uint32_t* buffer,
               uint32_t* packed_k, uint32_t* packed_v) {
  pack_transposed(a, k, key, (Word*)buffer, (Word*)packed_k);
  pack_summed(a, v, key, (Word*)packed_v);
}

// One block of scores into e^(score - largest so far), which is kept of each row with the sum.
LORA_INLINE void soften(const Attention& a, float* scores, float* o, float* largest_so_far,
                        float* sums) {
  for (int64_t r = 0; r < a.block_queries; r++) {
    float* row = scores + r * a.block_keys;
    const float before = largest_so_far[r], top = std::max(before, largest(a.block_keys, row));
    for (int64_t i = 0; i < a.block_keys; i++) row[i] = exponential(row[i] - top);
    const float total = sum(a.block_keys, [&](int64_t i) LORA_LAMBDA { return row[i]; });
    const float kept = before == top ? 1.0f : exponential(before - top);
    sums[r] = sums[r] * kept + total;
    largest_so_far[r] = top;
    if (kept != 1.0f)
      for (int64_t i = 0; i < a.width; i++) o[r * a.width + i] *= kept;
  }
}

LORA_INLINE void cap(float softcap, int64_t n, float* scores) {
  if (softcap > 0)
    for (int64_t i = 0; i < n; i++) scores[i] = softcap * hyperbolic_tangent(scores[i] / softcap);
}

// The output of a block of queries of one head: q [queries, d], o of stride heads · d, and of each
// query the largest score and the inverse of the sum. `sink`: the score of a key without a value, or
// null.
template <class T>
void attend_block(const Attention& a, int64_t sequence, int64_t query, const T* q,
                  const uint32_t* packed_k, const uint32_t* packed_v, const float* sink, T* o,
                  float* stats, float* buffer) {
  const int64_t rows = a.block_queries, width = a.width, words = a.block_keys * width / DEPTH;
  const int64_t count = std::min(rows, a.queries - query);
  float *scores = buffer, *sums_of_o = scores + rows * a.block_keys,
        *largest_so_far = sums_of_o + rows * width, *sums = largest_so_far + rows;
  Word *own_q = (Word*)(sums + rows), *p = own_q + rows * width;
  pack_rows(q + query * a.d, a.d, count, rows, a.d, width, own_q);
  std::fill(sums_of_o, sums_of_o + rows * width, 0.0f);
  std::fill(largest_so_far, largest_so_far + rows, sink ? *sink : HIDDEN);
  std::fill(sums, sums + rows, sink ? 1.0f : 0.0f);
  const Range keys = a.keys_of(query);
  for (int64_t j = keys.from / a.block_keys; j * a.block_keys < keys.to; j++) {
    const Block block{query, rows, j * a.block_keys, a.block_keys};
    const Visibility seen = a.visibility(sequence, block);
    if (seen == Visibility::NONE) continue;
    product(rows, {own_q, width / DEPTH, 1}, (const Word*)packed_k + j * words, width / DEPTH,
            a.block_keys, false, scores);
    cap(a.softcap, rows * a.block_keys, scores);
    if (seen == Visibility::SOME) hide(a, sequence, block, scores);
    soften(a, scores, sums_of_o, largest_so_far, sums);
    round_rows(scores, rows, a.block_keys, p);
    product(rows, {p, a.block_keys / DEPTH, 1}, (const Word*)packed_v + j * words,
            a.block_keys / DEPTH, width, true, sums_of_o);
  }
  for (int64_t r = 0; r < count; r++) {
    const float inverse = sums[r] > 0 ? 1.0f / sums[r] : 0.0f;
    T* out = o + (query + r) * a.heads * a.d;
    for (int64_t i = 0; i < a.d; i++) out[i] = narrow<T>(sums_of_o[r * width + i] * inverse);
    stats[2 * (query + r)] = largest_so_far[r];
    stats[2 * (query + r) + 1] = inverse;
  }
}

// Scores into probabilities p, and dp into the gradient of the scores.
LORA_INLINE void softmax_gradient(const Attention& a, int64_t rows, const float* stats,
                                  const float* dots, float* scores, float* dp) {
  for (int64_t r = 0; r < rows; r++) {
    const float top = stats[2 * r], inverse = stats[2 * r + 1], dot = dots[r];
    float *s = scores + r * a.block_keys, *d = dp + r * a.block_keys;
    for (int64_t i = 0; i < a.block_keys; i++) {
      const float p = exponential(s[i] - top) * inverse;
      d[i] = p * (d[i] - dot);
      s[i] = p;
    }
  }
}

// The slope of the softcap at each score, in place of which the capped score is put.
LORA_INLINE void cap_with_slope(float softcap, int64_t n, float* scores, float* slopes) {
  for (int64_t i = 0; i < n; i++) {
    const float t = hyperbolic_tangent(scores[i] / softcap);
    scores[i] = softcap * t;
    slopes[i] = 1.0f - t * t;
  }
}

// The gradients of one block of keys and values, and its part of those of the queries that see it,
// in f32 [.., block_queries, width] per head: blocks of keys add theirs in their order.
template <class T>
void attend_block_grad(const Attention& a, const AttentionGrad<T>& g, int64_t head, int64_t j,
                       float* buffer) {
  const int64_t rows = a.block_queries, cols = a.block_keys, width = a.width, key = j * cols,
                group = a.heads / a.kv_heads, sequence = head / a.kv_heads, size = cols * width;
  float *scores = buffer, *dp = scores + rows * cols, *slopes = dp + rows * cols,
        *dk = slopes + rows * cols, *dv = dk + size;
  Word *kt = (Word*)(dv + size), *vt = kt + size, *ks = vt + size, *own_q = ks + size,
       *summed_q = own_q + rows * width, *own_do = summed_q + rows * width,
       *summed_do = own_do + rows * width, *p = summed_do + rows * width, *ds = p + rows * cols,
       *summed_ds = ds + rows * cols;
  pack_transposed(a, g.k + head * a.keys * a.d, key, ks, kt);
  pack_transposed(a, g.v + head * a.keys * a.d, key, ks, vt);
  pack_summed(a, g.k + head * a.keys * a.d, key, ks);
  std::fill(dk, dk + 2 * size, 0.0f);
  const Range blocks = a.query_blocks_of(j);
  for (int64_t i = blocks.from; i < blocks.to; i++) {
    const Block block{i * rows, rows, key, cols};
    const Visibility seen = a.visibility(sequence, block);
    const int64_t count = std::min(rows, a.queries - block.query);
    g.await(head, i, j);
    for (int64_t own = 0; own < group && seen != Visibility::NONE; own++) {
      const int64_t h = head * group + own, first = h * a.queries + block.query;
      const T *q = g.q + first * a.d,
              *d_o = g.d_o + ((sequence * a.queries + block.query) * a.heads + h % a.heads) * a.d;
      pack_rows(q, a.d, count, rows, a.d, width, own_q);
      pack_depth(q, a.d, count, rows, a.d, width, summed_q);
      pack_rows(d_o, a.heads * a.d, count, rows, a.d, width, own_do);
      pack_depth(d_o, a.heads * a.d, count, rows, a.d, width, summed_do);
      product(rows, {own_q, width / DEPTH, 1}, kt, width / DEPTH, cols, false, scores);
      product(rows, {own_do, width / DEPTH, 1}, vt, width / DEPTH, cols, false, dp);
      if (a.softcap > 0) cap_with_slope(a.softcap, rows * cols, scores, slopes);
      if (seen == Visibility::SOME) hide(a, sequence, block, scores);
      softmax_gradient(a, count, g.stats + 2 * first, g.dots + first, scores, dp);
      if (a.softcap > 0)
        for (int64_t n = 0; n < rows * cols; n++) dp[n] *= slopes[n];
      std::fill(scores + count * cols, scores + rows * cols, 0.0f);
      std::fill(dp + count * cols, dp + rows * cols, 0.0f);
      round_depth(scores, rows, cols, p);
      round_rows(dp, rows, cols, ds);
      round_depth(dp, rows, cols, summed_ds);
      product(cols, {p, 1, cols}, summed_do, rows / DEPTH, width, true, dv);
      product(cols, {summed_ds, 1, cols}, summed_q, rows / DEPTH, width, true, dk);
      product(rows, {ds, cols / DEPTH, 1}, ks, cols / DEPTH, width, true,
              g.dq + (h * a.query_blocks() + i) * rows * width);
    }
    g.pass_on(head, i, j);
  }
  const int64_t count = std::min(cols, a.keys - key);
  for (int64_t r = 0; r < count; r++)
    for (int64_t i = 0; i < a.d; i++) {
      g.dk[(head * a.keys + key + r) * a.d + i] = narrow<T>(dk[r * width + i]);
      g.dv[(head * a.keys + key + r) * a.d + i] = narrow<T>(dv[r * width + i]);
    }
}

#undef LORA_INLINE
