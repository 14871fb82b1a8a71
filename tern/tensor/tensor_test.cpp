// Half formats against their definition, sizes of storage types, the ternary layout.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tern/base/error.h"
#include "tern/tensor/dense_row.h"
#include "tern/tensor/dtype.h"
#include "tern/tensor/half.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern {
namespace {

// The value of a binary16 by its definition, for the whole range.
double f16_value(unsigned bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = static_cast<int>((bits >> 10) & 31);
  const double mantissa = bits & 0x3ff;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryF16IsRightAndRoundTrips) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (((bits >> 10) & 31) == 31) {
      EXPECT_FALSE(std::isfinite(f16_to_float(half)));
      continue;
    }
    ASSERT_EQ(static_cast<double>(f16_to_float(half)), f16_value(bits)) << bits;
    ASSERT_EQ(float_to_f16(f16_to_float(half)), half) << bits;
  }
}

// Between two neighbours: the middle goes to the even one, anything beside it to the nearer.
TEST(Half, F16RoundsToNearestEven) {
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {
    const float low = f16_to_float(static_cast<std::uint16_t>(bits));
    const float high = f16_to_float(static_cast<std::uint16_t>(bits + 1));
    const float middle = (low + high) / 2;
    ASSERT_EQ(float_to_f16(middle), bits + (bits & 1)) << bits;
    ASSERT_EQ(float_to_f16(std::nextafter(middle, low)), bits) << bits;
    ASSERT_EQ(float_to_f16(std::nextafter(middle, high)), bits + 1) << bits;
  }
  EXPECT_EQ(float_to_f16(65519.99f), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(std::nanf("")))));
}

TEST(Half, BF16RoundsToNearestEven) {
  for (unsigned bits = 0; bits < 0x7f7f; ++bits) {
    const float low = bf16_to_float(static_cast<std::uint16_t>(bits));
    const float high = bf16_to_float(static_cast<std::uint16_t>(bits + 1));
    const auto middle = static_cast<float>((static_cast<double>(low) + high) / 2);
    ASSERT_EQ(float_to_bf16(low), bits);
    ASSERT_EQ(float_to_bf16(middle), bits + (bits & 1)) << bits;
    ASSERT_EQ(float_to_bf16(std::nextafter(middle, high)), bits + 1) << bits;
  }
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::nanf("")))));
}

TEST(DType, Sizes) {
  EXPECT_EQ(dtype_bytes(DType::kTQ2_0, 3, 512), 3u * 2 * 66);
  EXPECT_EQ(dtype_bytes(DType::kI2S, 2560, 6912), 4423712u);  // As in the released 2B4T file.
  EXPECT_EQ(dtype_bytes(DType::kIQ1_BN, 2, 128), 2u * (2 + 26));
  EXPECT_EQ(dtype_bytes(DType::kIQ2_BN_R4, 8, 64), 8u * 20);
  EXPECT_EQ(dtype_bytes(DType::kIQ2_BN_R4, 6, 64), std::nullopt);
  EXPECT_EQ(dtype_bytes(DType::kTQ2_0, 1, 100), std::nullopt);
  EXPECT_EQ(dtype_bytes(DType::kF32, std::uint64_t{1} << 62, 4), std::nullopt);
  EXPECT_EQ(dtype_by_name("tq1_0"), DType::kTQ1_0);
  EXPECT_EQ(dtype_by_name("tq3"), std::nullopt);
}

