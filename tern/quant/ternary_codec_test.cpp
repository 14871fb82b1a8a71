// Ternary storage types against bytes from an independent encoder, and what they must refuse.
#include "tern/quant/ternary_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include "tern/base/error.h"
#include "tern/quant/float_codec.h"
#include "tern/quant/test_helpers.h"
#include "tern/quant/testdata/codec_goldens.h"

namespace tern::quant {
namespace {

using testing::digit_text;
using testing::floats_from_hex;
using testing::from_hex;
using testing::random_matrix;
using testing::view_of;

struct Golden {
  DType type;
  std::size_t rows, cols;
  ScaleKind kind;
  std::size_t group;
  std::string_view digits, scales, bytes;
};

using enum ScaleKind;
const Golden kGoldens[] = {
    {DType::kTQ1_0, 2, 512, kGroup, 256, golden::kTQ1_0Digits, golden::kTQ1_0Scales,
     golden::kTQ1_0Bytes},
    {DType::kTQ2_0, 2, 512, kGroup, 256, golden::kTQ2_0Digits, golden::kTQ2_0Scales,
     golden::kTQ2_0Bytes},
    {DType::kQ2_0G64, 2, 256, kGroup, 64, golden::kQ2_0G64Digits, golden::kQ2_0G64Scales,
     golden::kQ2_0G64Bytes},
    {DType::kQ2_0G128, 2, 512, kGroup, 128, golden::kQ2_0G128Digits, golden::kQ2_0G128Scales,
     golden::kQ2_0G128Bytes},
    {DType::kPTQ1_0, 2, 256, kGroup, 128, golden::kPTQ1_0Digits, golden::kPTQ1_0Scales,
     golden::kPTQ1_0Bytes},
    {DType::kI2S, 4, 256, kTensor, 0, golden::kI2SDigits, golden::kI2SScales, golden::kI2SBytes},
    {DType::kI2SArm, 4, 64, kTensor, 0, golden::kI2SArmDigits, golden::kI2SArmScales,
     golden::kI2SArmBytes},
    {DType::kI2S1x4, 8, 20, kTensor, 0, golden::kI2S1x4Digits, golden::kI2S1x4Scales,
     golden::kI2S1x4Bytes},
    {DType::kIQ2_BN, 4, 128, kRow, 0, golden::kIQ2_BNDigits, golden::kIQ2_BNScales,
     golden::kIQ2_BNBytes},
    {DType::kIQ2_BN_R4, 8, 128, kRow, 0, golden::kIQ2_BN_R4Digits, golden::kIQ2_BN_R4Scales,
     golden::kIQ2_BN_R4Bytes},
    {DType::kIQ1_BN, 4, 128, kRow, 0, golden::kIQ1_BNDigits, golden::kIQ1_BNScales,
     golden::kIQ1_BNBytes},
};
void PrintTo(const Golden& g, std::ostream* out) { *out << dtype_name(g.type); }

std::string error_of(const TensorView& tensor) {
  ThreadPool pool(1);
  try {
    read_ternary(tensor, pool);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptFile);
    return e.what();
  }
  return "no error";
}

class TernaryGoldens : public ::testing::TestWithParam<Golden> {};
INSTANTIATE_TEST_SUITE_P(Types, TernaryGoldens, ::testing::ValuesIn(kGoldens));

TEST_P(TernaryGoldens, Reads) {
  const Golden& g = GetParam();
  const std::vector<std::byte> bytes = from_hex(g.bytes);
  const std::vector<float> scales = floats_from_hex(g.scales);
  for (const std::size_t threads : {1u, 3u}) {
    ThreadPool pool(threads);
    const TernaryMatrix matrix = read_ternary(view_of(g.type, g.rows, g.cols, bytes), pool);
    EXPECT_EQ(digit_text(matrix), g.digits);
    ASSERT_EQ(matrix.scale_kind(), g.kind);
    EXPECT_EQ(matrix.group(), g.group);
    EXPECT_EQ(std::vector<float>(matrix.scales().begin(), matrix.scales().end()), scales);
  }
}

TEST_P(TernaryGoldens, RowsToFloat) {
  const Golden& g = GetParam();
  const std::vector<std::byte> bytes = from_hex(g.bytes);
  const std::vector<float> scales = floats_from_hex(g.scales);
  std::vector<float> row(g.cols);
  for (std::size_t r = 0; r < g.rows; ++r) {
    tensor_row_to_float(view_of(g.type, g.rows, g.cols, bytes), r, row);
    for (std::size_t c = 0; c < g.cols; ++c) {
      const std::size_t s = g.kind == kTensor ? 0
                            : g.kind == kRow  ? r
                                              : r * (g.cols / g.group) + c / g.group;
      const char digit = g.digits[r * g.cols + c];
      EXPECT_EQ(row[c], digit == '0' ? 0.0f : digit == '+' ? scales[s] : -scales[s]);
    }
  }
}

TEST_P(TernaryGoldens, WritesTheSameBytes) {
  const Golden& g = GetParam();
  const std::vector<std::byte> bytes = from_hex(g.bytes);
  ThreadPool pool(1);
  const TernaryMatrix matrix = read_ternary(view_of(g.type, g.rows, g.cols, bytes), pool);
  const auto writable = {DType::kTQ1_0,  DType::kTQ2_0,   DType::kI2S,
                         DType::kIQ2_BN, DType::kQ2_0G64, DType::kQ2_0G128};
  if (std::ranges::find(writable, g.type) == writable.end()) {
    EXPECT_TRUE(why_not_writable(matrix, g.type)) << "not a writable type";
    return;
  }
  EXPECT_EQ(why_not_writable(matrix, g.type), std::nullopt);
  const WrittenTernary written = write_ternary(matrix, g.type);
  EXPECT_EQ(written.bytes, bytes);
  EXPECT_EQ(written.rounded_scales, 0u);
}

TEST_P(TernaryGoldens, RefusesAnyOtherSize) {
  const Golden& g = GetParam();
  std::vector<std::byte> bytes = from_hex(g.bytes);
  bytes.pop_back();
  EXPECT_NE(error_of(view_of(g.type, g.rows, g.cols, bytes)).find("tensor 'w' has"),
            std::string::npos);
  bytes.resize(bytes.size() + 2);
  EXPECT_NE(error_of(view_of(g.type, g.rows, g.cols, bytes)).find("tensor 'w' has"),
            std::string::npos);
}

// Sets every byte in turn to 0xff: every such byte of a two-bit type holds a code 3.
TEST_P(TernaryGoldens, FindsBadCodesAndScales) {
  const Golden& g = GetParam();
  const std::vector<std::byte> good = from_hex(g.bytes);
  std::size_t bad_codes = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::vector<std::byte> bytes = good;
    bytes[i] = std::byte{0xff};
    const std::string error = error_of(view_of(g.type, g.rows, g.cols, bytes));
    if (error == "no error") continue;
    const bool code = error.rfind("tensor 'w' has code 3 ", 0) == 0;
    EXPECT_TRUE(code || error.rfind("tensor 'w' has scale ", 0) == 0) << error;
    EXPECT_NE(error.find("row "), std::string::npos) << error;
    bad_codes += code ? 1 : 0;
  }
  const bool base3 =
      g.type == DType::kTQ1_0 || g.type == DType::kPTQ1_0 || g.type == DType::kIQ1_BN;
  EXPECT_EQ(bad_codes, base3 ? 0 : g.rows * g.cols / 4);
}

