// The ternary product: every table against scalar, and the entry points against sums written here.
#include "tern/kernels/ternary.h"

#include <gtest/gtest.h>

#include "tern/kernels/dense.h"
#include "tern/kernels/table_test.h"

namespace tern::kernels {
namespace {

class TernaryTables : public TableTest {
 protected:
  // All functions on the same weights and activations, in buffers of the exact size.
  void expect_matches_scalar(const Exact<std::uint8_t>& w, const Exact<std::int8_t>& x,
                             std::size_t rows, std::size_t tokens, std::size_t blocks) {
    const std::string what = std::to_string(rows) + " rows, " + std::to_string(tokens) +
                             " tokens, " + std::to_string(blocks) + " blocks";
    const std::size_t row_bytes = 64 * blocks, cols = 256 * blocks;
    if (tokens > 0) {
      Exact<std::int32_t> got(rows, 7), want(rows, 7);
      k().ternary_gemv(w.data(), row_bytes, rows, x.data(), blocks, got.data());
      kScalar.ternary_gemv(w.data(), row_bytes, rows, x.data(), blocks, want.data());
      ASSERT_TRUE(std::ranges::equal(got.span(), want.span())) << "gemv, " << what;
      Exact<std::int32_t> got_fields(rows * 4 * blocks), want_fields(rows * 4 * blocks);
      k().ternary_fields(w.data(), row_bytes, rows, x.data(), blocks, got_fields.data());
      kScalar.ternary_fields(w.data(), row_bytes, rows, x.data(), blocks, want_fields.data());
      ASSERT_TRUE(std::ranges::equal(got_fields.span(), want_fields.span())) << "fields, " << what;
    }
    Exact<std::uint8_t> codes(rows * cols), want_codes(rows * cols);
    for (std::size_t r = 0; r < rows; ++r) {
      k().ternary_unpack(w.data() + r * row_bytes, blocks, codes.data() + r * cols);
      kScalar.ternary_unpack(w.data() + r * row_bytes, blocks, want_codes.data() + r * cols);
    }
    ASSERT_TRUE(std::ranges::equal(codes.span(), want_codes.span())) << "unpack, " << what;
    // One column of y beside the panel, which must not be written.
    Exact<std::int32_t> got(tokens * (rows + 1), 7), want(tokens * (rows + 1), 7);
    k().codes_gemm(codes.data(), cols, rows, x.data(), cols, tokens, cols, got.data(), rows + 1);
    kScalar.codes_gemm(codes.data(), cols, rows, x.data(), cols, tokens, cols, want.data(),
                       rows + 1);
    ASSERT_TRUE(std::ranges::equal(got.span(), want.span())) << "gemm, " << what;
  }
};

TEST_P(TernaryTables, RandomInputsOfEveryShortLength) {
  std::mt19937 rng(20260301);
  for (std::size_t blocks = 0; blocks <= 12; ++blocks) {
    for (const std::size_t rows : Sizes{0, 1, 3, 4, 5, 9}) {
      const std::size_t tokens = (blocks + rows) % 10;
      expect_matches_scalar(random_codes(rows * 64 * blocks, rng),
                            random_int8(tokens * 256 * blocks, rng), rows, tokens, blocks);
    }
  }
}

TEST_P(TernaryTables, EveryNumberOfRowsAndTokens) {
  std::mt19937 rng(20260302);
  for (std::size_t rows = 0; rows <= 9; ++rows) {
    for (std::size_t tokens = 0; tokens <= 9; ++tokens) {
      expect_matches_scalar(random_codes(rows * 64, rng), random_int8(tokens * 256, rng), rows,
                            tokens, 1);
    }
  }
}

// All weights -1, 0 or +1 with all activations extreme: the sums that overflow 16-bit lanes if they
// are widened too late. Random inputs miss these.
TEST_P(TernaryTables, ExtremesDoNotOverflow) {
  for (const std::size_t blocks : Sizes{15, 16, 17, 32, 64, 65, 112}) {
    for (const std::uint8_t code : {std::uint8_t{0x00}, std::uint8_t{0x55}, std::uint8_t{0xAA}}) {
      for (const int value : {-128, -127, 0, 127}) {
        expect_matches_scalar(Exact<std::uint8_t>(64 * blocks, code),
                              Exact<std::int8_t>(256 * blocks, static_cast<std::int8_t>(value)), 1,
                              1, blocks);
      }
    }
  }
}

// Longer than one run of in-place fields may be: 2^15 blocks are 2^23 columns.
TEST_P(TernaryTables, TheLongestRowsDoNotOverflow) {
  const std::size_t blocks = (std::size_t{1} << 15) + 3;
  const Exact<std::uint8_t> w(64 * blocks, 0xAA);
  for (const int value : {-128, 127}) {
    const Exact<std::int8_t> x(256 * blocks, static_cast<std::int8_t>(value));
    std::int32_t y = 0;
    k().ternary_gemv(w.data(), 0, 1, x.data(), blocks, &y);
    const auto want =
        static_cast<std::uint32_t>(2LL * value * 256 * static_cast<long long>(blocks));
    EXPECT_EQ(static_cast<std::uint32_t>(y), want);
  }
}

TEST_P(TernaryTables, ExpandGivesDigitTimesScale) {
  std::mt19937 rng(20260303);
  const Exact<std::uint8_t> w = random_codes(3 * 64, rng);
  for (std::size_t first = 0; first < 12; ++first) {
    for (std::size_t fields = 0; first + fields <= 12; ++fields) {
      Exact<float> got(64 * fields), want(64 * fields);
      k().ternary_expand(w.data(), first, fields, -0.37f, got.data());
      kScalar.ternary_expand(w.data(), first, fields, -0.37f, want.data());
      expect_same_bits(got.span(), want.span(), "expand");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, TernaryTables, testing::ValuesIn(tables_under_test()), table_label);

// The whole product against the definition in ternary.h, from digits and with 64-bit sums.
struct Case {
  std::size_t rows, cols, tokens;
  ScaleKind kind;
  std::size_t w_group, x_group;
};

TernaryMatrix random_matrix(const Case& c, std::mt19937& rng) {
  const std::size_t groups = c.w_group == 0 ? 1 : (c.cols + c.w_group - 1) / c.w_group;
  const std::size_t count = c.kind == ScaleKind::kTensor ? 1
                            : c.kind == ScaleKind::kRow  ? c.rows
                                                         : c.rows * groups;
  std::vector<float> scales(count);
  for (float& s : scales) s = small_float(rng);
  TernaryMatrix w(c.rows, c.cols, c.kind, c.w_group, std::move(scales));
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
};

class TernaryProduct : public TableTest {};

TEST_P(TernaryProduct, EqualsTheDefinitionForAnyThreadsAndBatch) {
  std::mt19937 rng(20260304);
  for (const Case& c : kCases) {
    const std::string what = std::to_string(c.rows) + "x" + std::to_string(c.cols) + ", " +
                             std::to_string(c.tokens) + " tokens, group " +
                             std::to_string(c.w_group);
    const TernaryMatrix w = random_matrix(c, rng);
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

TEST_P(TernaryProduct, FloatActivationsEqualExpandedRows) {
  std::mt19937 rng(20260305);
  for (const Case& c : kCases) {
    const TernaryMatrix w = random_matrix(c, rng);
    const Exact<float> x = random_floats(c.tokens * c.cols, rng);
    ThreadPool pool(2);
    Exact<float> got(c.tokens * c.rows);
    ternary_matmul_float(k(), w, x.data(), c.cols, c.tokens, got.data(), c.rows, pool);
    for (std::size_t r = 0; r < c.rows; ++r) {
      Exact<float> row(c.cols), want(c.cols);
      ternary_row(k(), w, r, row.data());
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

INSTANTIATE_TEST_SUITE_P(All, TernaryProduct, testing::ValuesIn(tables_under_test()), table_label);

}  // namespace
}  // namespace tern::kernels
