// The loops of adapter.cc. Included once for each instruction set, inside a namespace.

typedef double Doubles __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(32)));

LORA_INLINE Doubles doubles_at(const float* from) {
  Floats v;
  std::memcpy(&v, from, sizeof(v));
  return __builtin_convertvector(v, Doubles);
}

LORA_INLINE void put(float* to, Doubles x) {
  const Floats v = __builtin_convertvector(x, Floats);
  std::memcpy(to, &v, sizeof(v));
}

// Divides gradients, in place; sum: of the squares of the quotients. Every eighth number
// is added to one of eight sums, and these to each other, halves first.
inline void add_squares(int64_t count, float* gradient, double divisor, double* sum) {
  Doubles sums = {};
  int64_t i = 0;
  for (; i + EIGHT <= count; i += EIGHT) {
    const Doubles g = doubles_at(gradient + i) / divisor;
    put(gradient + i, g);
    sums += g * g;
  }
  for (int64_t k = 0; i < count; i++, k++) {
    const double g = gradient[i] / divisor;
    gradient[i] = (float)g;
    sums[k] += g * g;
  }
  *sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// A step of some numbers with one set of coefficients; the gradients become zeros.
inline void step_numbers(int64_t count, const Coefficients& c, const Moments& of) {
  float *__restrict theta = of.theta, *__restrict gradient = of.gradient, *__restrict m = of.m,
        *__restrict v = of.v;
  for (int64_t i = 0; i < count; i++) {
    const double g = c.clips ? (float)(gradient[i] * c.factor) : gradient[i], before = m[i],
                 mean = before + c.one_less_beta1 * (g - before),
                 square = c.beta2 * v[i] + c.one_less_beta2 * g * g;
    m[i] = (float)mean;
    v[i] = (float)square;
    theta[i] = (float)(theta[i] * c.decay - c.size * mean / (std::sqrt(square) / c.root + c.eps));
    gradient[i] = 0;
  }
}
