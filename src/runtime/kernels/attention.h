// Attention by blocks of queries and keys, without the array of all scores (online softmax,
// Milakov & Gimelshein 2018; its gradient, FlashAttention-2, Dao 2023). Included by attention.cc
// once per instruction set, after levels.h.

#include "attentionSoftmax.h"
#include "attentionWords.h"

#define LORA_INLINE inline __attribute__((always_inline))

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

// The products of a band: of its rows with keys or values [width / DEPTH, keys], ...
LORA_INLINE void scores_of_band(const Attention& a, const Band& band, const Word* rows,
                                const Word* keys, float* scores) {
  const int64_t depth = a.width / DEPTH;
  product(band.rows, {rows + band.row * depth, depth, 1},
          {keys + band.keys.from, depth, band.keys.to - band.keys.from, a.block_keys}, false,
          scores + band.row * a.block_keys + band.keys.from);
}
// ... and of its numbers for each key with keys or values [keys / DEPTH, width].
LORA_INLINE void sum_over_keys(const Attention& a, const Band& band, const Word* numbers,
                               const Word* keys, float* c) {
  const int64_t row = a.block_keys / DEPTH, from = band.keys.from / DEPTH;
  product(band.rows, {numbers + band.row * row + from, row, 1},
          {keys + from * a.width, (band.keys.to - band.keys.from) / DEPTH, a.width, a.width}, true,
          c + band.row * a.width);
}

// The output of a block of queries of one head: q [queries, d], o of stride heads · d, and of each
// query the largest score and the inverse of the sum. `sink`: the score of a key without a value, or
// null.
template <class T>
void attend_block(const Attention& a, int64_t sequence, int64_t query, const T* q,
                  const uint32_t* packed_k, const uint32_t* packed_v, const float* sink, T* o,
                  float* stats, float* buffer) {
#ifdef LORA_TILES
  const Tiles tiles;
#endif
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
    for (const Band& band : Bands(a, block, seen)) {
      scores_of_band(a, band, own_q, (const Word*)packed_k + j * words, scores);
      cap(a, band, scores);
      if (seen == Visibility::SOME) hide(a, sequence, block, band, scores);
      soften(a, band, scores, sums_of_o, largest_so_far, sums);
      round_rows(scores, band, a.block_keys, p);
      sum_over_keys(a, band, p, (const Word*)packed_v + j * words, sums_of_o);
    }
  }
  for (int64_t r = 0; r < count; r++) {
    const float inverse = sums[r] > 0 ? 1.0f / sums[r] : 0.0f;
    T* out = o + (query + r) * a.heads * a.d;
    for (int64_t i = 0; i < a.d; i++) out[i] = narrow<T>(sums_of_o[r * width + i] * inverse);
    stats[2 * (query + r)] = largest_so_far[r];
    stats[2 * (query + r) + 1] = inverse;
  }
}

// c [keys, width] += aᵀ b: a has the numbers of a block for each key as words [queries / DEPTH, keys],
// b a row of each query as words [queries / DEPTH, width].
LORA_INLINE void sum_over_queries(const Attention& a, const Block& block, Visibility seen,
                                  const Word* numbers, const Word* b, float* c) {
  const int64_t step = seen == Visibility::ALL ? block.keys : BAND_ROWS;
  for (int64_t key = 0; key < block.keys; key += step) {
    const Range rows =
        seen == Visibility::ALL ? Range{0, block.queries} : rows_seeing(a, block, key);
    if (rows.from >= rows.to) continue;
    const int64_t from = rows.from / DEPTH, depth = (rows.to - rows.from) / DEPTH;
    product(step, {numbers + from * block.keys + key, 1, block.keys},
            {b + from * a.width, depth, a.width, a.width}, true, c + key * a.width);
  }
}

// The gradients of one block of keys and values, and its part of those of the queries that see it,
// in f32 [.., block_queries, width] per head: blocks of keys add theirs in their order.
template <class T>
void attend_block_grad(const Attention& a, const AttentionGrad<T>& g, int64_t head, int64_t j,
                       float* buffer) {
#ifdef LORA_TILES
  const Tiles tiles;
#endif
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
      const RowStats stats{count, g.stats + 2 * first, g.dots + first};
      float* dq = g.dq + (h * a.query_blocks() + i) * rows * width;
      for (const Band& band : Bands(a, block, seen)) {
        scores_of_band(a, band, own_q, kt, scores);
        scores_of_band(a, band, own_do, vt, dp);
        if (a.softcap > 0) cap_with_slope(a, band, scores, slopes);
        if (seen == Visibility::SOME) hide(a, sequence, block, band, scores);
        softmax_gradient(a, band, stats, scores, dp);
        if (a.softcap > 0) scale_by_slopes(a, band, slopes, dp);
        round_depth(scores, band, cols, p);
        round_rows(dp, band, cols, ds);
        round_depth(dp, band, cols, summed_ds);
        sum_over_keys(a, band, ds, ks, dq);
      }
      sum_over_queries(a, block, seen, p, summed_do, dv);
      sum_over_queries(a, block, seen, summed_ds, summed_q, dk);
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
