// What products of matrices multiply: words, which are numbers of f32, or, where the processor
// multiplies bf16 (LORA_PAIRS), pairs of bf16 that are neighbours in the dimension that is summed over.
// Included once per instruction set, like rows.h.

#define LORA_INLINE inline __attribute__((always_inline))

#ifdef LORA_PAIRS
typedef uint32_t Word;
constexpr int DEPTH = 2;  // numbers of a word
typedef __bf16 LanePairs __attribute__((vector_size(4 * LANES)));
typedef __bf16 LaneRounded __attribute__((vector_size(2 * LANES)));

LORA_INLINE Lanes multiply(Lanes sum, Word a, Lanes b) {
  return __builtin_ia32_dpbf16ps_512(sum, (LanePairs)((LaneBits){} + a), (LanePairs)b);
}
LORA_INLINE LaneHalves rounded(Lanes v) {
  return (LaneHalves)__builtin_convertvector(v, LaneRounded);
}
#else
typedef float Word;
constexpr int DEPTH = 1;

LORA_INLINE Lanes multiply(Lanes sum, Word a, Lanes b) { return sum + a * b; }

LORA_INLINE LaneHalves rounded(Lanes v) {
  const LaneBits u = (LaneBits)v, up = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  const LaneBits is_none = (LaneBits)(v != v);
  return __builtin_convertvector((up & ~is_none) | (0x7fc0 & is_none), LaneHalves);
}
#endif

// 16 words of each of 16 rows become those of 16 columns.
LORA_INLINE void transpose(Lanes v[LANES]) {
#pragma clang loop unroll(full)
  for (int round = 0; round < 4; round++) {
    Lanes w[LANES];
#pragma clang loop unroll(full)
    for (int i = 0; i < LANES / 2; i++) {
      w[2 * i] = __builtin_shufflevector(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                                         22, 7, 23);
      w[2 * i + 1] = __builtin_shufflevector(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                             29, 14, 30, 15, 31);
    }
    std::memcpy(v, w, sizeof(w));
  }
}

#undef LORA_INLINE