TEST(TernaryCodec, NamesTheRowOfABadCode) {
  const TernaryMatrix matrix = random_matrix(8, 256, kTensor, 0, 1);
  std::vector<std::byte> bytes = write_ternary(matrix, DType::kI2S).bytes;
  bytes[5 * 64 + 32 + 7] |= std::byte{0x0c};  // Row 5, second run, byte 7, bits 2-3: 128 + 64 + 7.
  EXPECT_EQ(error_of(view_of(DType::kI2S, 8, 256, bytes)),
            "tensor 'w' has code 3 in row 5, column 199, expected the ternary codes 0, 1 and 2");
}

TEST(TernaryCodec, Q2_0NamesItsFourthLevel) {
  std::vector<std::byte> bytes(18, std::byte{0x55});
  bytes[0] = bytes[1] = std::byte{0};
  bytes[2 + 3] = std::byte{0x75};
  EXPECT_EQ(
      error_of(view_of(DType::kQ2_0G64, 1, 64, bytes)),
      "tensor 'w' has code 3 (+2) in row 0, column 14, expected the ternary codes 0, 1 and 2");
}

TEST(TernaryCodec, RefusesScalesThatAreNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<std::byte> bytes =
        write_ternary(random_matrix(4, 128, kTensor, 0, 2), DType::kI2S).bytes;
    std::memcpy(bytes.data() + 128, &bad, sizeof(bad));
    EXPECT_NE(error_of(view_of(DType::kI2S, 4, 128, bytes)).find("'w' has scale"),
              std::string::npos);
    std::vector<std::byte> rows =
        write_ternary(random_matrix(4, 128, kRow, 0, 2), DType::kIQ2_BN).bytes;
    std::memcpy(rows.data() + 2 * 36, &bad, sizeof(bad));
    EXPECT_NE(error_of(view_of(DType::kIQ2_BN, 4, 128, rows)).find("in row 2"), std::string::npos);
  }
  std::vector<std::byte> half =
      write_ternary(random_matrix(2, 256, kTensor, 0, 2), DType::kTQ2_0).bytes;
  half[66 + 65] = std::byte{0x7e};  // An f16 NaN in row 1.
  EXPECT_NE(error_of(view_of(DType::kTQ2_0, 2, 256, half)).find("in row 1"), std::string::npos);
}

