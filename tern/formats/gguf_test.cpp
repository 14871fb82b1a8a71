// GGUF: files put together by hand, byte for byte, and everything that can be wrong with one.
#include "tern/formats/gguf.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "tern/base/error.h"

namespace tern::formats {
namespace {

// Puts bytes after one another, as the format's description has them.
struct Builder {
  std::vector<std::byte> bytes;

  template <typename T>
  Builder& num(T value) {
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof(T));
    std::memcpy(bytes.data() + at, &value, sizeof(T));
    return *this;
  }
  Builder& u32(std::uint32_t value) { return num(value); }
  Builder& u64(std::uint64_t value) { return num(value); }
  Builder& raw(std::string_view text) {
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
    return *this;
  }
  Builder& str(std::string_view text) { return u64(text.size()).raw(text); }
  Builder& head(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(keys);
  }
  Builder& tensor(std::string_view name, std::vector<std::uint64_t> dims, std::uint32_t type,
                  std::uint64_t offset) {
    str(name).u32(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t n : dims) u64(n);
    return u32(type).u64(offset);
  }
  Builder& pad(std::size_t alignment = 32) {
    while (bytes.size() % alignment != 0) bytes.push_back(std::byte{0});
    return *this;
  }
  Builder& data(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) bytes.push_back(static_cast<std::byte>(i));
    return *this;
  }
};

