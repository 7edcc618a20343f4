// Calls each kernel's loop on the same numbers, in a program that is compiled twice: as the binding
// is, and without vectors.
//   cases             prints the results, one line for each output
//   cases NAME COUNT  runs one case COUNT times on longer rows, whose instructions are counted
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "levels.h"
#include "rounded.h"

namespace lora {

constexpr float SPREAD = 3;

// Numbers in [-spread, spread], the same on every system.
template <class T>
std::vector<T> numbers(int64_t n, uint32_t seed, float spread = SPREAD) {
  std::vector<T> values(n);
  uint32_t state = seed * 2654435761u + 1;
  for (T& value : values) {
    state = state * 1664525u + 1013904223u;
    value = plain::narrow<T>(((state >> 8) / 8388608.0f - 1.0f) * spread);
  }
  return values;
}

// What the cases run on. Rows that are no multiple of a register's width, or long ones to count.
struct Sizes {
  int64_t rows, width, heads, kv_heads, head_dim;
};
constexpr Sizes ODD{5, 83, 3, 1, 14}, LONG{1, 1024, 14, 1, 64};

class Cases {
 public:
  Cases(std::string only, int count) : only_(only), count_(count), s_(count ? LONG : ODD) {}

  template <class T>
  void all(const std::string& type) {
    norms<T>(type);
    activations<T>(type);
    heads<T>(type);
    attention<T>(type);
    losses<T>(type);
    blocks<T>(type);
  }

  void others() {
    const int64_t n = s_.rows * s_.width;
    auto theta = numbers<float>(n, 1), g = numbers<float>(n, 2), m = numbers<float>(n, 3),
         v = numbers<float>(n, 4);
    for (float& x : v) x = x * x;
    const AdamWStep step{0.5f, 0.99f, 0.01f, 0.3f, 0.1f, 0.999f, 0.001f, 1e-8f};
    run("adamw f32", [&] {
      LORA_BEST(adamw(0, n, step, theta.data(), g.data(), m.data(), v.data()));
    });
    show("adamw f32 theta", theta);
    show("adamw f32 m", m);
    show("adamw f32 v", v);
    auto x = numbers<float>(n, 5, 1e30f);
    auto half = std::vector<bf16>(n);
    auto wide = std::vector<float>(n);
    run("convert f32 to bf16", [&] { LORA_BEST(convert(0, n, x.data(), half.data())); });
    run("convert bf16 to f32", [&] { LORA_BEST(convert(0, n, half.data(), wide.data())); });
    show("convert f32 to bf16", half);
    show("convert bf16 to f32", wide);
  }

 private:
  template <class T>
  void norms(const std::string& type) {
    const int64_t n = s_.rows, d = s_.width;
    auto x = numbers<float>(n * d, 1), w = numbers<float>(d, 2), residual = numbers<float>(n * d, 3);
    auto dh = numbers<T>(n * d, 4);
    std::vector<T> h(n * d);
    std::vector<float> r(n), dx(n * d);
    run("rms " + type, [&] {
      LORA_BEST(rms<T>(0, n, d, 1e-5f, x.data(), w.data(), h.data(), r.data()));
    });
    show("rms " + type, h);
    for (int64_t row = 0; row < n; row++) r[row] = 0.5f + 0.1f * row;
    run("rms_grad " + type, [&] {
      LORA_BEST(rms_grad<T>(0, n, d, x.data(), r.data(), w.data(), dh.data(), residual.data(),
                            dx.data()));
    });
    show("rms_grad " + type, dx);
  }

  template <class T>
  void activations(const std::string& type) {
    const int64_t n = s_.rows * s_.width;
    auto gate = numbers<T>(n, 1, 30), up = numbers<T>(n, 2), dm = numbers<T>(n, 3);
    std::vector<T> m(n), dgate(n), dup(n), y(n);
    run("glu " + type, [&] { LORA_BEST(glu<T>(0, n, gate.data(), up.data(), m.data())); });
    show("glu " + type, m);
    run("glu_grad " + type, [&] {
      LORA_BEST(glu_grad<T>(0, n, gate.data(), up.data(), dm.data(), dgate.data(), dup.data()));
    });
    show("glu_grad " + type + " gate", dgate);
    show("glu_grad " + type + " up", dup);
    run("sum3 " + type, [&] {
      LORA_BEST(sum3(0, n, gate.data(), up.data(), (const T*)dm.data(), y.data()));
    });
    show("sum3 " + type, y);
  }