// A number of each type that is not finite, put where the last one of a row is.
TEST(DenseRow, NotFiniteIsFoundInEveryType) {
  struct Case {
    DType type;
    std::size_t from_end, bytes;    // Where the last number (or scale) begins, and its size.
    std::uint64_t bad[3], good[2];  // NaN, infinity, -infinity; the largest, a negative one.
  };
  const Case cases[] = {
      {DType::kF64,
       8,
       8,
       {0x7ff8000000000000, 0x7ff0000000000000, 0xffefffffffffffff},
       {0x47efffffe0000000, 0xbff0000000000000}},  // -1.8e308 and 3.4e38, the largest float.
      {DType::kF32, 4, 4, {0x7fc00000, 0x7f800000, 0xff800000}, {0x7f7fffff, 0xbf800000}},
      {DType::kF16, 2, 2, {0x7e00, 0x7c00, 0xfc00}, {0x7bff, 0xbc00}},
      {DType::kBF16, 2, 2, {0x7fc0, 0x7f80, 0xff80}, {0x7f7f, 0xbf80}},
      {DType::kQ8_0, 34, 2, {0x7e00, 0x7c00, 0xfc00}, {0x7bff, 0xbc00}},
      {DType::kQ4_0, 18, 2, {0x7e00, 0x7c00, 0xfc00}, {0x7bff, 0xbc00}},
      {DType::kQ6_K, 2, 2, {0x7e00, 0x7c00, 0xfc00}, {0x7bff, 0xbc00}},
  };
  constexpr std::size_t kCols = 512;
  for (const Case& c : cases) {
    const auto finite = [&](std::uint64_t value, std::byte fill) {
      std::vector<std::byte> row(static_cast<std::size_t>(*dtype_bytes(c.type, 1, kCols)), fill);
      std::memcpy(row.data() + row.size() - c.from_end, &value, c.bytes);
      const bool found = dense_row_finite(c.type, row.data(), kCols);
      std::vector<float> decoded(kCols);
      dense_row_to_float(c.type, row.data(), kCols, decoded.data());
      bool expected = true;
      for (const float v : decoded) expected &= std::isfinite(v);
      // Weights of 0 hide an infinite scale from nobody: 0 times infinity is NaN.
      EXPECT_EQ(found, expected) << dtype_name(c.type) << " " << value;
      return found;
    };
    for (const std::uint64_t value : c.bad) {
      EXPECT_FALSE(finite(value, std::byte{0})) << dtype_name(c.type) << " " << value;
    }
    for (const std::uint64_t value : c.good) {
      EXPECT_TRUE(finite(value, std::byte{0})) << dtype_name(c.type) << " " << value;
      EXPECT_TRUE(finite(value, std::byte{0x3b})) << dtype_name(c.type) << " " << value;
    }
  }
}

TEST(TernaryMatrix, KeepsDigitsOfEveryWidth) {
  std::mt19937 rng(1);
  for (const TernaryLayout layout : {TernaryLayout::kFourPerByte, TernaryLayout::kFivePerByte}) {
    for (const std::size_t cols : {1u, 15u, 16u, 19u, 20u, 21u, 64u, 257u, 300u, 700u, 1024u}) {
      TernaryMatrix m(19, cols, ScaleKind::kTensor, 0, {0.5f}, layout);
      std::vector<std::int8_t> digits(19 * cols), back(cols);
      for (auto& d : digits) d = static_cast<std::int8_t>(static_cast<int>(rng() % 3) - 1);
      for (int twice = 0; twice < 2; ++twice) {  // Setting again must not add to what is there.
        for (std::size_t r = 0; r < 19; ++r) {
          m.set_row(r, std::span(digits).subspan(r * cols, cols));
        }
      }
      const auto expect_same = [&](const TernaryMatrix& matrix) {
        for (std::size_t r = 0; r < 19; ++r) {
          matrix.get_row(r, back);
          for (std::size_t c = 0; c < cols; ++c) {
            ASSERT_EQ(back[c], digits[r * cols + c]);
            ASSERT_EQ(matrix.digit(r, c), digits[r * cols + c]);
          }
        }
        for (std::size_t r = 0; r < 32; ++r) {  // Padding, to the right and below.
          for (std::size_t c = r < 19 ? cols : 0; c < matrix.padded_cols(); ++c) {
            ASSERT_EQ(matrix.digit(r, c), 0);
          }
        }
      };
      expect_same(m);
      ThreadPool pool(2);
      const TernaryLayout other = layout == TernaryLayout::kFourPerByte
                                      ? TernaryLayout::kFivePerByte
                                      : TernaryLayout::kFourPerByte;
      const TernaryMatrix changed = with_layout(m, other, pool);
      EXPECT_EQ(changed.layout(), other);
      EXPECT_EQ(changed.scale(18, 0), 0.5f);
      expect_same(changed);
    }
  }
}

