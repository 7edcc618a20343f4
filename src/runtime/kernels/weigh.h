// What sampling needs of a vocabulary's logits, by blocks of tokens. Included once per instruction
// set. The sums are f64.

#define LORA_INLINE inline __attribute__((always_inline))

// e^x for x <= 0 to about 1 ulp, 0 below -700: 2^n · e^f with |f| <= ln 2 / 2 and Taylor's series.
LORA_INLINE double weight_of(double x) {
  const double own = x >= -700.0 ? x : -700.0;
  const double shifted = own * 1.44269504088896340736 + 6755399441055744.0;  // 1.5 · 2^52
  const double n = shifted - 6755399441055744.0;                            // the nearest integer
  const double f = (own - n * 6.93147180369123816490e-1) - n * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;
  p = p * f + 1.0 / 479001600.0;
  p = p * f + 1.0 / 39916800.0;
  p = p * f + 1.0 / 3628800.0;
  p = p * f + 1.0 / 362880.0;
  p = p * f + 1.0 / 40320.0;
  p = p * f + 1.0 / 5040.0;
  p = p * f + 1.0 / 720.0;
  p = p * f + 1.0 / 120.0;
  p = p * f + 1.0 / 24.0;
  p = p * f + 1.0 / 6.0;
  p = p * f + 0.5;
  p = p * f + 1.0;
  p = p * f + 1.0;
  uint64_t power, bits;
  std::memcpy(&power, &shifted, 8);
  std::memcpy(&bits, &p, 8);
  bits += power << 52;  // the lowest bits of `shifted` are n
  std::memcpy(&p, &bits, 8);
  return x >= -700.0 ? p : 0.0;
}

// The largest of each block [from, to) of `width` logits, the last of which is shorter.
inline void largest_of_blocks(int64_t from, int64_t to, int64_t width, int64_t vocab,
                              const float* z, float* most) {
  for (int64_t b = from; b < to; b++)
    most[b] = largest(std::min(width, vocab - b * width), z + b * width);
}

// sum(exp((z - most) / temperature)) of each block.
inline void weigh_blocks(int64_t from, int64_t to, int64_t width, int64_t vocab, const float* z,
                         double most, double temperature, double* sums) {
  constexpr int WIDE = LANES / 2;
  const double scale = 1.0 / temperature;
  for (int64_t b = from; b < to; b++) {
    const float* own = z + b * width;
    const int64_t n = std::min(width, vocab - b * width);
    double lanes[WIDE] = {};
    int64_t i = 0;
    for (; i + WIDE <= n; i += WIDE)
      for (int l = 0; l < WIDE; l++) lanes[l] += weight_of((own[i + l] - most) * scale);
    double rest = 0;
    for (; i < n; i++) rest += weight_of((own[i] - most) * scale);
    for (int l = 0; l < WIDE; l++) rest += lanes[l];
    sums[b] = rest;
  }
}

#undef LORA_INLINE
