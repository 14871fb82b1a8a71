// Sliced matrices: every table against scalar bit by bit, scalar against the definition in double,
// and the bound against rows made to break it.
#include "tern/kernels/sliced.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tern/kernels/dense.h"
#include "tern/kernels/table_test.h"
#include "tern/tensor/dense_row.h"
#include "tern/tensor/half.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kBlockBytes = 210;

// Q6_K rows of random codes, scales of both signs, d of many sizes.
std::vector<std::uint8_t> random_q6k(std::size_t rows, std::size_t blocks, std::mt19937& rng) {
  std::vector<std::uint8_t> bytes(rows * blocks * kBlockBytes);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(rng());
  for (std::size_t i = 0; i < rows * blocks; ++i) {
    const std::uint16_t d = float_to_f16(small_float(rng));
    std::memcpy(&bytes[i * kBlockBytes + 208], &d, 2);
  }
  return bytes;
}

DenseMatrix q6k_view(const std::vector<std::uint8_t>& bytes, std::size_t rows, std::size_t blocks) {
  DenseMatrix w;
  w.type = DType::kQ6_K;
  w.rows = rows;
  w.cols = 256 * blocks;
  w.bytes = std::as_bytes(std::span(bytes));
  return w;
}

class SlicedTables : public TableTest {
 protected:
  ThreadPool pool_{2};
};

TEST_P(SlicedTables, ExactProductsEqualTheQ6KOnes) {
  std::mt19937 rng(20261122);
  for (const std::size_t blocks : Sizes{1, 2, 3, 10, 17, 33}) {
    for (const std::size_t rows : Sizes{1, 2, 3, 4, 5, 9}) {
      const auto bytes = random_q6k(rows, blocks, rng);
      const DenseMatrix w = q6k_view(bytes, rows, blocks);
      const SlicedMatrix sliced(w, pool_);
      for (const std::size_t tokens : Sizes{1, 2, 5}) {
        const Exact<float> x = random_floats(tokens * w.cols, rng);
        Exact<float> got(tokens * rows), want(tokens * rows);
        sliced_matmul(k(), sliced, x.data(), w.cols, tokens, got.data(), rows, pool_);
        dense_matmul(kScalar, w, x.data(), w.cols, tokens, want.data(), rows, pool_);
        expect_same_bits(got.span(), want.span(), "product");
        EXPECT_EQ(std::bit_cast<std::uint32_t>(sliced_dot(k(), sliced, rows - 1, x.data())),
                  std::bit_cast<std::uint32_t>(want[rows - 1]));
      }
      Exact<float> row(w.cols), definition(w.cols);
      sliced_row(k(), sliced, rows - 1, row.data());
      dense_row_to_float(DType::kQ6_K, w.row(rows - 1), w.cols, definition.data());
      expect_same_bits(row.span(), definition.span(), "row");
    }
  }
}

// From buffers of the exact size, as a matrix has them at its end.
TEST_P(SlicedTables, ScreensEqualScalar) {
  std::mt19937 rng(20261123);
  for (const std::size_t blocks : Sizes{1, 2, 5, 10, 16, 17, 33}) {
    for (const std::size_t rows : Sizes{0, 1, 3, 4, 7, 9}) {
      const auto bytes = random_q6k(rows, blocks, rng);
      const SlicedMatrix w(q6k_view(bytes, rows, blocks), pool_);
      Exact<std::uint8_t> records(rows * w.record_bytes()), lows(rows * w.low_bytes());
      if (rows > 0) {
        std::memcpy(records.data(), w.record(0), records.size());
        std::memcpy(lows.data(), w.low(0), lows.size());
      }
      const std::size_t tokens = 6;
      const Exact<float> h = random_floats(tokens * w.cols(), rng);
      ScreenInput x;
      x.resize(tokens, blocks);
      for (std::size_t t = 0; t < tokens; ++t) ASSERT_TRUE(x.set(t, h.data() + t * w.cols(), w));
      Exact<float> got(rows), want(rows);
      k().sliced->screen(records.data(), w.record_bytes(), rows, blocks, x[1], got.data());
      kSlicedScalar.screen(records.data(), w.record_bytes(), rows, blocks, x[1], want.data());
      expect_same_bits(got.span(), want.span(), "screen");
      const std::size_t groups = 16 * blocks;
      Exact<std::uint8_t> codes(rows * w.cols()), want_codes(rows * w.cols());
      Exact<float> scales(rows * groups), want_scales(rows * groups);
      for (std::size_t r = 0; r < rows; ++r) {
        const std::uint8_t* record = records.data() + r * w.record_bytes();
        const std::uint8_t* low = lows.data() + r * w.low_bytes();
        EXPECT_EQ(std::bit_cast<std::uint32_t>(k().sliced->low_part(record, low, blocks, x[1])),
                  std::bit_cast<std::uint32_t>(kSlicedScalar.low_part(record, low, blocks, x[1])));
        k().sliced->unpack(record, low, blocks, codes.data() + r * w.cols(),
                           scales.data() + r * groups);
        kSlicedScalar.unpack(record, low, blocks, want_codes.data() + r * w.cols(),
                             want_scales.data() + r * groups);
      }
      ASSERT_EQ(std::memcmp(codes.data(), want_codes.data(), codes.size()), 0);
      expect_same_bits(scales.span(), want_scales.span(), "scales");
      Exact<float> panel(tokens * rows), want_panel(tokens * rows);
      k().sliced->panel(codes.data(), scales.data(), rows, blocks, x.data(), tokens, panel.data(),
                        rows);
      kSlicedScalar.panel(codes.data(), scales.data(), rows, blocks, x.data(), tokens,
                          want_panel.data(), rows);
      expect_same_bits(panel.span(), want_panel.span(), "panel");
    }
  }
}