TEST(TernaryCodec, BlocksOfZerosAreNotAskedForTheirScale) {
  TernaryMatrix matrix(2, 512, kTensor, 0, {0.5f});
  std::vector<std::int8_t> digits(512);
  digits[300] = -1;  // Row 0: a block of zeros, then one that is not. Row 1: zeros only.
  matrix.set_row(0, digits);
  std::vector<std::byte> bytes = write_ternary(matrix, DType::kTQ2_0).bytes;
  ThreadPool pool(1);
  const auto read = [&] { return read_ternary(view_of(DType::kTQ2_0, 2, 512, bytes), pool); };
  bytes[64] = bytes[65] = std::byte{0};  // Scale 0 in the block of zeros.
  bytes[3 * 66 + 64] = std::byte{0x12};  // Another scale in the last one.
  const TernaryMatrix one = read();
  EXPECT_EQ(one.scale_kind(), kTensor);
  EXPECT_EQ(one.scales()[0], 0.5f);
  EXPECT_EQ(one.digit(0, 300), -1);
  matrix.set_row(1, digits);
  bytes = write_ternary(matrix, DType::kTQ2_0).bytes;
  bytes[3 * 66 + 65] =
      std::byte{0xb8};  // -0.5 in a block that holds a weight: legal, and different.
  const TernaryMatrix rows = read();
  EXPECT_EQ(rows.scale_kind(), kRow);
  EXPECT_EQ(rows.scale(1, 300), -0.5f);
  EXPECT_EQ(rows.scale(0, 300), 0.5f);
}

TEST(TernaryCodec, RowsOfZerosAreNotAskedForTheirScale) {
  TernaryMatrix matrix(2, 64, kRow, 0, {3.0f, 0.25f});
  std::vector<std::int8_t> digits(64);
  digits[1] = 1;
  matrix.set_row(1, digits);
  const std::vector<std::byte> bytes = write_ternary(matrix, DType::kIQ2_BN).bytes;
  ThreadPool pool(1);
  const TernaryMatrix read = read_ternary(view_of(DType::kIQ2_BN, 2, 64, bytes), pool);
  EXPECT_EQ(read.scale_kind(), kTensor);
  EXPECT_EQ(read.scales()[0], 0.25f);
}

