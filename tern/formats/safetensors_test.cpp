// Safetensors: files put together by hand, and everything that can be wrong with one.
#include "tern/formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "tern/base/error.h"

namespace tern::formats {
namespace {

std::vector<std::byte> file_bytes(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::vector<std::byte> bytes(8 + header.size() + data);
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  for (std::size_t i = 0; i < data; ++i) bytes[8 + header.size() + i] = static_cast<std::byte>(i);
  return bytes;
}

const std::string kHeader = R"({"__metadata__":{"format":"pt"},)"
                            R"("w":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]},)"
                            R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
                            R"("s":{"dtype":"U8","shape":[],"data_offsets":[20,21]},)"
                            R"("z":{"dtype":"I64","shape":[0,3],"data_offsets":[21,21]}} )";

std::string error_of(const std::vector<std::byte>& bytes) {
  try {
    const SafetensorsFile file(bytes, "m.safetensors");
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

void expect_refused(const std::string& header, std::size_t data, const std::string& part) {
  const std::string error = error_of(file_bytes(header, data));
  EXPECT_NE(error.find(part), std::string::npos) << error << "\nexpected: " << part;
  EXPECT_EQ(error.rfind("m.safetensors: ", 0), 0u) << error;
}

TEST(Safetensors, ReadsAFile) {
  const auto bytes = file_bytes(kHeader, 21);
  const SafetensorsFile file(bytes, "m");
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.tensors()[0].name, "b");
  EXPECT_EQ(file.tensors()[3].name, "z");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  const TensorView* w = file.tensor("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->type, DType::kF32);
  EXPECT_EQ(w->shape, (std::vector<std::uint64_t>{2, 2}));
  EXPECT_EQ(w->bytes.data(), bytes.data() + 8 + kHeader.size() + 4);
  EXPECT_EQ(w->bytes.size(), 16u);
  EXPECT_EQ(file.tensor("s")->bytes.size(), 1u);
  EXPECT_EQ(file.tensor("z")->bytes.size(), 0u);
  EXPECT_EQ(file.tensor("x"), nullptr);
}

TEST(Safetensors, ReadsEveryDtype) {
  const std::pair<const char*, std::size_t> kinds[] = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
      {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  for (const auto& [name, size] : kinds) {
    const std::string header = std::string(R"({"t":{"dtype":")") + name +
                               R"(","shape":[3],"data_offsets":[0,)" + std::to_string(3 * size) +
                               "]}}";
    EXPECT_EQ(error_of(file_bytes(header, 3 * size)), "no error") << name;
  }
}

TEST(Safetensors, RefusesEveryTruncation) {
  const auto whole = file_bytes(kHeader, 21);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const std::vector<std::byte> part(whole.begin(),
                                      whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_THROW(SafetensorsFile(part, "m"), Error) << n;
  }
}

TEST(Safetensors, RefusesBadHeaders) {
  auto bytes = file_bytes(kHeader, 21);
  for (const std::uint64_t length :
       {std::uint64_t{1} << 63, ~std::uint64_t{0}, std::uint64_t{200'000'000}}) {
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_NE(error_of(bytes).find("header is said to be"), std::string::npos);
  }
  expect_refused("", 0, "not valid JSON");
  expect_refused("[]", 0, "no JSON object");
  expect_refused(R"({"t":1})", 0, "'t' is described by no JSON object");
  expect_refused(R"({"__metadata__":{"a":1}})", 0, "'a' is no string");
  expect_refused(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                 R"("t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                 1, "stands twice");
}

TEST(Safetensors, RefusesBadTensors) {
  const auto one = [](const std::string& dtype, const std::string& shape,
                      const std::string& offsets) {
    return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  expect_refused(one("F8_E4M3", "[4]", "[0,4]"), 4, "'t' has dtype 'F8_E4M3'");
  expect_refused(one("f32", "[1]", "[0,4]"), 4, "dtype 'f32'");
  expect_refused(one("TQ1_0", "[256]", "[0,54]"), 54, "dtype 'TQ1_0'");
  expect_refused(one("F32", "[-1]", "[0,4]"), 4, "'shape' holds -1");
  expect_refused(one("F32", "[1.5]", "[0,4]"), 4, "'shape' holds 1.5");
  expect_refused(one("F32", "3", "[0,4]"), 4, "expected a list under 'shape'");
  expect_refused(one("F32", "[2]", "[0,4]"), 4, "'t' has 4 bytes, expected 8");
  expect_refused(one("F32", "[1]", "[4,0]"), 4, "data_offsets [4,0]");
  expect_refused(one("F32", "[1]", "[0,4,8]"), 4, "data_offsets [0,4,8]");
  expect_refused(one("F32", "[2]", "[0,8]"), 4, "data_offsets [0,8]");
  expect_refused(one("F32", "[2]", "[9223372036854775808,9223372036854775816]"), 8, "data_offsets");
  expect_refused(one("F32", "[4294967296,4294967296]", "[0,0]"), 0, "more elements than 2^64");
  expect_refused(one("F32", "[4294967296,4294967296,0]", "[0,0]"), 0, "more elements than 2^64");
  expect_refused(one("F32", "[4611686018427387904]", "[0,0]"), 0, "fewer than 2^63");
  expect_refused(R"({"t":{"shape":[1],"data_offsets":[0,4]}})", 4, "'t' has no dtype");
}

TEST(Safetensors, RefusesOverlapsAndHoles) {
  const auto two = [](int begin) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
           R"("b":{"dtype":"U8","shape":[4],"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(begin + 4) + "]}}";
  };
  EXPECT_EQ(error_of(file_bytes(two(4), 8)), "no error");
  expect_refused(two(3), 8, "it overlaps another");
  expect_refused(two(5), 9, "there is a hole");
  expect_refused(two(4), 9, "has 9 bytes of data, but its tensors cover 8");
}

class SafetensorsFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("tern_safetensors_" +
               std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  // A file with one-byte tensors of the given names.
  void put_tensors(const std::string& file, const std::vector<std::string>& names) const {
    SafetensorsWriter writer;
    for (const std::string& name : names) {
      writer.add_tensor(name, DType::kU8, {1}, [] { return std::vector<std::byte>(1); });
    }
    writer.write(folder_ / file);
  }
  std::string folder_error() const {
    try {
      const SafetensorsFolder folder(folder_);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  void expect_folder_refused(const std::string& part) const {
    const std::string error = folder_error();
    EXPECT_NE(error.find(part), std::string::npos) << error;
  }
  std::filesystem::path folder_;
};

TEST_F(SafetensorsFiles, WritesTheSpecifiedBytes) {
  SafetensorsWriter writer;
  writer.set_metadata("format", "pt");
  writer.add_tensor("w", DType::kF16, {1, 2}, [] {
    return std::vector<std::byte>{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  });
  writer.add_tensor("a", DType::kU8, {}, [] { return std::vector<std::byte>{std::byte{9}}; });
  writer.write(folder_ / "m.safetensors");
  std::ifstream in(folder_ / "m.safetensors", std::ios::binary);
  const std::string found{std::istreambuf_iterator<char>(in), {}};
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"data_offsets":[4,5],"dtype":"U8","shape":[]},)"
      R"("w":{"data_offsets":[0,4],"dtype":"F16","shape":[1,2]}})";
  while (header.size() % 8 != 0) header += ' ';
  std::string expected(1, static_cast<char>(header.size()));
  expected += std::string(7, '\0') + header + "\1\2\3\4\t";
  EXPECT_EQ(found, expected);
  EXPECT_EQ(SafetensorsFile(folder_ / "m.safetensors").tensor("a")->bytes[0], std::byte{9});
}

TEST_F(SafetensorsFiles, WriterLeavesNothingBehindOnFailure) {
  SafetensorsWriter wrong;
  wrong.add_tensor("t", DType::kF32, {2}, [] { return std::vector<std::byte>(7); });
  EXPECT_THROW(wrong.write(folder_ / "m.safetensors"), Error);
  SafetensorsWriter twice;
  twice.add_tensor("t", DType::kU8, {1}, [] { return std::vector<std::byte>(1); });
  twice.add_tensor("t", DType::kU8, {1}, [] { return std::vector<std::byte>(1); });
  EXPECT_THROW(twice.write(folder_ / "m.safetensors"), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  EXPECT_THROW(wrong.add_tensor("q", DType::kTQ1_0, {256}, {}), Error);
}

TEST_F(SafetensorsFiles, ReadsFolders) {
  expect_folder_refused("has 0 *.safetensors files");
  put_tensors("other.safetensors", {"o"});
  EXPECT_NE(SafetensorsFolder(folder_).tensor("o"), nullptr);
  put_tensors("second.safetensors", {"p", "q"});
  expect_folder_refused("has 2 *.safetensors files");
  put("model.safetensors.index.json",
      R"({"weight_map":{"o":"other.safetensors","p":"second.safetensors"}})");
  const SafetensorsFolder folder(folder_);
  const auto all = folder.tensors();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0]->name, "o");
  EXPECT_EQ(all[2]->name, "q");
  EXPECT_EQ(folder.file_of("p"), (folder_ / "second.safetensors").string());
  EXPECT_EQ(folder.file_of("x"), "");
  EXPECT_EQ(folder.tensor("x"), nullptr);
  put_tensors("model.safetensors", {"single"});
  EXPECT_EQ(SafetensorsFolder(folder_).tensors().size(), 1u);
}

TEST(SafetensorsReal, ReadsAModel) {
  const char* data = std::getenv("TERN_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "TERN_TEST_DATA is not set";
  const SafetensorsFolder folder(std::filesystem::path(data) / "models/stories260K");
  const TensorView* embedding = folder.tensor("model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->shape, (std::vector<std::uint64_t>{512, 64}));
}

TEST_F(SafetensorsFiles, RefusesBadIndexes) {
  put_tensors("a.safetensors", {"x"});
  put_tensors("b.safetensors", {"x", "y"});
  const char* index = "model.safetensors.index.json";
  for (const char* outside : {"../a.safetensors", "/tmp/a.safetensors", "..", "", "s/a"}) {
    put(index, std::string(R"({"weight_map":{"x":")") + outside + "\"}}");
    expect_folder_refused("the name of a file in the same folder");
  }
  put(index, R"({"weight_map":{"x":3}})");
  expect_folder_refused("'x' is said to be in 3");
  put(index, R"({"weight_map":[]})");
  expect_folder_refused("'weight_map'");
  put(index, R"({"weight_map":{}})");
  expect_folder_refused("names no tensor");
  put(index, R"({"weight_map":{"x":"a.safetensors","y":"b.safetensors"}})");
  expect_folder_refused("'x' is in both a.safetensors and b.safetensors");
  put(index, R"({"weight_map":{"x":"a.safetensors","y":"a.safetensors"}})");
  expect_folder_refused("'y' is said to be in a.safetensors, found in no file");
  put(index, R"({"weight_map":{"x":"none.safetensors"}})");
  expect_folder_refused("none.safetensors");
  put(index, "{");
  expect_folder_refused("not valid JSON");
}

TEST_F(SafetensorsFiles, RefusesATensorInAnotherShard) {
  put_tensors("a.safetensors", {"x"});
  put_tensors("b.safetensors", {"y"});
  put("model.safetensors.index.json",
      R"({"weight_map":{"x":"b.safetensors","y":"a.safetensors"}})");
  expect_folder_refused("'x' is said to be in b.safetensors, found in a.safetensors");
}

}  // namespace
}  // namespace tern::formats