std::string error_of(const std::vector<std::byte>& bytes, const GgufOptions& options = {}) {
  try {
    const GgufFile file(bytes, "m.gguf", options);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

void expect_refused(const std::vector<std::byte>& bytes, const std::string& part) {
  const std::string error = error_of(bytes);
  EXPECT_NE(error.find(part), std::string::npos) << error << "\nexpected: " << part;
  EXPECT_EQ(error.rfind("m.gguf: ", 0), 0u) << error;
}

// Every kind of value, two tensors.
Builder small_file() {
  Builder b;
  b.head(2, 9);
  b.str("general.architecture").u32(8).str("llama");
  b.str("a.u32").u32(4).u32(7);
  b.str("a.i8").u32(1).num(std::int8_t{-3});
  b.str("a.f32").u32(6).num(0.5f);
  b.str("a.bool").u32(7).num(std::uint8_t{1});
  b.str("a.strings").u32(9).u32(8).u64(3).str("x").str("").str("yz");
  b.str("a.floats").u32(9).u32(6).u64(2).num(1.5f).num(-2.0f);
  b.str("a.ints").u32(9).u32(5).u64(2).num(std::int32_t{-1}).num(std::int32_t{5});
  b.str("a.u64").u32(10).u64(std::uint64_t{1} << 63);
  b.tensor("w", {4, 2}, 0, 0);  // 2 rows of 4 floats.
  b.tensor("v", {3}, 1, 32);    // 3 halves.
  b.pad().data(32).data(6);     // The last tensor's padding is missing.
  return b;
}

TEST(Gguf, ReadsMetadata) {
  const Builder b = small_file();
  const GgufFile file(b.bytes, "m.gguf");
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.alignment(), 32u);
  ASSERT_EQ(file.metadata().size(), 9u);
  EXPECT_EQ(file.find("general.architecture")->as_string(), "llama");
  EXPECT_EQ(file.find("a.u32")->as_uint(), 7u);
  EXPECT_EQ(file.find("a.u32")->as_number(), 7.0);
  EXPECT_EQ(file.find("a.u32")->as_string(), std::nullopt);
  EXPECT_EQ(file.find("a.i8")->as_uint(), std::nullopt);
  EXPECT_EQ(file.find("a.i8")->as_number(), -3.0);
  EXPECT_EQ(file.find("a.f32")->as_number(), 0.5);
  EXPECT_EQ(file.find("a.f32")->as_uint(), std::nullopt);
  EXPECT_EQ(file.find("a.bool")->as_bool(), true);
  EXPECT_EQ(file.find("a.bool")->as_uint(), std::nullopt);
  EXPECT_EQ(file.find("a.u64")->as_uint(), std::uint64_t{1} << 63);
  EXPECT_EQ(file.find("a.strings")->as_strings(), (std::vector<std::string_view>{"x", "", "yz"}));
  EXPECT_EQ(file.find("a.strings")->as_floats(), std::nullopt);
  EXPECT_EQ(file.find("a.floats")->as_floats(), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(file.find("a.floats")->as_integers(), std::nullopt);
  EXPECT_EQ(file.find("a.ints")->as_integers(), (std::vector<std::int64_t>{-1, 5}));
  EXPECT_EQ(file.find("missing"), nullptr);
}

TEST(Gguf, ReadsTensors) {
  const Builder b = small_file();
  const GgufFile file(b.bytes, "m.gguf");
  ASSERT_EQ(file.tensors().size(), 2u);
  const TensorView* w = file.tensor("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->type, DType::kF32);
  EXPECT_EQ(w->shape, (std::vector<std::uint64_t>{2, 4}));
  EXPECT_EQ(w->bytes.data(), b.bytes.data() + b.bytes.size() - 38);
  EXPECT_EQ(w->bytes.size(), 32u);
  const TensorView* v = file.tensor("v");
  ASSERT_NE(v, nullptr);
  EXPECT_EQ(v->shape, (std::vector<std::uint64_t>{3}));
  EXPECT_EQ(v->bytes.size(), 6u);
  EXPECT_EQ(file.tensor("u"), nullptr);
}

TEST(Gguf, ReadsVersion2) {
  Builder b;
  b.head(0, 1, 2).str("k").u32(4).u32(1);
  EXPECT_EQ(GgufFile(b.bytes, "m.gguf").version(), 2u);
}

TEST(Gguf, RefusesEveryTruncation) {
  const std::vector<std::byte> whole = small_file().bytes;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    // A buffer of exactly n bytes, so that the sanitizer sees a read behind it.
    const std::vector<std::byte> part(whole.begin(),
                                      whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_THROW(GgufFile(part, "m.gguf"), Error) << n;
  }
  EXPECT_NO_THROW(GgufFile(whole, "m.gguf"));
}

TEST(Gguf, SurvivesEveryChangedByte) {
  const std::vector<std::byte> whole = small_file().bytes;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const unsigned value : {0u, 1u, 0x7fu, 0x80u, 0xffu}) {
      std::vector<std::byte> bytes = whole;
      bytes[i] = static_cast<std::byte>(value);
      try {
        const GgufFile file(bytes, "m.gguf");
        for (const GgufEntry& entry : file.metadata()) {
          entry.value.as_strings();
          entry.value.as_floats();
          entry.value.as_integers();
        }
      } catch (const Error&) {
      }
    }
  }
}

TEST(Gguf, RefusesOtherFilesAndVersions) {
  expect_refused(Builder().raw("PK\3\4").u32(3).u64(0).u64(0).bytes, "begins with 'PK");
  expect_refused(Builder().head(0, 0, 1).bytes, "version 1");
  expect_refused(Builder().head(0, 0, 4).bytes, "version 4");
  expect_refused(Builder().head(0, 0, 0x03000000).bytes, "big-endian");
}

TEST(Gguf, RefusesCountsThatCannotBe) {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 63;
  expect_refused(Builder().head(kHuge, 0).bytes, "the number of tensors is 9223372036854775808");
  expect_refused(Builder().head(0, kHuge).bytes, "the number of metadata keys");
  expect_refused(Builder().head(0, 1).u64(kHuge).data(40).bytes, "a metadata key");
  expect_refused(Builder().head(0, 1).str("k").u32(8).u64(~std::uint64_t{0}).data(40).bytes, "'k'");
  for (const std::uint32_t element : {0u, 4u, 8u, 12u}) {
    expect_refused(Builder().head(0, 1).str("k").u32(9).u32(element).u64(kHuge).data(64).bytes,
                   "'k'");
  }
  expect_refused(Builder().head(1, 0).tensor("t", {kHuge, 2}, 0, 0).pad().bytes,
                 "'t' has more elements");
  expect_refused(
      Builder().head(1, 0).tensor("t", {std::uint64_t{1} << 61}, 0, 0).pad().data(64).bytes,
      "'t' of shape");
  expect_refused(Builder().head(1, 0).str("t").u32(0xffffffff).data(64).bytes,
                 "4294967295 dimensions");
}

TEST(Gguf, RefusesBadMetadata) {
  Builder twice;
  twice.head(0, 2).str("k").u32(4).u32(1).str("k").u32(4).u32(1);
  expect_refused(twice.bytes, "'k' stands twice");
  expect_refused(Builder().head(0, 1).str("k").u32(13).data(32).bytes, "the value type is 13");
  expect_refused(Builder().head(0, 1).str("k").u32(9).u32(13).u64(1).data(32).bytes,
                 "the element type is 13");
  expect_refused(Builder().head(0, 1).str("k").u32(9).u32(9).u64(0).data(32).bytes,
                 "array of arrays");
  expect_refused(Builder().head(0, 1).str("k").u32(7).num(std::uint8_t{2}).bytes, "bool");
  for (const std::uint32_t alignment : {0u, 24u, 0x80000000u}) {
    expect_refused(Builder().head(0, 1).str("general.alignment").u32(4).u32(alignment).bytes,
                   "general.alignment");
  }
  expect_refused(Builder().head(0, 1).str("general.alignment").u32(8).str("32").bytes,
                 "general.alignment");
}

TEST(Gguf, FollowsTheAlignment) {
  Builder b;
  b.head(2, 1).str("general.alignment").u32(4).u32(64);
  b.tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 64).pad(64).data(64).data(4);
  const GgufFile file(b.bytes, "m.gguf");
  EXPECT_EQ(file.alignment(), 64u);
  EXPECT_EQ(file.tensor("b")->bytes.data(), b.bytes.data() + b.bytes.size() - 4);
  Builder odd;
  odd.head(2, 1).str("general.alignment").u32(4).u32(64);
  odd.tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 32).pad(64).data(128);
  expect_refused(odd.bytes, "multiple of 64");
}

