// The loops of merge.cc. Included once for each instruction set, inside a namespace.

typedef double Doubles __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(32)));
typedef int64_t DoubleMask __attribute__((vector_size(64)));
typedef uint32_t FloatBits __attribute__((vector_size(32)));
typedef int32_t FloatInts __attribute__((vector_size(32)));
typedef uint16_t HalfBits __attribute__((vector_size(16)));

template <class V>
LORA_INLINE V loaded(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

LORA_INLINE Floats chosen(FloatInts mask, Floats a, Floats b) {
  return (Floats)(((FloatInts)a & mask) | ((FloatInts)b & ~mask));
}

// Halves as floats. Numbers below 2^-14 are multiples of 2^-24.
LORA_INLINE Floats from_half(FloatBits h) {
  const FloatBits sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
  const Floats normal = (Floats)((rest << 13) + 0x38000000u),
               infinite = (Floats)((rest << 13) | 0x7f800000u),
               small = __builtin_convertvector((FloatInts)rest, Floats) * 0x1p-24f;
  const FloatInts is_small = (FloatInts)(rest < 0x400u), is_infinite = (FloatInts)(rest >= 0x7c00u);
  return (Floats)((FloatBits)chosen(is_small, small, chosen(is_infinite, infinite, normal)) | sign);
}

// Rounds to the nearest half, ties to even; what is too large becomes infinite.
LORA_INLINE FloatBits to_half(Floats x) {
  const FloatBits u = (FloatBits)x, sign = (u >> 16) & 0x8000u, rest = u & 0x7fffffffu;
  const FloatBits normal = (rest + 0xfffu + ((rest >> 13) & 1u) - 0x38000000u) >> 13;
  // added to 0.5, whose last digit is 2^-24, a small number is rounded to its multiples
  const FloatBits small = (FloatBits)((Floats)rest + 0.5f) - 0x3f000000u;
  const FloatBits is_small = (FloatBits)(rest < 0x38800000u), is_large = (FloatBits)(rest >= 0x477ff000u);
  const FloatBits half = (is_small & small) | (~is_small & ((is_large & 0x7c00u) | (~is_large & normal)));
  return half | sign;
}

// Eight stored numbers as floats.
LORA_INLINE Floats wide(Stored type, const uint8_t* from) {
  if (type == Stored::F32) return loaded<Floats>(from);
  const FloatBits bits = __builtin_convertvector(loaded<HalfBits>(from), FloatBits);
  return type == Stored::BF16 ? (Floats)(bits << 16) : from_half(bits);
}

// Stores eight finite numbers; returns what they are then.
LORA_INLINE Floats put(Stored type, uint8_t* to, Floats x) {
  if (type == Stored::F32) {
    std::memcpy(to, &x, sizeof(x));
    return x;
  }
  const FloatBits u = (FloatBits)x;
  const FloatBits bits = type == Stored::BF16 ? (u + 0x7fffu + ((u >> 16) & 1u)) >> 16 : to_half(x);
  const HalfBits halves = __builtin_convertvector(bits, HalfBits);
  std::memcpy(to, &halves, sizeof(halves));
  return type == Stored::BF16 ? (Floats)(bits << 16) : from_half(bits);
}

// Adds b0 a0 + b1 a1 + b2 a2 + b3 a3 to the sums of `count` columns, which is a multiple of eight.
LORA_INLINE void add_four(const double* b, const float* a, int64_t stride, int64_t count, double* sums) {
  for (int64_t i = 0; i < count; i += EIGHT) {
    const auto numbers = [&](int64_t k) LORA_LAMBDA {
      return __builtin_convertvector(loaded<Floats>(a + k * stride + i), Doubles);
    };
    const Doubles sum = loaded<Doubles>(sums + i) +
                        (b[0] * numbers(0) + b[1] * numbers(1) + b[2] * numbers(2) + b[3] * numbers(3));
    std::memcpy(sums + i, &sum, sizeof(sum));
  }
}

// Eight columns: W + dW as it is stored, and what that has done.
LORA_INLINE void merge_eight(const MergedRow& m, const uint8_t* w, Doubles change, uint8_t* y, Lanes8* lanes) {
  const Floats before = wide(m.from, w);
  const Floats exact = __builtin_convertvector(__builtin_convertvector(before, Doubles) + change, Floats);
  const Floats stored = put(m.to, y, exact);
  const Doubles gap = __builtin_convertvector(stored, Doubles) - __builtin_convertvector(exact, Doubles);
  const Doubles size = (Doubles)((DoubleMask)gap & 0x7fffffffffffffff);
  const DoubleMask is_larger = size > lanes->largest;
  lanes->largest = (Doubles)(((DoubleMask)size & is_larger) | ((DoubleMask)lanes->largest & ~is_larger));
  lanes->rounding += gap * gap;
  lanes->square += change * change;
  lanes->not_finite += before * 0.0f + stored * 0.0f;
  lanes->still -= __builtin_convertvector(change == 0.0, FloatInts);
  lanes->unchanged -= (FloatInts)(stored == before);
}

void merge_row(const MergedRow& m, RowFacts* facts) {
  alignas(64) double sums[TILE_COLUMNS];
  alignas(64) uint8_t w[4 * EIGHT] = {}, y[4 * EIGHT];
  Lanes8 lanes{};
  const int64_t from_width = width_of(m.from), to_width = width_of(m.to);
  for (int64_t first = 0; first < m.columns; first += TILE_COLUMNS) {
    const int64_t count = std::min(TILE_COLUMNS, m.columns - first), padded = (count + EIGHT - 1) / EIGHT * EIGHT;
    std::memset(sums, 0, padded * sizeof(double));
    for (int64_t k = 0; k < m.ranks; k += 4) {
      const double* b = m.b + k;
      if (b[0] == 0 && b[1] == 0 && b[2] == 0 && b[3] == 0) continue;
      add_four(b, m.a + k * m.stride + first, m.stride, padded, sums);
    }
    const int64_t whole = count / EIGHT * EIGHT;
    for (int64_t i = 0; i < whole; i += EIGHT)
      merge_eight(m, m.w + (first + i) * from_width, loaded<Doubles>(sums + i),
                  m.y + (first + i) * to_width, &lanes);
    if (whole == count) continue;
    // the columns beyond the last are zeros, which neither change nor are rounded
    const int64_t rest = count - whole;
    std::memset(w, 0, sizeof(w));
    std::memcpy(w, m.w + (first + whole) * from_width, rest * from_width);
    merge_eight(m, w, loaded<Doubles>(sums + whole), y, &lanes);
    std::memcpy(m.y + (first + whole) * to_width, y, rest * to_width);
  }
  const double beyond = (EIGHT - m.columns % EIGHT) % EIGHT;
  *facts = {};
  facts->still = facts->unchanged = -beyond;
  for (int i = 0; i < EIGHT; i++) {
    facts->square += lanes.square[i];
    facts->rounding += lanes.rounding[i];
    facts->largest = std::max(facts->largest, lanes.largest[i]);
    facts->still += lanes.still[i];
    facts->unchanged += lanes.unchanged[i];
    if (!(lanes.not_finite[i] == 0)) facts->not_finite = 1;
  }
}