  template <class T>
  void heads(const std::string& type) {
    const Layout l{1, s_.rows, s_.heads, s_.kv_heads, s_.head_dim, s_.rows};
    const int64_t width = (l.heads + 2 * l.kv_heads) * l.head_dim, n = l.length;
    auto qkv = numbers<T>(n * width, 1);
    auto table = numbers<float>(n * width, 2, 1);
    std::vector<T> q(n * l.heads * l.head_dim), k(n * l.kv_heads * l.head_dim), v(k.size()),
        back(n * width);
    run("to_heads " + type, [&] {
      LORA_BEST(to_heads(0, n, l, qkv.data(), table.data(), q.data(), k.data(), v.data()));
    });
    show("to_heads " + type + " q", q);
    show("to_heads " + type + " k", k);
    show("to_heads " + type + " v", v);
    run("from_heads " + type, [&] {
      LORA_BEST(from_heads(0, n, l, q.data(), k.data(), v.data(), table.data(), back.data()));
    });
    show("from_heads " + type, back);
  }

  template <class T>
  void attention(const std::string& type) {
    const int64_t n = s_.rows, keys = s_.width;
    auto scores = numbers<T>(n * keys, 1, 8), dp = numbers<T>(n * keys, 2);
    auto mask = numbers<float>(n * keys, 3);
    for (float& x : mask) x = x < -2 ? -1e30f : 0;
    auto d = numbers<float>(n, 4);
    std::vector<T> p(n * keys), ds(n * keys);
    std::vector<float> buffer(keys), dots(n);
    const Mask masks{mask.data(), n, n};
    run("softmax " + type, [&] {
      LORA_BEST(softmax(0, n, keys, scores.data(), masks, p.data(), buffer.data()));
    });
    show("softmax " + type, p);
    run("softmax_grad " + type, [&] {
      LORA_BEST(softmax_grad(0, n, keys, p.data(), dp.data(), d.data(), ds.data()));
    });
    show("softmax_grad " + type, ds);
    run("row_dots " + type, [&] {
      LORA_BEST(row_dots(0, n, keys, scores.data(), dp.data(), dots.data()));
    });
    show("row_dots " + type, dots);
    one_query<T>(type);
  }

  template <class T>
  void one_query(const std::string& type) {
    const int64_t d = count_ ? 64 : 22, keys = count_ ? 16 : 19, heads = count_ ? 1 : 4, group = 2;
    auto q = numbers<T>(heads * d, 5), k = numbers<T>(heads * keys * d, 6),
         v = numbers<T>(heads * keys * d, 7);
    std::vector<T> o(heads * d);
    std::vector<float> buffer(HEADS_TOGETHER * (keys + d));
    run("attend_one " + type, [&] {
      for (int64_t h = 0; h < heads; h += group) {
        const int64_t own = std::min(group, heads - h), at = h / group * keys * d;
        LORA_BEST(attend_one(own, keys, d, q.data() + h * d, k.data() + at, v.data() + at,
                             k.data() + at, o.data() + h * d, buffer.data()));
      }
    });
    show("attend_one " + type, o);
    const int64_t out = count_ ? 4 : 7, width = count_ ? 256 : 83;
    const int64_t rows = count_ ? 1 : 6;
    auto x = numbers<float>(rows * width, 8);
    auto w = numbers<T>(out * width, 9);
    std::vector<float> y(rows * out);
    run("few_rows " + type, [&] {
      LORA_BEST(few_rows(0, out, rows, width, out, x.data(), w.data(), y.data()));
    });
    show("few_rows " + type, y);
  }

  template <class T>
  void losses(const std::string& type) {
    const int64_t n = s_.rows, vocab = s_.width;
    auto z = numbers<T>(n * vocab, 1, 20);
    std::vector<int32_t> labels(n);
    for (int64_t row = 0; row < n; row++) labels[row] = (int32_t)(row * 7 % vocab);
    std::vector<T> p(n * vocab);
    std::vector<float> loss(n);
    run("cross_entropy " + type, [&] {
      LORA_BEST(cross_entropy(0, n, vocab, z.data(), labels.data(), 1.0f, p.data(), loss.data()));
    });
    show("cross_entropy " + type, p);
    show("cross_entropy " + type + " loss", loss);
  }

