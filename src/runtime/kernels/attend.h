// Attention by blocks of queries and keys, which attention.cc computes.
#pragma once

#include "levels.h"

namespace lora {

struct Range {
  int64_t from, to;
};

// The queries from `query` on with the keys from `key` on.
struct Block {
  int64_t query, queries, key, keys;
};

enum class Visibility { NONE, SOME, ALL };

struct Ids {
  int32_t least, most;
};

inline Ids ids_in(const int32_t* ids, int64_t count) {
  Ids own{ids[0], ids[0]};
  for (int64_t i = 1; i < count; i++) {
    own.least = std::min(own.least, ids[i]);
    own.most = std::max(own.most, ids[i]);
  }
  return own;
}

// Heads [batch, heads, queries, d] with keys and values [batch · kv_heads, keys, d].
struct Attention {
  int64_t batch, heads, kv_heads, queries, keys, d;
  bool causal;
  int64_t window;  // 0: none
  float softcap;   // 0: none
  // A query sees the keys of its id [batch, keys]; null: all.
  const int32_t *query_ids, *key_ids;

  // The position of the first query among the keys.
  int64_t first;
  // d, filled up to whole vectors.
  int64_t width;
  int64_t block_queries, block_keys;

  int64_t query_blocks() const { return (queries + block_queries - 1) / block_queries; }
  int64_t key_blocks() const { return (keys + block_keys - 1) / block_keys; }

  // The keys that some query of the block at `query` may see.
  Range keys_of(int64_t query) const {
    const int64_t from = query + first, last = std::min(queries, query + block_queries) - 1 + first;
    int64_t to = causal ? std::min(keys, last + 1) : keys;
    if (window > 0) to = std::min(to, last + window);
    return {window > 0 ? std::max<int64_t>(0, from - window + 1) : 0, to};
  }

  // The blocks of queries for which `keys_of` has keys of block j.
  Range query_blocks_of(int64_t j) const {
    const int64_t from = j * block_keys, to = std::min(keys, from + block_keys);
    Range own{query_blocks(), 0};
    for (int64_t i = 0; i < query_blocks(); i++) {
      const Range seen = keys_of(i * block_queries);
      if (seen.from >= to || seen.to <= from) continue;
      own.from = std::min(own.from, i);
      own.to = i + 1;
    }
    return own.from < own.to ? own : Range{0, 0};
  }

  // How many pairs of the block, which is cut to what exists, see each other.
  Visibility visibility(int64_t sequence, const Block& block) const {
    const int64_t from = block.query + first,
                  last = std::min(queries, block.query + block.queries) - 1 + first,
                  end = std::min(keys, block.key + block.keys) - 1;
    bool all = end - block.key + 1 == block.keys;
    if (causal) {
      if (block.key > last) return Visibility::NONE;
      all = all && end <= from;
    }
    if (window > 0) {
      if (from - end >= window || block.key - last >= window) return Visibility::NONE;
      all = all && last - block.key < window && end - from < window;
    }
    if (key_ids) {
      const Ids q = ids_in(query_ids + sequence * keys + from, last - from + 1),
                k = ids_in(key_ids + sequence * keys + block.key, end - block.key + 1);
      if (q.most < k.least || q.least > k.most) return Visibility::NONE;
      all = all && q.least == q.most && k.least == k.most;
    }
    return all ? Visibility::ALL : Visibility::SOME;
  }
};

// A multiple of LANES, as blocks of queries are.
constexpr int64_t MAX_BLOCK_QUERIES = 64;

// Queries of a block, from `row` on, and the keys of the block that some of them may see, as whole
// vectors. Nothing is computed of other keys.
struct Band {
  int64_t row, rows;
  Range keys;
};

constexpr int64_t BAND_ROWS = LANES;

inline Band band_at(const Attention& a, const Block& block, int64_t row) {
  const int64_t first = block.query + a.first + row, last = first + BAND_ROWS - 1;
  int64_t from = 0, to = std::min(block.keys, a.keys - block.key);
  if (a.causal) to = std::min(to, last + 1 - block.key);
  if (a.window > 0) {
    from = std::max<int64_t>(0, first - a.window + 1 - block.key);
    to = std::min(to, last + a.window - block.key);
  }
  to = (std::max<int64_t>(to, 0) + LANES - 1) / LANES * LANES;
  return {row, BAND_ROWS, {std::min(from / LANES * LANES, to), to}};
}

// The bands of a block: one if all queries see all keys.
struct Bands {
  Band bands[MAX_BLOCK_QUERIES / BAND_ROWS];
  int64_t count;

  Bands(const Attention& a, const Block& block, Visibility seen) : count(0) {
    if (seen == Visibility::ALL) bands[count++] = {0, block.queries, {0, block.keys}};
    for (int64_t row = 0; row < block.queries && seen != Visibility::ALL; row += BAND_ROWS) {
      const Band band = band_at(a, block, row);
      if (band.keys.from < band.keys.to) bands[count++] = band;
    }
  }
  const Band* begin() const { return bands; }
  const Band* end() const { return bands + count; }
};

// The rows of a block's bands that may see some of its keys key .. key + BAND_ROWS - 1: as both ends
// of what bands see grow from one to the next, these rows are neighbours.
inline Range rows_seeing(const Attention& a, const Block& block, int64_t key) {
  Range rows{block.queries, 0};
  for (int64_t row = 0; row < block.queries; row += BAND_ROWS) {
    const Range keys = band_at(a, block, row).keys;
    if (key < keys.from || key >= keys.to) continue;
    rows.from = std::min(rows.from, row);
    rows.to = row + BAND_ROWS;
  }
  return rows;
}

// Computes how the attention is divided into blocks.
void complete(Attention* a);

// q [batch, heads, queries, d], k and v [batch · kv_heads, keys, d], sinks [heads] or null ->
// o [batch · queries, heads · d], stats [batch, heads, queries, 2]. T is float or bf16.
template <class T>
void attend_heads(const Attention& a, const T* q, const T* k, const T* v, const float* sinks, T* o,
                  float* stats);

// The inputs and outputs of `attend_heads`, and dO like o.
template <class T>
struct Attended {
  const T *q, *k, *v, *o;
  const float* stats;
  const T* d_o;
};

template <class T>
void attend_heads_grad(const Attention& a, const Attended<T>& attended, T* dq, T* dk, T* dv);

}  // namespace lora
