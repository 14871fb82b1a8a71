// Full-precision products: every table against scalar bit by bit, scalar against sums in double.
#include "tern/kernels/dense.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tern/kernels/dense_kind.h"
#include "tern/kernels/table_test.h"
#include "tern/tensor/dense_row.h"
#include "tern/tensor/half.h"

namespace tern::kernels {
namespace {

constexpr DType kTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16,
                            DType::kQ8_0, DType::kQ6_K, DType::kQ4_0};

// Any bytes are valid numbers of any type but for infinities and NaNs: scales and elements are
// written as finite numbers, everything else is random.
std::vector<std::uint8_t> random_rows(DType type, std::size_t rows, std::size_t cols,
                                      std::mt19937& rng) {
  std::vector<std::uint8_t> bytes(*dtype_bytes(type, rows, cols));
  for (auto& b : bytes) b = static_cast<std::uint8_t>(rng());
  const auto put16 = [&](std::size_t at, std::uint16_t v) { std::memcpy(&bytes[at], &v, 2); };
  for (std::size_t i = 0; i < rows * cols; ++i) {
    const float value = small_float(rng);
    if (type == DType::kF32) std::memcpy(&bytes[4 * i], &value, 4);
    if (type == DType::kF16) put16(2 * i, float_to_f16(value));
    if (type == DType::kBF16) put16(2 * i, float_to_bf16(value));
    if (type == DType::kQ8_0 && i % 32 == 0) put16(i / 32 * 34, float_to_f16(value));
    if (type == DType::kQ4_0 && i % 32 == 0) put16(i / 32 * 18, float_to_f16(value));
    if (type == DType::kQ6_K && i % 256 == 0) put16(i / 256 * 210 + 208, float_to_f16(value));
  }
  return bytes;
}

// Row widths that the type can have: every short one for plain numbers.
std::vector<std::size_t> widths(DType type) {
  const std::size_t block = dtype_block(type);
  if (block == 1) {
    std::vector<std::size_t> all{1024, 1040, 2051};
    for (std::size_t n = 1; n <= 70; ++n) all.push_back(n);
    return all;
  }
  return {block, 2 * block, 3 * block, 5 * block, 1024, 1024 + block, 2560};
}

class DenseTables : public TableTest {};

// Bytes at an odd address, as mapped files may have them, and exactly sized.
TEST_P(DenseTables, ExpandAndDotEqualScalar) {
  std::mt19937 rng(20260306);
  for (const DType type : kTypes) {
    const DenseKind kind = dense_kind(type);
    for (const std::size_t cols : widths(type)) {
      for (const std::size_t rows : Sizes{1, 4, 6}) {
        const std::string what =
            std::string(dtype_name(type)) + " " + std::to_string(rows) + "x" + std::to_string(cols);
        const auto bytes = random_rows(type, rows, cols, rng);
        Exact<std::uint8_t> odd(bytes.size() + 1);
        std::memcpy(odd.data() + 1, bytes.data(), bytes.size());
        const std::size_t row_bytes = bytes.size() / rows;
        const Exact<float> x = random_floats(cols, rng);
        Exact<float> got(rows, 3.0f), want(rows, 3.0f);
        k().dense_gemv[kind](odd.data() + 1, row_bytes, rows, x.data(), cols, got.data());
        kScalar.dense_gemv[kind](odd.data() + 1, row_bytes, rows, x.data(), cols, want.data());
        expect_same_bits(got.span(), want.span(), what);
        Exact<float> row(cols), definition(cols);
        k().expand[kind](odd.data() + 1, cols, row.data());
        dense_row_to_float(type, reinterpret_cast<const std::byte*>(odd.data() + 1), cols,
                           definition.data());
        expect_same_bits(row.span(), definition.span(), what + " expanded");
      }
    }
  }
}

// Every f16 and bf16 number that is not a NaN.
TEST_P(DenseTables, ExpandEveryHalf) {
  std::vector<std::uint16_t> halves;
  for (unsigned bits = 0; bits < 0x10000; ++bits)
    halves.push_back(static_cast<std::uint16_t>(bits));
  for (const DType type : {DType::kF16, DType::kBF16}) {
    std::vector<float> out(halves.size());
    k().expand[dense_kind(type)](reinterpret_cast<const std::uint8_t*>(halves.data()),
                                 halves.size(), out.data());
    for (std::size_t i = 0; i < halves.size(); ++i) {
      const float want = type == DType::kF16 ? f16_to_float(halves[i]) : bf16_to_float(halves[i]);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(out[i]));
      } else {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), std::bit_cast<std::uint32_t>(want)) << i;
      }
    }
  }
}

