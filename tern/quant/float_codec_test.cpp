// Floats to ternary and to blocks, against NumPy's numbers and the definitions of the blocks.
#include "tern/quant/float_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tern/base/error.h"
#include "tern/quant/test_helpers.h"
#include "tern/quant/testdata/codec_goldens.h"
#include "tern/tensor/dense_row.h"

namespace tern::quant {
namespace {

using testing::digit_text;
using testing::floats_from_hex;
using testing::from_hex;
using testing::view_of;

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<std::byte> encoded(DType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(dtype_bytes(type, 1, values.size()).value()));
  encode_row(type, values, bytes);
  return bytes;
}

double root_mean_square_error(DType type, const std::vector<float>& values) {
  const std::vector<std::byte> bytes = encoded(type, values);
  std::vector<float> back(values.size());
  dense_row_to_float(type, bytes.data(), values.size(), back.data());
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(back[i]) - static_cast<double>(values[i]);
    sum += error * error;
  }
  return std::sqrt(sum / static_cast<double>(values.size()));
}

std::vector<float> normal_floats(std::size_t n, float sigma, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

TEST(EncodeRow, EqualsTheReferenceOfQ8_0AndQ4_0) {
  const std::vector<float> row = floats_from_hex(golden::kRowFloats);
  EXPECT_EQ(encoded(DType::kQ8_0, row), from_hex(golden::kRowQ8_0));
  EXPECT_EQ(encoded(DType::kQ4_0, row), from_hex(golden::kRowQ4_0));
}

TEST(EncodeRow, PlainTypesRoundToNearestEven) {
  // Halfway between 1 and the next f16 (1 + 2^-10), and between that and the one after.
  const std::vector<float> halves{1.0f + 0x1p-11f, 1.0f + 0x3p-11f, -2.0f, 65520.0f};
  EXPECT_EQ(encoded(DType::kF16, halves), from_hex("003c023c00c0007c"));
  const std::vector<float> brains{1.0f + 0x1p-8f, 1.0f + 0x3p-8f};
  EXPECT_EQ(encoded(DType::kBF16, brains), from_hex("803f823f"));
  EXPECT_EQ(encoded(DType::kF32, brains), bytes_of(brains));
}

// Weights that a block can hold exactly come back exactly: d = 2^-4, scales and levels whole.
TEST(EncodeRow, Q6_KKeepsWhatItCanHold) {
  std::mt19937 random(7);
  std::vector<float> row(512);
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::size_t sub = i / 16;
    const int sc = sub % 16 == 3 ? -128 : static_cast<int>(sub % 16) * 7 - 50;
    const int q = i % 16 == 0 ? -32 : static_cast<int>(random() % 64) - 32;
    row[i] = 0x1p-4f * static_cast<float>(sc) * static_cast<float>(q);
  }
  const std::vector<std::byte> bytes = encoded(DType::kQ6_K, row);
  std::vector<float> back(row.size());
  dense_row_to_float(DType::kQ6_K, bytes.data(), row.size(), back.data());
  EXPECT_EQ(back, row);
}

TEST(EncodeRow, Q6_KErrorIsSmall) {
  for (const float sigma : {0.02f, 1.0f, 30.0f}) {
    const auto row = normal_floats(256 * 64, sigma, 3);
    // Measured on normal values with a NumPy model of the block: 0.0173 sigma for least squares,
    // 0.0178 with GGML's weights, 0.0222 with max / 32 as the scale.
    EXPECT_LT(root_mean_square_error(DType::kQ6_K, row), 0.0176 * static_cast<double>(sigma));
  }
  EXPECT_EQ(root_mean_square_error(DType::kQ6_K, std::vector<float>(256)), 0.0);
  std::vector<float> one(256);
  one[77] = -3.5f;
  EXPECT_EQ(root_mean_square_error(DType::kQ6_K, one), 0.0);
}

