// Masks of dropout, whose random numbers are those of StatelessRandomUniform: Philox4x32-10 (Salmon
// et al. 2011). Included by levels.h once per instruction set.

#define LORA_INLINE inline __attribute__((always_inline))

// The products of 16 numbers of 32 bits with m, in two halves.
LORA_INLINE void multiply_wide(LaneBits x, uint64_t m, LaneBits* low, LaneBits* high) {
  const uint64_t first = 0xffffffff;
  const LanePairsOfBits own = (LanePairsOfBits)x, even = (own & first) * m, odd = (own >> 32) * m;
  *low = (LaneBits)((even & first) | (odd << 32));
  *high = (LaneBits)((even >> 32) | (odd & ~first));
}

// 64 random numbers of 32 bits from the group of four `group` on, which 16 divides: of group
// `group + i` the four are in lane i of c.
LORA_INLINE void random_bits(const MaskKey& key, uint64_t group, LaneBits c[4]) {
  LaneBits c0, c1, c2, c3;
  for (int l = 0; l < LANES; l++) c0[l] = (uint32_t)group + l;
  c1 = LaneBits{} + (uint32_t)(group >> 32);
  c2 = LaneBits{} + key.counter[0];
  c3 = LaneBits{} + key.counter[1];
  uint32_t k0 = key.key[0], k1 = key.key[1];
#pragma clang loop unroll(full)
  for (int round = 0; round < 10; round++) {
    LaneBits low0, high0, low1, high1;
    multiply_wide(c0, 0xd2511f53, &low0, &high0);
    multiply_wide(c2, 0xcd9e8d57, &low1, &high1);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  c[0] = c0;
  c[1] = c1;
  c[2] = c2;
  c[3] = c3;
}

// 1 for each of the numbers from .. to that is kept, which are all of 64 or the last ones: `from` is
// a multiple of 64. A random number is that of its lower 23 bits as a fraction.
LORA_INLINE void mask_of_64(const MaskKey& key, int64_t from, int64_t to, uint8_t* kept) {
  LaneBits c[4], bytes = {};
  random_bits(key, (uint64_t)from / 4, c);
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++)
    bytes |= (LaneBits)((c[i] & 0x7fffff) >= key.least) & (uint32_t(1) << 8 * i);
  if (to - from == 64)
    std::memcpy(kept, &bytes, 64);
  else
    std::memcpy(kept, &bytes, to - from);
}

// Parts of 64 numbers of n: dropped = x · mask, and the mask without its scale.
template <class T>
void drop(int64_t from, int64_t to, int64_t n, const MaskKey& key, const T* x, float* dropped,
          uint8_t* kept) {
  uint8_t own[64];
  for (int64_t part = from; part < to; part++) {
    const int64_t start = part * 64, end = std::min(n, start + 64);
    uint8_t* mask = kept ? kept + start : own;
    mask_of_64(key, start, end, mask);
    for (int64_t i = start; i < end; i++)
      dropped[i] = wide(x[i]) * ((float)mask[i - start] * key.scale);
  }
}

// y = x · mask (null: 1) + y, or without y.
inline void add_dropped(int64_t from, int64_t to, float scale, const uint8_t* kept, const float* x,
                        bool adds, float* y) {
  if (!kept)
    for (int64_t i = from; i < to; i++) y[i] = x[i] + (adds ? y[i] : 0);
  else if (adds)
    for (int64_t i = from; i < to; i++) y[i] = x[i] * ((float)kept[i] * scale) + y[i];
  else
    for (int64_t i = from; i < to; i++) y[i] = x[i] * ((float)kept[i] * scale);
}

#undef LORA_INLINE
