// Synthetic models open, verify and are the same again; what is broken does not verify.
#include "tern/convert/synth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/convert/convert_test_util.h"
#include "tern/convert/digit_counts.h"
#include "tern/convert/matrix_bytes.h"
#include "tern/convert/verify.h"
#include "tern/formats/gguf.h"

namespace tern::convert {
namespace {

void make(const std::filesystem::path& out, DType type, DType embedding = DType::kQ6_K,
          std::uint64_t seed = 0, std::size_t threads = 2) {
  ThreadPool pool(threads);
  SynthOptions options;
  options.type = type;
  options.embedding_type = embedding;
  options.seed = seed;
  synth("tiny", out, options, pool, {}, {});
}

VerifyReport check(const std::filesystem::path& path) {
  ThreadPool pool(2);
  return verify(path, {}, pool, {});
}

class Synth : public testing::TestWithParam<DType> {};

TEST_P(Synth, OpensAndVerifies) {
  const TemporaryFolder tmp;
  make(tmp / "m.gguf", GetParam());
  const VerifyReport report = check(tmp / "m.gguf");
  ASSERT_EQ(report.checks.size(), 6u) << report.checks.back().detail;
  for (const VerifyCheck& c : report.checks) {
    // Random weights score no better than chance, or a little better by chance.
    if (c.name == "text") continue;
    EXPECT_EQ(c.status, CheckStatus::kPass) << c.name << ": " << c.detail;
  }
  EXPECT_TRUE(report.passed());
}

INSTANTIATE_TEST_SUITE_P(Types, Synth,
                         testing::Values(DType::kTQ1_0, DType::kTQ2_0, DType::kI2S, DType::kIQ2_BN,
                                         DType::kF16, DType::kBF16, DType::kF32),
                         [](const auto& test) { return std::string(dtype_name(test.param)); });

// The same weights whatever stores them.
TEST(SynthFile, TypesHoldTheSameWeights) {
  const TemporaryFolder tmp;
  make(tmp / "a.gguf", DType::kTQ2_0);
  for (const DType type : {DType::kTQ1_0, DType::kI2S, DType::kIQ2_BN, DType::kBF16}) {
    make(tmp / "b.gguf", type);
    EXPECT_EQ(difference(tmp / "a.gguf", tmp / "b.gguf"), "") << dtype_name(type);
  }
}

TEST(SynthFile, SeedDecidesAndThreadsDoNot) {
  const TemporaryFolder tmp;
  make(tmp / "a.gguf", DType::kTQ2_0, DType::kQ8_0, 1, 1);
  make(tmp / "b.gguf", DType::kTQ2_0, DType::kQ8_0, 1, 3);
  make(tmp / "c.gguf", DType::kTQ2_0, DType::kQ8_0, 2, 1);
  EXPECT_EQ(read_text_file(tmp / "a.gguf"), read_text_file(tmp / "b.gguf"));
  EXPECT_NE(read_text_file(tmp / "a.gguf"), read_text_file(tmp / "c.gguf"));
}

TEST(SynthFile, DigitsAreAboutUniform) {
  const TemporaryFolder tmp;
  make(tmp / "m.gguf", DType::kTQ2_0);
  ThreadPool pool(2);
  const auto model = checkpoint::open_checkpoint(tmp / "m.gguf", {});
  const Matrix matrix = model->matrix(arch::TensorRole::kUp, 1, pool);
  const DigitCounts counts = count_digits(std::get<TernaryMatrix>(matrix), pool);
  const double n = 1024 * 512;
  EXPECT_EQ(counts[0] + counts[1] + counts[2], static_cast<std::uint64_t>(n));
  for (const std::uint64_t count : counts) {
    EXPECT_NEAR(static_cast<double>(count) / n, 1.0 / 3, 0.005);  // Seven standard deviations.
  }
}

TEST(SynthFile, EmbeddingsOfEveryTypeHaveTheSameSpread) {
  const TemporaryFolder tmp;
  ThreadPool pool(2);
  for (const DType type :
       {DType::kQ6_K, DType::kQ8_0, DType::kQ4_0, DType::kF16, DType::kBF16, DType::kF32}) {
    make(tmp / "m.gguf", DType::kTQ2_0, type);
    const auto model = checkpoint::open_checkpoint(tmp / "m.gguf", {});
    const Matrix matrix = model->matrix(arch::TensorRole::kEmbedding, 0, pool);
    const auto& dense = std::get<DenseMatrix>(matrix);
    EXPECT_EQ(dense.type, type);
    const Bytes bytes = dense_bytes(dense, DType::kF32, "", pool);
    double squares = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 4) {
      float value = 0;
      std::memcpy(&value, bytes.data() + i, 4);
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const double spread = std::sqrt(squares / (512.0 * 512.0));
    EXPECT_NEAR(spread * std::sqrt(512.0), 1.0, 0.1) << dtype_name(type);
  }
}

TEST(SynthFile, RefusesWhatItDoesNotKnow) {
  const TemporaryFolder tmp;
  ThreadPool pool(1);
  EXPECT_THROW(synth("huge", tmp / "m.gguf", {}, pool, {}, {}), Error);
  SynthOptions options;
  options.type = DType::kQ8_0;
  EXPECT_THROW(synth("tiny", tmp / "m.gguf", options, pool, {}, {}), Error);
  EXPECT_EQ(tmp.entries(), 0u);
}

TEST(DigitCountsTest, PaddingIsNotCounted) {
  ThreadPool pool(1);
  TernaryMatrix matrix(2, 5, ScaleKind::kTensor, 0, {1.0f});
  matrix.set_row(0, std::vector<std::int8_t>{-1, -1, 0, 1, 1});
  matrix.set_row(1, std::vector<std::int8_t>{1, 1, 1, 0, -1});
  EXPECT_EQ(count_digits(matrix, pool), (DigitCounts{3, 2, 5}));
}

// Writes a copy of m.gguf as bad.gguf with `bytes` in place of those from `at` on of a tensor.
void damage(const TemporaryFolder& tmp, const char* tensor, std::size_t at,
            const std::string& bytes) {
  std::string file_bytes = read_text_file(tmp / "m.gguf");
  const formats::GgufFile file(tmp / "m.gguf");
  const auto found = file.tensor(tensor)->bytes;
  const auto where = file_bytes.find(std::string(reinterpret_cast<const char*>(found.data()), 64));
  ASSERT_NE(where, std::string::npos);
  file_bytes.replace(where + at, bytes.size(), bytes);
  std::ofstream(tmp / "bad.gguf", std::ios::binary) << file_bytes;
}

TEST(Verify, FindsACodeThatIsNoDigit) {
  const TemporaryFolder tmp;
  make(tmp / "m.gguf", DType::kTQ2_0);
  damage(tmp, "blk.1.ffn_up.weight", 10, "\xff");
  const VerifyReport report = check(tmp / "bad.gguf");
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(report.checks.back().name, "weights");
  EXPECT_NE(report.checks.back().detail.find("blk.1.ffn_up.weight"), std::string::npos)
      << report.checks.back().detail;
}

TEST(Verify, FindsANormThatIsNotFinite) {
  const TemporaryFolder tmp;
  make(tmp / "m.gguf", DType::kTQ2_0);
  damage(tmp, "blk.0.attn_norm.weight", 2, "\xff\x7f");
  const VerifyReport report = check(tmp / "bad.gguf");
  EXPECT_FALSE(report.passed());
  EXPECT_NE(report.checks.back().detail.find("blk.0.attn_norm.weight"), std::string::npos)
      << report.checks.back().detail;
}

TEST(Verify, FindsAFileThatIsCutOff) {
  const TemporaryFolder tmp;
  make(tmp / "m.gguf", DType::kTQ2_0);
  std::filesystem::resize_file(tmp / "m.gguf", std::filesystem::file_size(tmp / "m.gguf") - 1000);
  const VerifyReport report = check(tmp / "m.gguf");
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(report.checks.back().name, "file");
}

// A vocabulary without a piece for one byte cannot give texts back.
TEST(Verify, FindsATokenizerThatLosesText) {
  const TemporaryFolder tmp;
  make_folder(tmp / "in", Kind::k2B4TPacked);
  std::string json = read_text_file(tmp / "in" / "tokenizer.json");
  const auto at = json.find("\"the\":257");
  ASSERT_NE(at, std::string::npos);
  json.replace(at, 5, "\"hte\"");  // The merge's result is no piece any more.
  std::ofstream(tmp / "in" / "tokenizer.json") << json;
  const VerifyReport report = check(tmp / "in");
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(report.checks.back().name, "tokenizer");
}

// A random model that is sure of itself scores worse than chance. With a vocabulary that is not
// synth's, that is a failure.
TEST(Verify, RandomWeightsFailTheText) {
  const TemporaryFolder tmp;
  TinyShape shape;
  shape.embedding_width = 5;
  make_folder(tmp / "in", Kind::k2B4TPacked, shape);
  const VerifyReport report = check(tmp / "in");
  EXPECT_EQ(report.checks.back().name, "text");
  EXPECT_EQ(report.checks.back().status, CheckStatus::kFail) << report.checks.back().detail;
}

TEST(Verify, StoriesPass) {
  const char* data = std::getenv("TERN_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "TERN_TEST_DATA is not set";
  const VerifyReport report = check(std::filesystem::path(data) / "models" / "stories260K");
  for (const VerifyCheck& c : report.checks) {
    EXPECT_EQ(c.status, CheckStatus::kPass) << c.name << ": " << c.detail;
  }
}

}  // namespace
}  // namespace tern::convert