TEST(EncodeRow, RefusesWhatDoesNotFit) {
  std::vector<float> row(256, 1.0f);
  std::vector<std::byte> out(210);
  EXPECT_THROW(encode_row(DType::kQ6_K, std::span(row).first(255), out), Error);
  EXPECT_THROW(encode_row(DType::kQ8_0, row, out), Error);
  EXPECT_THROW(encode_row(DType::kTQ1_0, row, std::span(out).first(54)), Error);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 3e38f}) {
    row[9] = bad;
    EXPECT_THROW(encode_row(DType::kQ6_K, row, out), Error);
    EXPECT_THROW(encoded(DType::kQ8_0, row), Error);
    EXPECT_THROW(encoded(DType::kQ4_0, row), Error);
  }
  row.assign(256, 1e-44f);  // A subnormal block scale.
  EXPECT_NO_THROW(encoded(DType::kQ6_K, row));
  EXPECT_NO_THROW(encoded(DType::kQ8_0, row));
  EXPECT_NO_THROW(encoded(DType::kQ4_0, row));
}

TEST(Absmean, EqualsNumPy) {
  for (const std::size_t threads : {1u, 3u}) {
    ThreadPool pool(threads);
    const std::vector<std::byte> ties = from_hex(golden::kAbsmeanFloats);
    const TernaryMatrix a = absmean_quantize(view_of(DType::kF32, 2, 6, ties), pool);
    EXPECT_EQ(digit_text(a), golden::kAbsmeanDigits);
    EXPECT_EQ(a.scales()[0], floats_from_hex(golden::kAbsmeanScale)[0]);
    const std::vector<std::byte> latent = from_hex(golden::kLatentFloats);
    const TernaryMatrix b = absmean_quantize(view_of(DType::kF32, 8, 48, latent), pool);
    EXPECT_EQ(digit_text(b), golden::kLatentDigits);
    EXPECT_EQ(b.scales()[0], floats_from_hex(golden::kLatentScale)[0]);
  }
}

struct LatentCase {
  LatentQuantization how;
  std::string_view scales, digits;
};
const LatentCase kLatentCases[] = {
    {{LatentKind::kTernary, ScaleKind::kTensor, 0},
     golden::kTensorLatentScales,
     golden::kTensorTernaryDigits},
    {{LatentKind::kTernary, ScaleKind::kRow, 0},
     golden::kRowLatentScales,
     golden::kRowTernaryDigits},
    {{LatentKind::kTernary, ScaleKind::kGroup, 64},
     golden::kGroupLatentScales,
     golden::kGroupTernaryDigits},
    {{LatentKind::kBinary, ScaleKind::kTensor, 0},
     golden::kTensorLatentScales,
     golden::kTensorBinaryDigits},
    {{LatentKind::kBinary, ScaleKind::kRow, 0}, golden::kRowLatentScales, golden::kRowBinaryDigits},
    {{LatentKind::kBinary, ScaleKind::kGroup, 64},
     golden::kGroupLatentScales,
     golden::kGroupBinaryDigits},
};

TEST(QuantizeLatent, EqualsNumPy) {
  const std::vector<std::byte> floats = from_hex(golden::kGroupFloats);
  for (const LatentCase& c : kLatentCases) {
    for (const std::size_t threads : {1u, 3u}) {
      ThreadPool pool(threads);
      const TernaryMatrix m = quantize_latent(view_of(DType::kF32, 3, 160, floats), c.how, pool);
      EXPECT_EQ(digit_text(m), c.digits);
      EXPECT_EQ(m.scale_kind(), c.how.scales);
      EXPECT_EQ(m.group(), c.how.group);
      EXPECT_EQ(std::vector<float>(m.scales().begin(), m.scales().end()),
                floats_from_hex(c.scales));
    }
  }
  // One weight in four of this group is its mean: digit 0, where a sign would say +1.
  EXPECT_EQ(golden::kGroupBinaryDigits.substr(160, 8), "+-00+-00");
}