// Where bytes lie, as ternary_matrix.h draws it, from the digits' positions alone.
TEST(TernaryMatrix, LiesInTilesOfSixteenRows) {
  for (const TernaryLayout layout : {TernaryLayout::kFourPerByte, TernaryLayout::kFivePerByte}) {
    const std::size_t fields = ternary_fields(layout), width = 4 * fields;
    TernaryMatrix m(20, 50, ScaleKind::kTensor, 0, {1.0f}, layout);
    std::vector<std::int8_t> digits(50);
    for (std::size_t r = 0; r < 20; ++r) {
      for (std::size_t c = 0; c < 50; ++c) digits[c] = (7 * r + c) % 11 == 0 ? 1 : -1;
      m.set_row(r, digits);
    }
    for (std::size_t r = 0; r < 20; ++r) {
      for (std::size_t c = 0; c < 50; ++c) {
        const std::uint8_t byte = m.tile(r / 16)[64 * (c / width) + 4 * (r % 16) + c % 4];
        EXPECT_EQ(ternary_code(layout, byte, c % width / 4), (7 * r + c) % 11 == 0 ? 2u : 0u);
      }
    }
  }
}

TEST(TernaryMatrix, TilesAreSetAsRowsAre) {
  std::mt19937 rng(2);
  for (const TernaryLayout layout : {TernaryLayout::kFourPerByte, TernaryLayout::kFivePerByte}) {
    TernaryMatrix rows(37, 333, ScaleKind::kTensor, 0, {1.0f}, layout);
    TernaryMatrix tiles(37, 333, ScaleKind::kTensor, 0, {1.0f}, layout);
    const std::size_t stride = rows.padded_cols() + 3;
    for (std::size_t t = 0; t < rows.tiles(); ++t) {
      std::vector<std::uint8_t> codes(16 * stride, 1);
      for (std::size_t i = 0; i < 16 && 16 * t + i < 37; ++i) {
        std::vector<std::int8_t> digits(333);
        for (std::size_t c = 0; c < 333; ++c) {
          codes[i * stride + c] = static_cast<std::uint8_t>(rng() % 3);
          digits[c] = static_cast<std::int8_t>(codes[i * stride + c] - 1);
        }
        rows.set_row(16 * t + i, digits);
      }
      tiles.set_tile(t, codes.data(), stride);
      EXPECT_EQ(std::memcmp(rows.tile(t), tiles.tile(t), rows.tile_bytes()), 0);
    }
  }
}

// All 243 combinations come back, each from its own byte, and an escaped byte's slot stands for the
// same c3: on that the vector decoders rely.
TEST(TernaryCode, FivePerByteIsOneToOne) {
  std::vector<int> used(256);
  for (unsigned i = 0; i < 243; ++i) {
    const std::uint8_t byte = five_per_byte::kEncode[i];
    ++used[byte];
    unsigned rest = i;
    for (std::size_t f = 0; f < 5; ++f, rest /= 3) {
      EXPECT_EQ(ternary_code(TernaryLayout::kFivePerByte, byte, f), rest % 3);
    }
    const std::uint8_t slot = byte & 63;
    EXPECT_EQ(ternary_code(TernaryLayout::kFivePerByte, slot, 3), i / 27 % 3);
  }
  for (const int times : used) EXPECT_LE(times, 1);
}

TEST(TernaryMatrix, RefusesBadScales) {
  EXPECT_THROW(TernaryMatrix(2, 64, ScaleKind::kRow, 0, {1.0f}), Error);
  EXPECT_THROW(TernaryMatrix(2, 64, ScaleKind::kTensor, 0, {std::nanf("")}), Error);
  EXPECT_THROW(TernaryMatrix(2, 64, ScaleKind::kGroup, 32, {1, 1, 1, 1}), Error);
  const TernaryMatrix m(2, 200, ScaleKind::kGroup, 128, {1, 2, 3, 4});
  EXPECT_EQ(m.scale(1, 127), 3);
  EXPECT_EQ(m.scale(1, 128), 4);
}

}  // namespace
}  // namespace tern
