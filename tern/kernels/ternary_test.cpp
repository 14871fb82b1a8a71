// The ternary product: every table against scalar, and the entry points against sums written here.
#include "tern/kernels/ternary.h"

#include <gtest/gtest.h>

#include "tern/kernels/dense.h"
#include "tern/kernels/table_test.h"

namespace tern::kernels {
namespace {

constexpr TernaryLayout kLayouts[] = {TernaryLayout::kFourPerByte, TernaryLayout::kFivePerByte};

// Bytes that occur in a layout.
Exact<std::uint8_t> random_weights(TernaryLayout layout, std::size_t n, std::mt19937& rng) {
  if (layout == TernaryLayout::kFourPerByte) return random_codes(n, rng);
  Exact<std::uint8_t> v(n);
  for (std::uint8_t& b : v) b = five_per_byte::kEncode[rng() % 243];
  return v;
}

class TernaryTables : public TableTest {
 protected:
  // All functions on the same weights and activations, in buffers of the exact size.
  void expect_matches_scalar(TernaryLayout layout, const Exact<std::uint8_t>& w,
                             const Exact<std::int8_t>& x, std::size_t tiles, std::size_t tokens,
                             std::size_t blocks) {
    if (!table_has_layout(k(), layout)) return;
    const std::string what = std::to_string(tiles) + " tiles, " + std::to_string(tokens) +
                             " tokens, " + std::to_string(blocks) + " blocks";
    const auto index = static_cast<std::size_t>(layout);
    const std::size_t cols = blocks * ternary_block_cols(layout), steps = cols / 4;
    if (tokens > 0 && tokens <= kGemvTokens) {
      Exact<std::int32_t> got(tiles * tokens * 16, 7), want(tiles * tokens * 16, 7);
      k().ternary_gemv[index](w.data(), tiles, blocks, x.data(), cols, tokens, got.data());
      kScalar.ternary_gemv[index](w.data(), tiles, blocks, x.data(), cols, tokens, want.data());
      ASSERT_TRUE(std::ranges::equal(got.span(), want.span())) << "gemv, " << what;
    }
    if (layout == TernaryLayout::kFourPerByte && tokens > 0 && tiles > 0) {
      for (const std::size_t group : {std::size_t{4}, std::size_t{8}, blocks + 4}) {
        const std::size_t groups = (blocks + group - 1) / group;
        Exact<std::int32_t> got(groups * 16, 7), want(groups * 16, 7);
        k().ternary_groups(w.data(), blocks, group, x.data(), got.data());
        kScalar.ternary_groups(w.data(), blocks, group, x.data(), want.data());
        ASSERT_TRUE(std::ranges::equal(got.span(), want.span())) << "groups, " << what;
      }
    }
    if (tiles == 0 || tiles > kPanelTiles) return;
    // Unpacking and products together: the order of codes is a table's own.
    Exact<std::uint8_t> codes(tiles * steps * 64), want_codes(tiles * steps * 64);
    for (std::size_t i = 0; i < tiles; ++i) {
      const std::uint8_t* tile = w.data() + i * blocks * 64;
      if (steps == 0) continue;
      k().ternary_unpack[index](tile, blocks, codes.data() + 64 * i, 64 * tiles);
      kScalar.ternary_unpack[index](tile, blocks, want_codes.data() + 64 * i, 64 * tiles);
    }
    // One column of y beside the panel, which must not be written.
    const std::size_t y_stride = tiles * 16 + 1;
    Exact<std::int32_t> got(tokens * y_stride, 7), want(tokens * y_stride, 7);
    k().codes_gemm(codes.data(), tiles, steps, x.data(), cols, tokens, got.data(), y_stride);
    kScalar.codes_gemm(want_codes.data(), tiles, steps, x.data(), cols, tokens, want.data(),
                       y_stride);
    ASSERT_TRUE(std::ranges::equal(got.span(), want.span())) << "gemm, " << what;
  }
};

TEST_P(TernaryTables, RandomInputsOfEveryShortLength) {
  std::mt19937 rng(20260301);
  for (const TernaryLayout layout : kLayouts) {
    for (std::size_t blocks = 0; blocks <= 20; ++blocks) {
      for (const std::size_t tiles : Sizes{0, 1, 2, 5}) {
        const std::size_t tokens = (blocks + tiles) % 10;
        expect_matches_scalar(layout, random_weights(layout, tiles * 64 * blocks, rng),
                              random_int8(tokens * ternary_block_cols(layout) * blocks, rng), tiles,
                              tokens, blocks);
      }
    }
  }
}

TEST_P(TernaryTables, EveryNumberOfTilesAndTokens) {
  std::mt19937 rng(20260302);
  for (const TernaryLayout layout : kLayouts) {
    for (std::size_t tiles = 0; tiles <= 5; ++tiles) {
      for (std::size_t tokens = 0; tokens <= 20; ++tokens) {
        expect_matches_scalar(layout, random_weights(layout, tiles * 64 * 3, rng),
                              random_int8(tokens * ternary_block_cols(layout) * 3, rng), tiles,
                              tokens, 3);
      }
    }
  }
}

// All weights -1, 0 or +1 with all activations extreme: the sums that overflow 16-bit lanes if they
// are widened too late. Random inputs miss these.
TEST_P(TernaryTables, ExtremesDoNotOverflow) {
  for (const TernaryLayout layout : kLayouts) {
    for (const std::size_t blocks : Sizes{15, 16, 17, 32, 64, 65, 112}) {
      for (const unsigned code : {0u, 1u, 2u}) {
        const std::uint8_t byte = layout == TernaryLayout::kFourPerByte
                                      ? static_cast<std::uint8_t>(code * 0x55)
                                      : five_per_byte::kEncode[code * 121];
        for (const int value : {-128, -127, 0, 127}) {
          const std::size_t cols = ternary_block_cols(layout) * blocks;
          expect_matches_scalar(layout, Exact<std::uint8_t>(64 * blocks, byte),
                                Exact<std::int8_t>(2 * cols, static_cast<std::int8_t>(value)), 1, 2,
                                blocks);
        }
      }
    }
  }
}

// Longer than one run of in-place fields may be.
TEST_P(TernaryTables, TheLongestRowsDoNotOverflow) {
  const std::size_t blocks = (std::size_t{1} << 15) + 3;
  for (const TernaryLayout layout : kLayouts) {
    if (!table_has_layout(k(), layout)) continue;
    const std::uint8_t byte =
        layout == TernaryLayout::kFourPerByte ? 0xAA : five_per_byte::kEncode[242];
    const std::size_t cols = ternary_block_cols(layout) * blocks;
    const Exact<std::uint8_t> w(64 * blocks, byte);
    for (const int value : {-128, 127}) {
      const Exact<std::int8_t> x(cols, static_cast<std::int8_t>(value));
      Exact<std::int32_t> y(16);
      k().ternary_gemv[static_cast<std::size_t>(layout)](w.data(), 1, blocks, x.data(), cols, 1,
                                                         y.data());
      for (const std::int32_t sum : y) {
        EXPECT_EQ(sum, 2LL * value * static_cast<long long>(cols));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, TernaryTables, testing::ValuesIn(tables_under_test()), table_label);

// The whole product against the definition in ternary.h, from digits and with 64-bit sums.
struct Case {
  std::size_t rows, cols, tokens;
  ScaleKind kind;
  std::size_t w_group, x_group;
  bool any_layout() const { return kind != ScaleKind::kGroup; }
};

TernaryMatrix random_matrix(const Case& c, TernaryLayout layout, std::mt19937& rng) {
  const std::size_t groups = c.w_group == 0 ? 1 : (c.cols + c.w_group - 1) / c.w_group;
  const std::size_t count = c.kind == ScaleKind::kTensor ? 1
                            : c.kind == ScaleKind::kRow  ? c.rows
                                                         : c.rows * groups;
  std::vector<float> scales(count);
  for (float& s : scales) s = small_float(rng);
  TernaryMatrix w(c.rows, c.cols, c.kind, c.w_group, std::move(scales), layout);
  std::vector<std::int8_t> digits(c.cols);
  for (std::size_t r = 0; r < c.rows; ++r) {
    for (auto& d : digits) d = static_cast<std::int8_t>(static_cast<int>(rng() % 3) - 1);
    w.set_row(r, digits);
  }
  return w;
}

float expected(const TernaryMatrix& w, const Int8Rows& x, std::size_t r, std::size_t t) {
  const auto sum = [&](std::size_t begin, std::size_t end) {
    std::int64_t s = 0;
    for (std::size_t c = begin; c < std::min(end, w.cols()); ++c) s += w.digit(r, c) * x.row(t)[c];
    return static_cast<float>(s);
  };
  const std::size_t group = x.group != 0 ? x.group : w.group();
  if (group == 0) return sum(0, w.cols()) * (w.scale(r, 0) * x.scales[t]);
  float total = 0;
  for (std::size_t c = 0, g = 0; c < w.cols(); c += group, ++g) {
    const float scale = x.group != 0 ? w.scale(r, c) * x.scales[t * x.groups + g] : w.scale(r, c);
    total = total + sum(c, c + group) * scale;
  }
  return x.group != 0 ? total : total * x.scales[t];
}

const Case kCases[] = {
    {1, 256, 1, ScaleKind::kTensor, 0, 0},     {9, 300, 2, ScaleKind::kRow, 0, 0},
    {70, 2600, 3, ScaleKind::kRow, 0, 0},      {17, 100, 9, ScaleKind::kTensor, 0, 0},
    {5, 640, 1, ScaleKind::kGroup, 128, 0},    {5, 640, 7, ScaleKind::kGroup, 128, 0},
    {9, 5000, 1, ScaleKind::kGroup, 4096, 0},  {9, 5000, 4, ScaleKind::kGroup, 4096, 0},
    {3, 2500, 1, ScaleKind::kGroup, 192, 192}, {3, 2500, 5, ScaleKind::kGroup, 192, 192},
    {6, 640, 1, ScaleKind::kGroup, 64, 64},    {6, 640, 66, ScaleKind::kGroup, 64, 64},
    {12, 512, 130, ScaleKind::kRow, 0, 0},     {2, 1000, 3, ScaleKind::kGroup, 256, 256},
    {300, 90, 5, ScaleKind::kRow, 0, 0},       {33, 1500, 4, ScaleKind::kTensor, 0, 0},
    {90, 70, 300, ScaleKind::kTensor, 0, 0},   {21, 4200, 70, ScaleKind::kGroup, 64, 0},
    {40, 2700, 6, ScaleKind::kGroup, 1344, 0}, {300, 1400, 32, ScaleKind::kTensor, 0, 0},
    {300, 1400, 33, ScaleKind::kRow, 0, 0},
};

class TernaryProductTest : public TableTest {
 protected:
  // Every case in every layout that it may have and this table reads.
  static std::vector<std::pair<Case, TernaryLayout>> cases() {
    std::vector<std::pair<Case, TernaryLayout>> all;
    for (const Case& c : kCases) {
      for (const TernaryLayout layout : kLayouts) {
        const bool fits = layout == TernaryLayout::kFourPerByte || c.any_layout();
        if (fits && table_has_layout(k(), layout)) all.emplace_back(c, layout);
      }
    }
    return all;
  }
};

// Several matrices in one step give what each gives alone, wherever the threads cut them.
TEST_P(TernaryProductTest, SeveralAtOnceAreAsEachAlone) {
  std::mt19937 rng(20260307);
  const std::size_t cols = 333;
  for (const std::size_t tokens : Sizes{1, 4, 9, 33}) {
    std::vector<TernaryMatrix> weights;
    for (const std::size_t rows : Sizes{40, 5, 100}) {
      const Case c{rows, cols, tokens, ScaleKind::kRow, 0, 0};
      weights.push_back(random_matrix(c, TernaryLayout::kFourPerByte, rng));
    }
    const Exact<float> x = random_floats(tokens * cols, rng);
    for (const std::size_t threads : Sizes{1, 2, 3, 7}) {
      ThreadPool pool(threads);
      Int8Rows q;
      q.resize(tokens, cols, 0);
      quantize_rows(k(), x.data(), cols, q, pool);
      std::vector<Exact<float>> got;
      std::vector<TernaryProduct> products;
      for (const TernaryMatrix& w : weights) got.emplace_back(tokens * w.rows());
      for (std::size_t i = 0; i < weights.size(); ++i) {
        products.push_back({&weights[i], got[i].data(), weights[i].rows()});
      }
      ternary_matmul(k(), products, q, pool);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        Exact<float> want(tokens * weights[i].rows());
        ternary_matmul(k(), weights[i], q, want.data(), weights[i].rows(), pool);
        expect_same_bits(got[i].span(), want.span(), std::to_string(i));
      }
    }
  }
}

// Shapes that nobody chose: no multiple of any block, tile, panel or chunk.
TEST_P(TernaryProductTest, RandomShapesAgreeWithTheDefinition) {
  std::mt19937 rng(20260306);
  for (int i = 0; i < 40; ++i) {
    const std::size_t group = 64 * (1 + rng() % 5);
    const ScaleKind kind = static_cast<ScaleKind>(rng() % 3);
    const Case c{1 + rng() % 150,
                 1 + rng() % 900,
                 1 + rng() % (i % 4 == 0 ? 280 : 12),
                 kind,
                 kind == ScaleKind::kGroup ? group : 0,
                 kind == ScaleKind::kGroup && rng() % 2 == 0 ? group : 0};
    const TernaryLayout layout =
        kLayouts[c.any_layout() && table_has_layout(k(), kLayouts[1]) ? rng() % 2 : 0];
    const TernaryMatrix w = random_matrix(c, layout, rng);
    const Exact<float> x = random_floats(c.tokens * c.cols, rng);
    ThreadPool pool(1 + rng() % 3);
    Int8Rows q;
    q.resize(c.tokens, c.cols, c.x_group);
    quantize_rows(k(), x.data(), c.cols, q, pool);
    Exact<float> got(c.tokens * c.rows), want(c.tokens * c.rows);
    ternary_matmul(k(), w, q, got.data(), c.rows, pool);
    // Every token and row would take the plain loop minutes: all rows of one token, one of all.
    const std::size_t t0 = rng() % c.tokens, r0 = rng() % c.rows;
    for (std::size_t t = 0; t < c.tokens; ++t) {
      for (std::size_t r = 0; r < c.rows; ++r) {
        want[t * c.rows + r] = t == t0 || r == r0 ? expected(w, q, r, t) : got[t * c.rows + r];
      }
    }
    expect_same_bits(got.span(), want.span(),
                     std::to_string(c.rows) + " x " + std::to_string(c.cols) + ", " +
                         std::to_string(c.tokens) + " tokens");
  }
}

TEST_P(TernaryProductTest, EqualsTheDefinitionForAnyThreadsAndBatch) {
  std::mt19937 rng(20260304);
  for (const auto& [c, layout] : cases()) {
    const std::string what = std::to_string(c.rows) + "x" + std::to_string(c.cols) + ", " +
                             std::to_string(c.tokens) + " tokens, group " +
                             std::to_string(c.w_group);
    const TernaryMatrix w = random_matrix(c, layout, rng);
    const Exact<float> x = random_floats(c.tokens * c.cols, rng);
    const std::size_t y_stride = c.rows + 3;
    for (const std::size_t threads : Sizes{1, 2, 3, 5}) {
      ThreadPool pool(threads);
      Int8Rows q;
      q.resize(c.tokens, c.cols, c.x_group);
      quantize_rows(k(), x.data(), c.cols, q, pool);
      Exact<float> got(c.tokens * y_stride, 9.0f);
      ternary_matmul(k(), w, q, got.data(), y_stride, pool);
      Exact<float> want(c.tokens * y_stride, 9.0f);
      for (std::size_t t = 0; t < c.tokens; ++t) {
        for (std::size_t r = 0; r < c.rows; ++r) want[t * y_stride + r] = expected(w, q, r, t);
      }
      expect_same_bits(got.span(), want.span(), what);
      // One token alone.
      Int8Rows one;
      one.resize(1, c.cols, c.x_group);
      quantize_rows(k(), x.data() + (c.tokens - 1) * c.cols, c.cols, one, pool);
      Exact<float> alone(c.rows);
      ternary_matmul(k(), w, one, alone.data(), c.rows, pool);
      expect_same_bits(alone.span(), want.span().subspan((c.tokens - 1) * y_stride, c.rows),
                       what + ", alone");
    }
  }
}

TEST_P(TernaryProductTest, FloatActivationsEqualExpandedRows) {
  std::mt19937 rng(20260305);
  for (const Case& c : kCases) {
    const TernaryMatrix w = random_matrix(c, kLayouts[c.any_layout() ? 1 : 0], rng);
    const Exact<float> x = random_floats(c.tokens * c.cols, rng);
    ThreadPool pool(2);
    Exact<float> got(c.tokens * c.rows);
    ternary_matmul_float(k(), w, x.data(), c.cols, c.tokens, got.data(), c.rows, pool);
    for (std::size_t r = 0; r < c.rows; ++r) {
      Exact<float> row(c.cols), want(c.cols);
      ternary_row(w, r, row.data());
      for (std::size_t i = 0; i < c.cols; ++i) {
        want[i] = static_cast<float>(w.digit(r, i)) * w.scale(r, i);
      }
      expect_same_bits(row.span(), want.span(), "ternary_row");
      for (std::size_t t = 0; t < c.tokens; ++t) {
        const float y = dot(kScalar, row.data(), x.data() + t * c.cols, c.cols);
        ASSERT_EQ(std::bit_cast<std::uint32_t>(y),
                  std::bit_cast<std::uint32_t>(got[t * c.rows + r]));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, TernaryProductTest, testing::ValuesIn(tables_under_test()),
                         table_label);

}  // namespace
}  // namespace tern::kernels