TEST(Gguf, RefusesBadTensors) {
  const auto one = [](std::vector<std::uint64_t> dims, std::uint32_t type, std::uint64_t offset) {
    return Builder().head(1, 0).tensor("t", std::move(dims), type, offset).pad().data(128).bytes;
  };
  expect_refused(one({33}, 0, 0), "'t' (F32 33) takes 132 bytes at byte 0 of the data, but the");
  expect_refused(one({1}, 0, 160), "'t' begins at byte 160");
  expect_refused(one({1}, 0, ~std::uint64_t{31}), "'t' begins at byte");
  expect_refused(one({1}, 0, 4), "multiple of 32");
  expect_refused(one({0}, 0, 0), "dimension of 0");
  expect_refused(one({1, 1, 1, 1, 1}, 0, 0), "5 dimensions");
  expect_refused(one({31}, 8, 0), "multiple of 32 weights");
  expect_refused(one({64, 3}, 335, 0), "multiple of 4 rows");
  expect_refused(one({32}, 12, 0), "'t' has type 12");
  expect_refused(one({32}, 31337, 0), "type 31337");
  expect_refused(one({32}, 38, 0), "TL1");
  expect_refused(one({32}, 39, 0), "TL2");
  Builder twice;
  twice.head(2, 0).tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).pad().data(64);
  expect_refused(twice.bytes, "'t' stands twice");
  Builder overlap;  // In file order the later one lies first.
  overlap.head(2, 0).tensor("late", {4}, 0, 32).tensor("early", {16}, 0, 0).pad().data(64);
  expect_refused(overlap.bytes, "'early' (F32 16) takes 64 bytes");
}

TEST(Gguf, NamesInMessagesArePrintable) {
  expect_refused(Builder().head(1, 0).tensor("a\nb", {32}, 12, 0).pad().data(64).bytes, "'a?b'");
}

TEST(Gguf, ReadsI2SAsTold) {
  Builder b;
  b.head(1, 0).tensor("w", {128, 4}, 36, 0).pad().data(128 + 32);
  EXPECT_EQ(GgufFile(b.bytes, "m").tensors()[0].type, DType::kI2S);
  EXPECT_EQ(GgufFile(b.bytes, "m").tensors()[0].bytes.size(), 160u);
  EXPECT_EQ(GgufFile(b.bytes, "m", {I2SLayout::kArm}).tensors()[0].type, DType::kI2SArm);
  EXPECT_EQ(GgufFile(b.bytes, "m", {I2SLayout::k1x4}).tensors()[0].type, DType::kI2S1x4);
  Builder narrow;  // 64 columns: the ARM build's runs fit, the x86 build's do not.
  narrow.head(1, 0).tensor("w", {64, 4}, 36, 0).pad().data(64 + 32);
  expect_refused(narrow.bytes, "multiple of 128");
  EXPECT_NO_THROW(GgufFile(narrow.bytes, "m", {I2SLayout::kArm}));
}

