// Quantized weights: blocks of ggml's types (ggml-common.h) to their values. Included after rows.h
// once per instruction set. Every product below is exact in f32, as in src/formats/gguf, so a fused
// multiply-add changes nothing. `q` is the first byte of a block, `y` the block's first value.

#define LORA_INLINE inline __attribute__((always_inline))

LORA_INLINE float half_at(const uint8_t* p) {
  const uint32_t h = p[0] | (uint32_t)p[1] << 8, mantissa = h & 0x3ff, exponent = h >> 10 & 31;
  // not by a subnormal float: the processor may treat those as 0
  const float size = exponent == 0 ? (float)mantissa * 5.9604644775390625e-8f
                                   : from_bits((exponent + 112) << 23 | mantissa << 13);
  return h & 0x8000 ? -size : size;
}

LORA_INLINE uint32_t word_at(const uint8_t* p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

template <class T>
LORA_INLINE void q4_0(const uint8_t* q, T* y) {
  const float d = half_at(q);
  for (int i = 0; i < 16; i++) {
    y[i] = narrow<T>(d * (float)((q[2 + i] & 15) - 8));
    y[16 + i] = narrow<T>(d * (float)((q[2 + i] >> 4) - 8));
  }
}

template <class T>
LORA_INLINE void q4_1(const uint8_t* q, T* y) {
  const float d = half_at(q), m = half_at(q + 2);
  for (int i = 0; i < 16; i++) {
    y[i] = narrow<T>(d * (float)(q[4 + i] & 15) + m);
    y[16 + i] = narrow<T>(d * (float)(q[4 + i] >> 4) + m);
  }
}

// As q4_0, with a fifth bit for each element in a 32-bit word.
template <class T>
LORA_INLINE void q5_0(const uint8_t* q, T* y) {
  const float d = half_at(q);
  const uint32_t high = word_at(q + 2);
  for (int i = 0; i < 16; i++) {
    y[i] = narrow<T>(d * (float)((int)((q[6 + i] & 15) | (high >> i & 1) << 4) - 16));
    y[16 + i] = narrow<T>(d * (float)((int)(q[6 + i] >> 4 | (high >> (i + 16) & 1) << 4) - 16));
  }
}

template <class T>
LORA_INLINE void q5_1(const uint8_t* q, T* y) {
  const float d = half_at(q), m = half_at(q + 2);
  const uint32_t high = word_at(q + 4);
  for (int i = 0; i < 16; i++) {
    y[i] = narrow<T>(d * (float)(int)((q[8 + i] & 15) | (high >> i & 1) << 4) + m);
    y[16 + i] = narrow<T>(d * (float)(int)(q[8 + i] >> 4 | (high >> (i + 16) & 1) << 4) + m);
  }
}

template <class T>
LORA_INLINE void q8_0(const uint8_t* q, T* y) {
  const float d = half_at(q);
  for (int i = 0; i < 32; i++) y[i] = narrow<T>(d * (float)(int8_t)q[2 + i]);
}

// 16 bytes of a scale and a minimum, 64 of four pairs of bits, d, dmin.
template <class T>
LORA_INLINE void q2_k(const uint8_t* q, T* y) {
  const float d = half_at(q + 80), dmin = half_at(q + 82);
  for (int k = 0; k < 16; k++) {
    const float scale = d * (float)(q[k] & 15), minimum = dmin * (float)(q[k] >> 4);
    const uint8_t* levels = q + 16 + k / 8 * 32 + k % 2 * 16;
    const int shift = k / 2 % 4 * 2;
    for (int i = 0; i < 16; i++)
      y[k * 16 + i] = narrow<T>(scale * (float)(levels[i] >> shift & 3) - minimum);
  }
}

// 32 bytes of third bits (0 there takes 4 away), 64 of four pairs of bits, sixteen 6-bit scales in
// 12 bytes, d.
template <class T>
LORA_INLINE void q3_k(const uint8_t* q, T* y) {
  const float d = half_at(q + 108);
  const uint8_t* packed = q + 96;
  for (int k = 0; k < 16; k++) {
    const int low = k < 8 ? packed[k] & 15 : packed[k - 8] >> 4;
    const int scale = (low | (packed[8 + k % 4] >> (k / 4 * 2) & 3) << 4) - 32;
    const uint8_t *levels = q + 32 + k / 8 * 32 + k % 2 * 16, *third = q + k % 2 * 16;
    const int shift = k / 2 % 4 * 2, bit = k / 2;
    for (int i = 0; i < 16; i++) {
      const int level = (levels[i] >> shift & 3) - (third[i] >> bit & 1 ? 0 : 4);
      y[k * 16 + i] = narrow<T>(d * (float)scale * (float)level);
    }
  }
}

// Eight 6-bit scales and eight 6-bit minima in 12 bytes (get_scale_min_k4).
LORA_INLINE int scale_at(const uint8_t* p, int j) {
  return j < 4 ? p[j] & 63 : (p[j + 4] & 15) | (p[j - 4] >> 6) << 4;
}
LORA_INLINE int minimum_at(const uint8_t* p, int j) {
  return j < 4 ? p[j + 4] & 63 : p[j + 4] >> 4 | (p[j] >> 6) << 4;
}

template <class T>
LORA_INLINE void q4_k(const uint8_t* q, T* y) {
  const float d = half_at(q), dmin = half_at(q + 2);
  for (int j = 0; j < 8; j++) {
    const float scale = d * (float)scale_at(q + 4, j), minimum = dmin * (float)minimum_at(q + 4, j);
    const uint8_t* levels = q + 16 + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; i++)
      y[j * 32 + i] = narrow<T>(scale * (float)(levels[i] >> shift & 15) - minimum);
  }
}