TEST_P(DenseTables, DotLanesEqualsScalarAndContinues) {
  std::mt19937 rng(20260307);
  for (std::size_t rows = 0; rows <= 9; ++rows) {
    for (std::size_t tokens = 0; tokens <= 9; ++tokens) {
      for (const std::size_t n : Sizes{0, 1, 15, 16, 17, 48, 63}) {
        const Exact<float> a = random_floats(rows * n, rng), x = random_floats(tokens * n, rng);
        Exact<float> got = random_floats(rows * tokens * 16, rng), want(rows * tokens * 16);
        std::copy(got.begin(), got.end(), want.begin());
        k().dot_lanes(a.data(), n, rows, x.data(), n, tokens, n, got.data());
        kScalar.dot_lanes(a.data(), n, rows, x.data(), n, tokens, n, want.data());
        expect_same_bits(got.span(), want.span(), "dot_lanes");
      }
    }
  }
}

// Products that underflow leave -0 in a lane; a padded lane adds +0 to it.
TEST_P(DenseTables, SignsOfZeroAndDenormals) {
  for (std::size_t n = 1; n <= 33; ++n) {
    for (const float value : {-0x1p-149f, -0.0f, 0x1p-130f, -0x1p-75f}) {
      const Exact<float> a(n, value), b(n, 0x1p-75f);
      const float got = dot(k(), a.data(), b.data(), n);
      const float want = dot(kScalar, a.data(), b.data(), n);
      EXPECT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(want));
    }
  }
}

// The product against sums in double, whatever the threads, the batch and the neighbours in y.
TEST_P(DenseTables, MatmulIsRightForAnyThreadsAndBatch) {
  std::mt19937 rng(20260308);
  for (const DType type : kTypes) {
    for (const std::size_t tokens : Sizes{1, 2, 3, 7, 70}) {
      const std::size_t rows = 11, cols = type == DType::kF32 ? 1050 : 1280, stride = rows + 2;
      const auto bytes = random_rows(type, rows, cols, rng);
      DenseMatrix w;
      w.type = type;
      w.rows = rows;
      w.cols = cols;
      w.bytes = std::as_bytes(std::span(bytes));
      const Exact<float> x = random_floats(tokens * cols, rng);
      Exact<float> first(tokens * stride, 5.0f);
      for (const std::size_t threads : Sizes{1, 2, 3}) {
        ThreadPool pool(threads);
        Exact<float> y(tokens * stride, 5.0f);
        dense_matmul(k(), w, x.data(), cols, tokens, y.data(), stride, pool);
        if (threads == 1) std::copy(y.begin(), y.end(), first.begin());
        expect_same_bits(y.span(), first.span(), "threads");
        Exact<float> alone(rows);
        dense_matmul(k(), w, x.data() + (tokens - 1) * cols, cols, 1, alone.data(), rows, pool);
        expect_same_bits(alone.span(), y.span().subspan((tokens - 1) * stride, rows), "alone");
      }
      std::vector<float> row(cols);
      for (std::size_t r = 0; r < rows; ++r) {
        dense_row_to_float(type, w.row(r), cols, row.data());
        for (std::size_t t = 0; t < tokens; ++t) {
          double sum = 0, size = 0;
          for (std::size_t c = 0; c < cols; ++c) {
            const double product =
                static_cast<double>(row[c]) * static_cast<double>(x[t * cols + c]);
            sum += product;
            size += std::fabs(product);
          }
          // Each lane has cols / 16 roundings, the tree 4.
          const double bound = size * 0x1p-24 * (static_cast<double>(cols) / 16 + 5);
          ASSERT_NEAR(static_cast<double>(first[t * stride + r]), sum, bound);
        }
      }
      EXPECT_EQ(first[rows], 5.0f);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DenseTables, testing::ValuesIn(tables_under_test()), table_label);

// The order of the header, by hand: 2^24 + 1 - 2^24 is 1 only where 1 is in another lane or last.
TEST(Dot, SumsInSixteenLanesAndATree) {
  std::vector<float> ones(48, 1.0f), a(48, 0.0f);
  a[0] = 0x1p24f;
  a[16] = 1.0f;
  a[32] = -0x1p24f;
  EXPECT_EQ(dot(kScalar, a.data(), ones.data(), 48), 0.0f);  // One lane: the 1 is lost.
  a[16] = 0;
  a[9] = 1.0f;
  EXPECT_EQ(dot(kScalar, a.data(), ones.data(), 48), 1.0f);  // Another lane.
  std::vector<float> tree(16, 0.0f);
  tree[0] = 0x1p24f;
  tree[8] = -0x1p24f;  // Meets lane 0 first.
  tree[4] = 1.0f;
  EXPECT_EQ(dot(kScalar, tree.data(), ones.data(), 16), 1.0f);
  tree[8] = 1.0f;
  tree[4] = -0x1p24f;
  EXPECT_EQ(dot(kScalar, tree.data(), ones.data(), 16), 0.0f);  // Lost in lane 0 + lane 8.
}

}  // namespace
}  // namespace tern::kernels