TEST(TernaryCodec, AllZerosKeepTheFirstScale) {
  const TernaryMatrix zeros(4, 256, kTensor, 0, {0.125f});
  ThreadPool pool(2);
  for (const DType type : {DType::kTQ1_0, DType::kTQ2_0, DType::kI2S, DType::kIQ2_BN}) {
    const std::vector<std::byte> bytes = write_ternary(zeros, type).bytes;
    const TernaryMatrix read = read_ternary(view_of(type, 4, 256, bytes), pool);
    EXPECT_EQ(read.scale_kind(), kTensor);
    EXPECT_EQ(read.scales()[0], 0.125f);
    EXPECT_EQ(digit_text(read), std::string(1024, '0'));
  }
}

TEST(TernaryCodec, RoundTripsAtManyShapes) {
  ThreadPool pool(2);
  unsigned seed = 0;
  for (const DType type : {DType::kTQ1_0, DType::kTQ2_0, DType::kI2S, DType::kIQ2_BN,
                           DType::kQ2_0G64, DType::kQ2_0G128}) {
    const std::size_t group = std::max<std::size_t>(dtype_block(type), 64);
    for (const std::size_t rows : {1u, 3u, 4u, 17u}) {
      for (const std::size_t blocks : {1u, 2u, 5u}) {
        for (const ScaleKind kind : {kTensor, kRow, kGroup}) {
          const std::size_t cols = blocks * dtype_block(type);
          const TernaryMatrix matrix =
              random_matrix(rows, cols, kind, kind == kGroup ? group : 0, ++seed);
          if (why_not_writable(matrix, type)) continue;
          const WrittenTernary written = write_ternary(matrix, type);
          EXPECT_EQ(written.rounded_scales, 0u);
          const TernaryMatrix read = read_ternary(view_of(type, rows, cols, written.bytes), pool);
          EXPECT_EQ(digit_text(read), digit_text(matrix));
          for (std::size_t r = 0; r < rows; ++r) {
            for (std::size_t c = 0; c < cols; c += 64) {
              EXPECT_EQ(read.scale(r, c), matrix.scale(r, c));
            }
          }
        }
      }
    }
  }
}

// One scale per row, written into every block of it, is one scale per row again: how activations
// are quantised depends on it.
TEST(TernaryCodec, BlocksOfARowThatAgreeAreOneScalePerRow) {
  ThreadPool pool(1);
  const TernaryMatrix rows = random_matrix(5, 512, kRow, 0, 3);
  for (const DType type : {DType::kTQ1_0, DType::kTQ2_0, DType::kQ2_0G64, DType::kQ2_0G128}) {
    std::vector<std::byte> bytes = write_ternary(rows, type).bytes;
    const TernaryMatrix read = read_ternary(view_of(type, 5, 512, bytes), pool);
    EXPECT_EQ(read.scale_kind(), kRow);
    EXPECT_EQ(std::vector<float>(read.scales().begin(), read.scales().end()),
              std::vector<float>(rows.scales().begin(), rows.scales().end()));
    // Another scale in the last block of the last row, and each block has its own.
    TernaryMatrix groups = random_matrix(5, 512, kGroup, 256, 3);
    bytes = write_ternary(groups, type).bytes;
    EXPECT_EQ(read_ternary(view_of(type, 5, 512, bytes), pool).scale_kind(), kGroup);
  }
}

TEST(TernaryCodec, CountsRoundedScales) {
  const TernaryMatrix third(2, 256, kTensor, 0, {1.0f / 3});
  EXPECT_EQ(write_ternary(third, DType::kTQ1_0).rounded_scales, 1u);
  EXPECT_EQ(write_ternary(third, DType::kI2S).rounded_scales, 0u);
  const TernaryMatrix rows(3, 256, kRow, 0, {1.0f / 3, 0.5f, 0.1f});
  EXPECT_EQ(write_ternary(rows, DType::kTQ2_0).rounded_scales, 2u);
}