// As q4_k, with a fifth bit for each element in 32 bytes.
template <class T>
LORA_INLINE void q5_k(const uint8_t* q, T* y) {
  const float d = half_at(q), dmin = half_at(q + 2);
  for (int j = 0; j < 8; j++) {
    const float scale = d * (float)scale_at(q + 4, j), minimum = dmin * (float)minimum_at(q + 4, j);
    const uint8_t *levels = q + 48 + j / 2 * 32, *fifth = q + 16;
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; i++) {
      const int level = (levels[i] >> shift & 15) | (fifth[i] >> j & 1) << 4;
      y[j * 32 + i] = narrow<T>(scale * (float)level - minimum);
    }
  }
}

// 128 bytes of low nibbles, 64 of high pairs, 16 signed scales, d.
template <class T>
LORA_INLINE void q6_k(const uint8_t* q, T* y) {
  const float d = half_at(q + 208);
  for (int k = 0; k < 16; k++) {
    const int part = k / 8, group = k / 2 % 4, first = k % 2 * 16;
    const float scale = d * (float)(int8_t)q[192 + k];
    const uint8_t *lows = q + part * 64 + group % 2 * 32 + first,
                  *highs = q + 128 + part * 32 + first;
    const int low_shift = group / 2 * 4, high_shift = group * 2;
    for (int i = 0; i < 16; i++) {
      const int level = (lows[i] >> low_shift & 15) | (highs[i] >> high_shift & 3) << 4;
      y[k * 16 + i] = narrow<T>(scale * (float)(level - 32));
    }
  }
}

// d, 16 bytes of two nibbles: low nibbles first.
template <class T>
LORA_INLINE void iq4_nl(const uint8_t* q, T* y) {
  const float d = half_at(q);
  for (int i = 0; i < 16; i++) {
    y[i] = narrow<T>(d * IQ4_STEPS[q[2 + i] & 15]);
    y[16 + i] = narrow<T>(d * IQ4_STEPS[q[2 + i] >> 4]);
  }
}

// d, the two high bits of eight scales in 16 bits, their low nibbles in 4 bytes, 128 bytes of two
// nibbles.
template <class T>
LORA_INLINE void iq4_xs(const uint8_t* q, T* y) {
  const float d = half_at(q);
  const int high = q[2] | q[3] << 8;
  for (int g = 0; g < 8; g++) {
    const int low = q[4 + g / 2] >> (g % 2 * 4) & 15;
    const float scale = d * (float)((low | (high >> (2 * g) & 3) << 4) - 32);
    const uint8_t* levels = q + 8 + g * 16;
    for (int i = 0; i < 16; i++) {
      y[g * 32 + i] = narrow<T>(scale * IQ4_STEPS[levels[i] & 15]);
      y[g * 32 + 16 + i] = narrow<T>(scale * IQ4_STEPS[levels[i] >> 4]);
    }
  }
}

// One row of `width` values.
template <class T>
void dequantize(BlockType type, int64_t width, const uint8_t* q, T* y) {
  const auto blocks = [&](auto convert) LORA_LAMBDA {
    const BlockSize size = size_of_block(type);
    for (int64_t at = 0; at < width; at += size.values, q += size.bytes) convert(q, y + at);
  };
  switch (type) {
#define LORA_CASE(TYPE, FUNCTION)                                                     \
  case BlockType::TYPE:                                                               \
    return blocks([](const uint8_t* b, T* v) LORA_LAMBDA { FUNCTION(b, v); });
    LORA_CASE(Q4_0, q4_0)
    LORA_CASE(Q4_1, q4_1)
    LORA_CASE(Q5_0, q5_0)
    LORA_CASE(Q5_1, q5_1)
    LORA_CASE(Q8_0, q8_0)
    LORA_CASE(Q2_K, q2_k)
    LORA_CASE(Q3_K, q3_k)
    LORA_CASE(Q4_K, q4_k)
    LORA_CASE(Q5_K, q5_k)
    LORA_CASE(Q6_K, q6_k)
    LORA_CASE(IQ4_NL, iq4_nl)
    LORA_CASE(IQ4_XS, iq4_xs)
#undef LORA_CASE
  }
}

template <class T>
void dequantize_rows(int64_t from, int64_t to, BlockType type, int64_t width, int64_t row_bytes,
                     const uint8_t* q, T* y) {
  for (int64_t row = from; row < to; row++) dequantize(type, width, q + row * row_bytes, y + row * width);
}

// few_rows with the values of blocks. `values`: a buffer for as many rows of W as it reads at once.
constexpr int64_t ROWS_AT_ONCE = 4;
template <class T>
void few_rows_of_blocks(int64_t from, int64_t to, int64_t m, BlockType type, int64_t width,
                        int64_t row_bytes, int64_t out, const float* x, const uint8_t* q, float* y,
                        T* values) {
  for (int64_t o = from; o < to; o += ROWS_AT_ONCE) {
    const int64_t count = std::min(ROWS_AT_ONCE, to - o);
    dequantize_rows(0, count, type, width, row_bytes, q + o * row_bytes, values);
    few_rows(0, count, m, width, out, x, values, y + o);
  }
}

#undef LORA_INLINE