// Screen, closer bound and bound of many against the exact logit, never below it; and the distance
// of the bounds, which is what they are good for.
void expect_bounds(const KernelTable& k, const DenseMatrix& q6k, const float* h, ThreadPool& pool,
                   const std::string& what) {
  const SlicedMatrix w(q6k, pool);
  const std::size_t panels = (w.rows() + kScreenPanel - 1) / kScreenPanel;
  std::vector<float> logits(w.rows()), upper(w.rows()), max(panels), many(w.rows()),
      many_max(panels);
  dense_matmul(k, q6k, h, w.cols(), 1, logits.data(), w.rows(), pool);
  ScreenInput x;
  x.resize(1, w.blocks());
  ASSERT_TRUE(x.set(0, h, w)) << what;
  screen(k, w, x[0], upper.data(), max.data(), pool);
  screen_many(k, w, x, many.data(), w.rows(), many_max.data(), panels, pool);
  for (std::size_t r = 0; r < w.rows(); ++r) {
    ASSERT_GE(upper[r], logits[r]) << what << ", row " << r;
    ASSERT_GE(max[r / kScreenPanel], upper[r]) << what;
    const float closer = closer_bound(k, w, x, 0, r, upper[r]);
    ASSERT_GE(closer, logits[r]) << what << ", row " << r;
    ASSERT_GE(many[r], logits[r]) << what << ", row " << r;
    ASSERT_GE(many_max[r / kScreenPanel], many[r]) << what;
    float norms[2];
    std::memcpy(norms, w.record(r), sizeof(norms));
    const float bound = norms[0] * x[0].residual + norms[1] * x[0].norm + x[0].least;
    ASSERT_LE(upper[r] - logits[r], 2.01f * bound) << what << ", row " << r;
    ASSERT_LE(closer - logits[r], 2.01f * (norms[1] * x.fine(0) + x[0].least)) << what;
    ASSERT_LE(many[r] - logits[r], 2.01f * (norms[1] * x.fine(0) + x[0].least)) << what;
  }
}

TEST_P(SlicedTables, BoundsHoldOnRandomRows) {
  std::mt19937 rng(20261124);
  for (const std::size_t blocks : Sizes{1, 3, 10}) {
    for (const float size : {0.0f, 0x1p-149f, 0x1p-126f, 0x1p-101f, 1.0f, 0x1p40f}) {
      const auto bytes = random_q6k(67, blocks, rng);
      Exact<float> h = random_floats(256 * blocks, rng);
      for (float& v : h) v *= size;
      expect_bounds(k(), q6k_view(bytes, 67, blocks), h.data(), pool_,
                    "size " + std::to_string(size));
      if (size == 1.0f) {  // An outlier, and a group of zeros.
        h[5] *= 1000;
        std::fill_n(h.begin() + 32, 16, 0.0f);
        expect_bounds(k(), q6k_view(bytes, 67, blocks), h.data(), pool_, "outlier");
      }
    }
  }
}