TEST(TernaryCodec, SaysWhyNot) {
  const auto why = [](const TernaryMatrix& matrix, DType type) {
    return why_not_writable(matrix, type).value_or("writable");
  };
  const TernaryMatrix wide(2, 3200, kTensor, 0, {1.0f});
  EXPECT_EQ(why(wide, DType::kTQ1_0), "rows of 3200 columns are no whole number of blocks of 256");
  EXPECT_EQ(why(wide, DType::kI2S), "writable");
  EXPECT_EQ(why(TernaryMatrix(2, 5460, kTensor, 0, {1.0f}), DType::kIQ2_BN),
            "rows of 5460 columns are no whole number of blocks of 64");
  const TernaryMatrix rows(2, 256, kRow, 0, {1.0f, 2.0f});
  EXPECT_EQ(why(rows, DType::kI2S), "scales are one per row, and I2_S holds one per tensor");
  EXPECT_EQ(why(rows, DType::kIQ2_BN), "writable");
  EXPECT_EQ(why(rows, DType::kTQ2_0), "writable");
  const TernaryMatrix groups(1, 256, kGroup, 128, {1.0f, 2.0f});
  EXPECT_NE(why(groups, DType::kTQ2_0).find("one per group of 128"), std::string::npos);
  EXPECT_NE(why(groups, DType::kIQ2_BN).find("one per group"), std::string::npos);
  EXPECT_EQ(why(groups, DType::kQ2_0G128), "writable");
  EXPECT_EQ(why(groups, DType::kQ2_0G64), "writable");  // The scale twice.
  EXPECT_EQ(why(TernaryMatrix(1, 256, kGroup, 64, {1, 2, 3, 4}), DType::kQ2_0G128),
            "scales are one per group of 64 columns, and Q2_0(128) holds one per block of 128");
  for (const float scale : {1e6f, 1e-7f}) {
    const TernaryMatrix extreme(1, 256, kTensor, 0, {scale});
    EXPECT_NE(why(extreme, DType::kTQ1_0).find("outside the range of f16"), std::string::npos);
    EXPECT_EQ(why(extreme, DType::kI2S), "writable");
  }
  EXPECT_EQ(why(TernaryMatrix(1, 256, kTensor, 0, {0.0f}), DType::kTQ1_0), "writable");
  EXPECT_NE(why(wide, DType::kF16), "writable");
}

TEST(HfPacked, ReadsAndWritesTheGolden) {
  const std::vector<std::byte> bytes = from_hex(golden::kHfPackedBytes);
  const TensorView packed{"p", DType::kU8, {3, 12}, bytes};
  ThreadPool pool(2);
  const TernaryMatrix matrix = read_hf_packed(packed, 10, {0.5f}, pool);
  EXPECT_EQ(digit_text(matrix), golden::kHfPackedDigits);
  EXPECT_EQ(matrix.scale_kind(), kTensor);
  EXPECT_EQ(write_hf_packed(matrix), bytes);
  const TernaryMatrix rows = read_hf_packed(packed, 10, std::vector<float>(10, 2.0f), pool);
  EXPECT_EQ(rows.scale_kind(), kRow);
}

TEST(HfPacked, Refuses) {
  std::vector<std::byte> bytes = from_hex(golden::kHfPackedBytes);
  const TensorView packed{"p", DType::kU8, {3, 12}, bytes};
  ThreadPool pool(1);
  const auto error = [&](const TensorView& view, std::size_t rows, std::vector<float> scales) {
    try {
      read_hf_packed(view, rows, std::move(scales), pool);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(
      error(packed, 16, {1.0f}),
      "tensor 'p' is U8 of shape 3x12, expected U8 with 4 rows for 16 rows of packed weights");
  EXPECT_NE(error({"p", DType::kI8, {3, 12}, bytes}, 10, {1.0f}), "no error");
  EXPECT_EQ(error(packed, 10, {1.0f, 2.0f}), "tensor 'p': 2 weight scales found, expected 10");
  EXPECT_NE(error(packed, 10, {std::nanf("")}).find("tensor 'p': weight scale nan"),
            std::string::npos);
  bytes[1] |= std::byte{0x0c};
  EXPECT_NE(error(packed, 10, {1.0f}).find("code 3 in row 3, column 1"), std::string::npos);
}

}  // namespace
}  // namespace tern::quant
