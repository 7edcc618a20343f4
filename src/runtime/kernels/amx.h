// The tiles of AMX: eight matrices of 16 rows of 16 words in each thread. tdpbf16ps adds the product
// of two of them, whose words are pairs of bf16, to one of f32. Tiles are numbers in instructions.

constexpr int64_t TILE_HEIGHT = 16, TILE_WORDS = 16;

// This thread's tiles, as long as this object lives.
struct Tiles {
  Tiles() {
    // Intel 64 and IA-32 Architectures Software Developer's Manual, LDTILECFG
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    __builtin_ia32_tile_loadconfig(&shapes);
  }
  ~Tiles() { __builtin_ia32_tilerelease(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};