// Rows whose lost bits point along the hidden state, so that the inequality is nearly an equation;
// rows of zeros, of extremes, of denormal and of the largest d.
TEST_P(SlicedTables, BoundsHoldOnRowsMadeAgainstThem) {
  std::mt19937 rng(20261125);
  constexpr std::size_t kBlocks = 3, kRows = 64;
  const std::uint16_t ds[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff,
                              0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff};
  for (const std::uint16_t d : ds) {
    Exact<float> h = random_floats(256 * kBlocks, rng);
    for (float& v : h) v = std::copysign(1.0f, v);  // Exact as int8; Cauchy is an equation.
    auto bytes = random_q6k(kRows, kBlocks, rng);
    for (std::size_t i = 0; i < kRows * kBlocks; ++i) {
      std::uint8_t* p = &bytes[i * kBlockBytes];
      std::memcpy(p + 208, &d, 2);
      const int kind = static_cast<int>(i / kBlocks % 5);
      for (std::size_t g = 0; g < 16; ++g) {
        const int sc[] = {127, -128, 0, 1, static_cast<int>(rng() % 256) - 128};
        p[192 + g] = static_cast<std::uint8_t>(sc[kind]);
      }
      const bool up = i / kBlocks / 5 % 2 == 0;
      for (std::size_t c = 0; c < 256; ++c) {
        // low = 3 where it helps the product, 0 where it hurts; the high bits stay random.
        const std::size_t half = c / 128, part = c % 128 / 32, l = c % 32;
        const auto sc = static_cast<std::int8_t>(p[192 + c / 16]);
        const bool minus_h = h[i % kBlocks * 256 + c] < 0, minus_d = (d & 0x8000) != 0;
        const bool negative = (minus_h != minus_d) != (sc < 0);
        const unsigned low = (negative != up) ? 3 : 0;
        std::uint8_t& byte = p[64 * half + 32 * (part & 1) + l];
        const unsigned shift = 4 * static_cast<unsigned>(part >> 1);
        byte = static_cast<std::uint8_t>((byte & ~(3u << shift)) | (low << shift));
      }
    }
    expect_bounds(k(), q6k_view(bytes, kRows, kBlocks), h.data(), pool_, "d " + std::to_string(d));
  }
}

INSTANTIATE_TEST_SUITE_P(All, SlicedTables, testing::ValuesIn(tables_under_test()), table_label);

// What stands in a record against the definition, in double.
TEST(SlicedMatrix, NormsAreThoseOfTheRow) {
  std::mt19937 rng(20261126);
  ThreadPool pool(1);
  const auto bytes = random_q6k(5, 10, rng);
  const DenseMatrix q6k = q6k_view(bytes, 5, 10);
  const SlicedMatrix w(q6k, pool);
  float largest = 0;
  for (std::size_t r = 0; r < 5; ++r) {
    std::vector<float> row(w.cols());
    dense_row_to_float(DType::kQ6_K, q6k.row(r), w.cols(), row.data());
    double weight = 0, residual = 0;
    for (std::size_t c = 0; c < w.cols(); ++c) {
      const std::uint8_t* block = &bytes[(r * 10 + c / 256) * kBlockBytes];
      std::uint16_t d;
      std::memcpy(&d, block + 208, 2);
      const double scale = static_cast<double>(f16_to_float(d)) *
                           static_cast<std::int8_t>(block[192 + c % 256 / 16]);
      const double value = static_cast<double>(row[c]);
      weight += value * value;
      if (scale == 0) continue;
      const int code = static_cast<int>(std::lround(value / scale)) + 32;
      const double lost = scale * (code % 4 - 1.5);
      residual += lost * lost;
    }
    float norms[2];
    std::memcpy(norms, w.record(r), sizeof(norms));
    EXPECT_GE(static_cast<double>(norms[0]), std::sqrt(residual));
    EXPECT_GE(static_cast<double>(norms[1]), std::sqrt(weight) + std::sqrt(residual));
    EXPECT_LT(static_cast<double>(norms[0]), std::sqrt(residual) * (1 + 0x1p-20));
    EXPECT_LT(static_cast<double>(norms[1]),
              (std::sqrt(weight) + std::sqrt(residual)) * (1 + 0x1p-20));
    largest = std::max(largest, norms[1]);
  }
  EXPECT_EQ(w.largest_norm(), largest);
}

TEST(ScreenInput, RefusesWhatItCannotBound) {
  std::mt19937 rng(20261127);
  ThreadPool pool(1);
  const auto bytes = random_q6k(2, 1, rng);
  const SlicedMatrix w(q6k_view(bytes, 2, 1), pool);
  ScreenInput x;
  x.resize(1, 1);
  std::vector<float> h(256, 1.0f);
  EXPECT_TRUE(x.set(0, h.data(), w));
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF, 0x1p61f, 3e38f}) {
    h[77] = bad;
    EXPECT_FALSE(x.set(0, h.data(), w)) << bad;
  }
}

}  // namespace
}  // namespace tern::kernels