TEST(Gguf, TellsTheTwoQ2_0Apart) {
  // 8 rows of 256: 72 bytes a row with groups of 64, 68 with groups of 128.
  const auto file = [](std::size_t bytes) {
    const std::size_t next = (bytes + 31) / 32 * 32;
    return Builder()
        .head(2, 0)
        .tensor("w", {256, 8}, 42, 0)
        .tensor("n", {1}, 0, next)
        .pad()
        .data(next + 4)
        .bytes;
  };
  EXPECT_EQ(GgufFile(file(8 * 72), "m").tensor("w")->type, DType::kQ2_0G64);
  EXPECT_EQ(GgufFile(file(8 * 68), "m").tensor("w")->type, DType::kQ2_0G128);
  EXPECT_EQ(GgufFile(file(8 * 68), "m").tensor("w")->bytes.size(), 8u * 68);
  expect_refused(file(8 * 64), "neither Q2_0");
  expect_refused(file(8 * 80), "neither Q2_0");
  // The last tensor, without padding.
  Builder last;
  last.head(1, 0).tensor("w", {256, 1}, 42, 0).pad().data(68);
  EXPECT_EQ(GgufFile(last.bytes, "m").tensor("w")->type, DType::kQ2_0G128);
  // One row of 128 takes 36 or 34 bytes, 64 with padding: nothing decides.
  Builder both;
  both.head(1, 0).tensor("w", {128, 1}, 42, 0).pad().data(64);
  expect_refused(both.bytes, "alike");
  // Rows of 192 are no groups of 128.
  Builder only64;
  only64.head(1, 0).tensor("w", {192, 1}, 42, 0).pad().data(64);
  EXPECT_EQ(GgufFile(only64.bytes, "m").tensor("w")->type, DType::kQ2_0G64);
}

TEST(Gguf, ReadsPrismTypesThatFit) {
  Builder b;  // 4 rows of 512: 136 bytes a row as PQ2_0, 112 as PTQ1_0.
  b.head(2, 0).tensor("w", {512, 4}, 142, 0).tensor("v", {512, 4}, 143, 544);
  b.pad().data(544).data(448);
  const GgufFile file(b.bytes, "m");
  EXPECT_EQ(file.tensor("w")->type, DType::kQ2_0G128);
  EXPECT_EQ(file.tensor("v")->type, DType::kPTQ1_0);
  EXPECT_EQ(file.tensor("v")->bytes.size(), 448u);
  Builder other;  // What ik_llama.cpp once wrote under 142 takes 4 + 512 / 4 bytes a row.
  other.head(1, 0).tensor("w", {512, 4}, 142, 0).pad().data(528);
  expect_refused(other.bytes, "takes 544 bytes");
  Builder large;
  large.head(1, 0).tensor("w", {512, 4}, 143, 0).pad().data(480);
  expect_refused(large.bytes, "do not fit PTQ1_0");
}

class GgufFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("tern_gguf_" +
               std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  static std::vector<std::byte> read(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return Builder().raw(text).bytes;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  std::filesystem::path folder_;
};

TEST_F(GgufFiles, WritesTheSpecifiedBytes) {
  GgufWriter writer;
  writer.set_string("general.architecture", "llama");
  writer.set_uint32("a.u32", 7);
  writer.set_float32("a.f32", 0.5f);
  writer.set_bool("a.bool", true);
  const std::vector<std::string> strings{"x", "", "yz"};
  writer.set_strings("a.strings", strings);
  const std::vector<float> floats{1.5f, -2.0f};
  writer.set_floats("a.floats", floats);
  const std::vector<std::int32_t> ints{-1, 5};
  writer.set_int32s("a.ints", ints);
  EXPECT_TRUE(writer.has("a.bool"));
  EXPECT_FALSE(writer.has("a"));
  writer.add_tensor("v", DType::kF16, {3}, [] { return Builder().data(6).bytes; });
  writer.add_tensor("w", DType::kTQ2_0, {2, 256}, [] { return Builder().data(132).bytes; });
  writer.write(folder_ / "m.gguf");

  Builder b;
  b.head(2, 7);
  b.str("general.architecture").u32(8).str("llama");
  b.str("a.u32").u32(4).u32(7);
  b.str("a.f32").u32(6).num(0.5f);
  b.str("a.bool").u32(7).num(std::uint8_t{1});
  b.str("a.strings").u32(9).u32(8).u64(3).str("x").str("").str("yz");
  b.str("a.floats").u32(9).u32(6).u64(2).num(1.5f).num(-2.0f);
  b.str("a.ints").u32(9).u32(5).u64(2).num(std::int32_t{-1}).num(std::int32_t{5});
  b.tensor("v", {3}, 1, 0).tensor("w", {256, 2}, 35, 32).pad();
  b.data(6).pad().data(132).pad();
  EXPECT_EQ(read(folder_ / "m.gguf"), b.bytes);
  EXPECT_NO_THROW(GgufFile(folder_ / "m.gguf"));
}

TEST_F(GgufFiles, CopiesMetadataRaw) {
  const Builder b = small_file();
  const GgufFile in(b.bytes, "m.gguf");
  GgufWriter writer;
  for (const GgufEntry& entry : in.metadata()) writer.set_raw(std::string(entry.key), entry.value);
  const Builder aligned = Builder().u32(64);
  writer.set_raw("general.alignment", GgufValue{GgufType::kU32, GgufType::kU32, 1, aligned.bytes});
  writer.write(folder_ / "m.gguf");
  const GgufFile out(folder_ / "m.gguf");
  ASSERT_EQ(out.metadata().size(), in.metadata().size());
  for (std::size_t i = 0; i < in.metadata().size(); ++i) {
    const GgufValue& x = in.metadata()[i].value;
    const GgufValue& y = out.metadata()[i].value;
    EXPECT_EQ(in.metadata()[i].key, out.metadata()[i].key);
    EXPECT_EQ(x.type, y.type);
    EXPECT_TRUE(std::equal(x.raw.begin(), x.raw.end(), y.raw.begin(), y.raw.end()));
  }
}

TEST_F(GgufFiles, LeavesNothingBehindOnFailure) {
  GgufWriter twice;
  twice.set_uint32("k", 1);
  twice.set_uint32("k", 2);
  EXPECT_THROW(twice.write(folder_ / "m.gguf"), Error);
  GgufWriter throws;
  throws.add_tensor("t", DType::kF32, {2},
                    []() -> std::vector<std::byte> { throw Error(ErrorCode::kIo, "no"); });
  EXPECT_THROW(throws.write(folder_ / "m.gguf"), Error);
  GgufWriter wrong;
  wrong.add_tensor("t", DType::kF32, {2}, [] { return std::vector<std::byte>(7); });
  EXPECT_THROW(wrong.write(folder_ / "m.gguf"), Error);
  EXPECT_EQ(entries(), 0u);
  GgufWriter bad;
  const auto none = [] { return std::vector<std::byte>(); };
  EXPECT_THROW(bad.add_tensor("t", DType::kU8, {2}, none), Error);
  EXPECT_THROW(bad.add_tensor("t", DType::kTQ1_0, {2, 100}, none), Error);
  EXPECT_THROW(bad.add_tensor("t", DType::kF32, {1, 1, 1, 1, 1}, none), Error);
}

// A file that llama.cpp's own writer made: GPT-2's vocabulary.
TEST(GgufReal, ReadsAVocabulary) {
  const char* data = std::getenv("TERN_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "TERN_TEST_DATA is not set";
  const GgufFile file(std::filesystem::path(data) /
                      "tokenizers/llamacpp-vectors/ggml-vocab-gpt-2.gguf");
  const auto tokens = file.find("tokenizer.ggml.tokens")->as_strings();
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->size(), 50257u);
  EXPECT_EQ((*tokens)[50256], "<|endoftext|>");
  EXPECT_EQ(file.find("general.architecture")->as_string(), "gpt2");
  EXPECT_EQ(file.tensors().size(), 0u);
}

TEST_F(GgufFiles, NamesAMissingFile) {
  try {
    const GgufFile file(folder_ / "none.gguf");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIo);
    EXPECT_NE(std::string(e.what()).find("none.gguf"), std::string::npos);
  }
}

}  // namespace
}  // namespace tern::formats
