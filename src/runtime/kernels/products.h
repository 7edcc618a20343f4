// y = x Wᵀ for few rows x, where reading W from memory takes most of the time: W is read once for
// all of them. Included after blocks.h once per instruction set. Each number of y is a sum in an
// order that depends on nothing else: neither on how many rows there are, nor on where threads
// divide W, nor on whether its values are stored in f32 or in blocks.

#define LORA_INLINE inline __attribute__((always_inline))

LORA_INLINE Lanes lanes_at(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
LORA_INLINE Lanes lanes_at(const bf16* p) {
  LaneHalves halves;
  std::memcpy(&halves, p, sizeof(halves));
  return (Lanes)(__builtin_convertvector(halves, LaneBits) << 16);
}

// Halves are added to each other.
LORA_INLINE float total(Lanes v) {
  const auto eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                     __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const auto four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
                    __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// The processor foresees too little of what is read, and nothing when several rows are read at a
// time. Into the second cache: the first one waits for too few lines at once.
LORA_INLINE void fetch_ahead(const void* p) { __builtin_prefetch(p, 0, 2); }

// Rows of numbers.
template <class T>
struct NumberRows {
  const T* w;
  int64_t width;

  // Calls f(k, i, values) for the values i .. i + LANES - 1 of the rows o .. o + W - 1, whose number
  // is k. `fetch`: rows after them are fetched meanwhile, in as many steps, line by line.
  template <int W, class F>
  LORA_INLINE void each(int64_t o, bool fetch, F f) const {
    const T* own = w + o * width;
    const auto* ahead = (const char*)own + ahead_of(W * width * sizeof(T));
    for (int64_t i = 0; i + LANES <= width; i += LANES)
      for (int k = 0; k < W; k++) {
        if (fetch && (W == 1 || k * sizeof(T) * LANES % 64 == 0))
          fetch_ahead(ahead + (i * W + k * LANES) * sizeof(T));
        f(k, i, lanes_at(own + k * width + i));
      }
  }
  LORA_INLINE float rest(int64_t o, const float* x) const {
    float sum = 0;
    for (int64_t i = width / LANES * LANES; i < width; i++) sum += wide(w[o * width + i]) * x[i];
    return sum;
  }
};

// Rows of blocks, whose values are those in f32.
template <BlockType TYPE>
struct RowsOfBlocks {
  const RowsForm& form;
  int64_t header;
  const uint8_t* q;

  template <int W, class F>
  LORA_INLINE void each(int64_t o, bool fetch, F f) const {
    constexpr BlockSize size = size_of_block(TYPE);
    const int64_t row_bytes = form.row_bytes;
    const uint8_t *rows = q + o * row_bytes, *own = rows + header;
    for (int64_t at = 0; at < form.width; at += size.values, own += size.bytes)
#pragma clang loop unroll(full)
      for (int unit = 0; unit < size.values / UNIT; unit++)
        for (int k = 0; k < W; k++) {
          const uint8_t* block = own + k * row_bytes;
          if (fetch) fetch_ahead(block + W * row_bytes + unit * (size.bytes * UNIT / size.values));
          const Pair v = rounded_values<TYPE>(form, rows + k * row_bytes, block, at, unit);
          f(k, at + unit * UNIT, v.first);
          f(k, at + unit * UNIT + LANES, v.second);
        }
  }
  LORA_INLINE float rest(int64_t, const float*) const { return 0; }
};

// W rows of w from o on with R rows x.
template <int W, int R, class Rows>
LORA_INLINE void multiply_tile(const Rows& w, int64_t o, bool fetch, int64_t width, int64_t out,
                               const float* x, float* y) {
  Lanes sums[R][W] = {};
  w.template each<W>(o, fetch, [&](int k, int64_t i, Lanes values) LORA_LAMBDA {
    for (int r = 0; r < R; r++) sums[r][k] += values * lanes_at(x + r * width + i);
  });
  for (int r = 0; r < R; r++)
    for (int k = 0; k < W; k++)
      y[r * out + o + k] = total(sums[r][k]) + w.rest(o + k, x + r * width);
}

// Four rows of w from o on with m rows x. Where registers are few, one row of w is multiplied after
// the other, so that its values are computed once for four rows x.
template <class Rows>
LORA_INLINE void multiply_four(const Rows& w, int64_t o, int64_t m, int64_t width, int64_t out,
                               const float* x, float* y) {
  int64_t row = 0;
#if LORA_LEVEL == 2
  for (; row + 4 <= m; row += 4)
    multiply_tile<4, 4>(w, o, row == 0, width, out, x + row * width, y + row * out);
#else
  for (; row + 4 <= m; row += 4)
#pragma clang loop unroll(disable)
    for (int k = 0; k < 4; k++)
      multiply_tile<1, 4>(w, o + k, row == 0, width, out, x + row * width, y + row * out);
#endif
  for (; row < m; row++)
    multiply_tile<4, 1>(w, o, row == 0, width, out, x + row * width, y + row * out);
}

// The outputs from .. to of m rows x.
template <class T>
void few_rows(int64_t from, int64_t to, int64_t m, int64_t width, int64_t out, const float* x,
              const T* w, float* y) {
  const NumberRows<T> rows{w, width};
  int64_t o = from;
  // one row is read faster than several at a time, which save loading x
  for (; m > 1 && o + 4 <= to; o += 4) multiply_four(rows, o, m, width, out, x, y);
  for (; o < to; o++)
    for (int64_t row = 0; row < m; row++)
      multiply_tile<1, 1>(rows, o, row == 0, width, out, x + row * width, y + row * out);
}

// Four rows at a time from their blocks, and the last ones as numbers.
inline void few_rows_of_blocks(int64_t from, int64_t to, int64_t m, const RowsForm& form,
                               int64_t out, const float* x, const uint8_t* q, float* y) {
  const int64_t width = form.width;
  int64_t o = from;
#ifdef LORA_FROM_BLOCKS
  const int64_t header = header_bytes(form);
  with_type(form.type, [&](auto constant) LORA_LAMBDA {
    const RowsOfBlocks<decltype(constant)::value> rows{form, header, q};
    for (; o + 4 <= to; o += 4) multiply_four(rows, o, m, width, out, x, y);
  });
#endif
  std::vector<float> numbers(o < to ? 4 * width : 0);
  for (; o < to; o += 4) {
    const int64_t count = std::min<int64_t>(4, to - o);
    dequantize_rows(0, count, form, q + o * form.row_bytes, numbers.data());
    few_rows(0, count, m, width, out, x, numbers.data(), y + o);
  }
}

#undef LORA_INLINE