  template <class T>
  void blocks(const std::string& type) {
    const std::pair<const char*, BlockType> types[] = {
        {"Q4_0", BlockType::Q4_0},     {"Q4_1", BlockType::Q4_1}, {"Q5_0", BlockType::Q5_0},
        {"Q5_1", BlockType::Q5_1},     {"Q8_0", BlockType::Q8_0}, {"Q2_K", BlockType::Q2_K},
        {"Q3_K", BlockType::Q3_K},     {"Q4_K", BlockType::Q4_K}, {"Q5_K", BlockType::Q5_K},
        {"Q6_K", BlockType::Q6_K},     {"IQ4_NL", BlockType::IQ4_NL},
        {"IQ4_XS", BlockType::IQ4_XS}, {"MXFP4", BlockType::MXFP4}, {"NF4", BlockType::NF4},
        {"FP4", BlockType::FP4},       {"NF4_NESTED", BlockType::NF4_NESTED},
        {"FP4_NESTED", BlockType::FP4_NESTED}, {"INT8_ROWS", BlockType::INT8_ROWS},
        {"INT8_GROUPS", BlockType::INT8_GROUPS},
    };
    const int64_t rows = count_ ? 1 : 2, width = count_ ? 1024 : 256;
    for (const auto& [name, block] : types) {
      const BlockSize size = size_of_block(block);
      RowsForm form{block, Rounding::TO_F16, 6, width, 0};
      form.row_bytes = header_bytes(form) + width / size.values * size.bytes;
      std::vector<uint8_t> q = bytes_of(numbers<float>(rows * form.row_bytes, 10, 128));
      if (block == BlockType::NF4_NESTED || block == BlockType::FP4_NESTED)
        for (int64_t row = 0; row < rows; row++)  // the place of the first block
          std::memset(q.data() + row * form.row_bytes + 1, 0, 3);
      std::vector<T> y(rows * width);
      const std::string own = std::string("dequantize ") + name + " " + type;
      run(own, [&] {
        LORA_BEST(dequantize_rows(0, rows, form, q.data(), y.data()));
      });
      show(own, y);
      if (std::is_same_v<T, float>) products(name, form);
    }
  }

  // Products of a few rows from blocks, and of rounded ones.
  void products(const std::string& type, const RowsForm& form) {
    const int64_t out = count_ ? 16 : 21, width = form.width, rows = count_ ? 1 : 3;
    std::vector<uint8_t> q = bytes_of(numbers<float>(out * form.row_bytes, 11, 128));
    if (has_header(form.type)) return;
    auto x = numbers<float>(rows * width, 12);
    std::vector<float> y(rows * out);
    run("few_rows " + type, [&] {
      LORA_BEST(few_rows_of_blocks(0, out, rows, form, out, x.data(), q.data(), y.data()));
    });
    show("few_rows " + type, y);
    if (!has_levels(form.type)) return;
    run("rounded " + type, [&] {
      RoundedRows(rows, width, x.data())
          .multiply(0, out, form.type, form.row_bytes, out, q.data(), y.data());
    });
    show("rounded " + type, y);
  }

  // Without the bit that would let a half-precision scale be infinite.
  static std::vector<uint8_t> bytes_of(const std::vector<float>& values) {
    std::vector<uint8_t> bytes(values.size());
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = (uint8_t)((int)values[i] & 0xbf);
    return bytes;
  }

  template <class F>
  void run(const std::string& name, F f) {
    if (count_ && name != only_) return;
    for (int i = 0; i < std::max(1, count_); i++) f();
  }

  template <class T>
  void show(const std::string& name, const std::vector<T>& values) {
    if (count_) return;
    std::printf("%s:", name.c_str());
    for (const T& value : values) std::printf(" %.9g", plain::wide(value));
    std::printf("\n");
  }

  std::string only_;
  int count_;
  Sizes s_;
};

}  // namespace lora

int main(int argc, char** argv) {
  lora::Cases cases(argc > 1 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : 0);
  cases.all<float>("f32");
  cases.all<lora::bf16>("bf16");
  cases.others();
  return 0;
}