TEST(QuantizeLatent, NamesTheRowThatIsNotFinite) {
  ThreadPool pool(1);
  std::vector<float> values(3 * 128, 1.0f);
  values[128 + 100] = std::numeric_limits<float>::infinity();
  const std::vector<std::byte> bytes = bytes_of(values);
  for (const LatentCase& c : kLatentCases) {
    try {
      quantize_latent(view_of(DType::kF32, 3, 128, bytes), c.how, pool);
      FAIL();
    } catch (const Error& e) {
      EXPECT_STREQ(e.what(), "tensor 'w' holds a value in row 1 that is not finite");
    }
  }
}

TEST(Absmean, ClampsTheMean) {
  ThreadPool pool(1);
  const std::vector<std::byte> bytes = bytes_of({1e-6f, -8e-6f, 0, 0});
  const TernaryMatrix matrix = absmean_quantize(view_of(DType::kF32, 2, 2, bytes), pool);
  EXPECT_EQ(matrix.scales()[0], 1e-5f);
  EXPECT_EQ(digit_text(matrix), "0-00");
}

TEST(Absmean, NamesTheRowThatIsNotFinite) {
  ThreadPool pool(1);
  for (const float bad : {std::nanf(""), -std::numeric_limits<float>::infinity()}) {
    const std::vector<std::byte> bytes = bytes_of({1, 2, 3, bad});
    try {
      absmean_quantize(view_of(DType::kF32, 2, 2, bytes), pool);
      FAIL();
    } catch (const Error& e) {
      EXPECT_STREQ(e.what(), "tensor 'w' holds a value in row 1 that is not finite");
    }
  }
}

TEST(ExactTernary, TellsTernaryFromOtherFloats) {
  ThreadPool pool(2);
  const auto read = [&](const std::vector<float>& values) {
    const std::vector<std::byte> bytes = bytes_of(values);
    return exact_ternary(view_of(DType::kF32, values.size() / 3, 3, bytes), pool);
  };
  const auto matrix = read({0, 0, -0.0f, 0.3f, -0.3f, 0, 0.3f, 0, 0.3f});
  ASSERT_TRUE(matrix);
  EXPECT_EQ(digit_text(*matrix), "000+-0+0+");
  EXPECT_EQ(matrix->scales()[0], 0.3f);
  const auto negative_first = read({0, -2, 2});
  ASSERT_TRUE(negative_first);
  EXPECT_EQ(negative_first->scales()[0], 2.0f);
  EXPECT_EQ(digit_text(*negative_first), "0-+");
  const auto zeros = read({0, 0, 0});
  ASSERT_TRUE(zeros);
  EXPECT_EQ(zeros->scales()[0], 1.0f);
  EXPECT_FALSE(read({0.3f, 0.30000004f, 0}));
  EXPECT_FALSE(read({0, 0, 0, 0.3f, 0, 0, 0.3f, 0, 0.1f}));
  EXPECT_FALSE(read({0.3f, std::nanf(""), 0}));
  EXPECT_FALSE(read({std::nanf(""), 0, 0}));
  EXPECT_FALSE(read({std::numeric_limits<float>::infinity(), 0, 0}));
}

TEST(ExactTernary, ReadsOtherFloatTypes) {
  ThreadPool pool(1);
  const std::vector<std::byte> brain = from_hex("803f80bf0000803f");
  const auto matrix = exact_ternary(view_of(DType::kBF16, 2, 2, brain), pool);
  ASSERT_TRUE(matrix);
  EXPECT_EQ(digit_text(*matrix), "+-0+");
  // Two doubles that are one float are still two magnitudes.
  const double doubles[] = {1.0, 1.0 + 0x1p-50};
  std::vector<std::byte> bytes(sizeof(doubles));
  std::memcpy(bytes.data(), doubles, sizeof(doubles));
  EXPECT_FALSE(exact_ternary(view_of(DType::kF64, 1, 2, bytes), pool));
}

}  // namespace
}  // namespace tern::quant
