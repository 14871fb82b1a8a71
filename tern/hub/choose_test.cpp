// Which file a name means.
#include "tern/hub/choose.h"

#include <gtest/gtest.h>

#include "tern/base/error.h"

namespace tern::hub {
namespace {

using Files = std::vector<std::string>;

std::string chosen(const Files& files, const std::string& file) {
  const auto name = parse_model_name(file.empty() ? "u/r" : "u/r:" + file);
  return choose_model(files, *name, "u/r").gguf;
}

std::string refusal(const Files& files, const std::string& file, ErrorCode code) {
  try {
    chosen(files, file);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    return e.what();
  }
  return "";
}

const Files kCheckpointOnly{"README.md", "config.json", "model.safetensors", "tokenizer.json"};
const Files kGgufs{"README.md", "m-IQ4_0.gguf", "m-Q4_0.gguf", "m-TQ2_0.gguf", "sub/m-I2_S.gguf"};

TEST(Choose, TheOnlyModel) {
  EXPECT_EQ(chosen(kCheckpointOnly, ""), "");
  EXPECT_EQ(chosen(kCheckpointOnly, "safetensors"), "");
  EXPECT_EQ(chosen({"config.json", "ggml-model-i2_s.gguf"}, ""), "ggml-model-i2_s.gguf");
}

TEST(Choose, ByNameAndByTag) {
  EXPECT_EQ(chosen(kGgufs, "m-TQ2_0.gguf"), "m-TQ2_0.gguf");
  EXPECT_EQ(chosen(kGgufs, "TQ2_0"), "m-TQ2_0.gguf");
  EXPECT_EQ(chosen(kGgufs, "tq2_0"), "m-TQ2_0.gguf");
  EXPECT_EQ(chosen(kGgufs, "Q4_0"), "m-Q4_0.gguf");  // And not IQ4_0.
  EXPECT_EQ(chosen(kGgufs, "i2_s"), "sub/m-I2_S.gguf");
}

TEST(Choose, SaysWhatThereIs) {
  const std::string several = refusal(kGgufs, "", ErrorCode::kBadArgument);
  for (const char* word : {"4 models", "u/r:NAME", "m-IQ4_0.gguf", "sub/m-I2_S.gguf"}) {
    EXPECT_NE(several.find(word), std::string::npos) << several;
  }
  const std::string none = refusal(kGgufs, "Q8_0", ErrorCode::kBadArgument);
  EXPECT_NE(none.find("no model 'Q8_0' found, expected one of: m-IQ4_0.gguf"), std::string::npos);
  EXPECT_NE(refusal(kGgufs, "m", ErrorCode::kBadArgument), "");
  EXPECT_NE(refusal(kGgufs, "safetensors", ErrorCode::kBadArgument), "");
  EXPECT_NE(refusal(kCheckpointOnly, "x.gguf", ErrorCode::kBadArgument), "");
  Files both = kCheckpointOnly;
  both.push_back("m.gguf");
  EXPECT_NE(refusal(both, "", ErrorCode::kBadArgument).find("m.gguf, safetensors"),
            std::string::npos);
  EXPECT_EQ(chosen(both, "safetensors"), "");
  EXPECT_EQ(chosen(both, "m.gguf"), "m.gguf");
}

TEST(Choose, NothingToRead) {
  EXPECT_NE(refusal({"README.md"}, "", ErrorCode::kUnsupported), "");
  EXPECT_NE(
      refusal({"config.json", "pytorch_model.bin"}, "", ErrorCode::kUnsupported).find("pickles"),
      std::string::npos);
  EXPECT_NE(refusal({"model.safetensors"}, "", ErrorCode::kUnsupported), "");
  EXPECT_NE(refusal({"sub/config.json", "sub/model.safetensors"}, "", ErrorCode::kUnsupported), "");
  EXPECT_NE(refusal({"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}, "m-00001-of-00002.gguf",
                    ErrorCode::kUnsupported)
                .find("one part"),
            std::string::npos);
}

TEST(Choose, FilesOfACheckpoint) {
  const Files files{"README.md",
                    "added_tokens.json",
                    "config.json",
                    "model.bin",
                    "model.safetensors",
                    "model.safetensors.index.json",
                    "onnx/model.onnx",
                    "tokenizer.json",
                    "training_args.bin",
                    "vocab.txt",
                    "x.gguf"};
  EXPECT_EQ(checkpoint_files(files), (Files{"config.json", "tokenizer.json", "added_tokens.json"}));
  EXPECT_EQ(single_weights(files, "u/r"), "model.safetensors");
  const Files shards{"config.json", "model-00001-of-00002.safetensors",
                     "model-00002-of-00002.safetensors", "model.safetensors.index.json"};
  EXPECT_EQ(checkpoint_files(shards), (Files{"config.json", "model.safetensors.index.json"}));
  EXPECT_EQ(single_weights(shards, "u/r"), "");
  EXPECT_EQ(single_weights(Files{"config.json", "other.safetensors"}, "u/r"), "other.safetensors");
  EXPECT_THROW(single_weights(Files{"a.safetensors", "b.safetensors"}, "u/r"), Error);
}

}  // namespace
}  // namespace tern::hub
