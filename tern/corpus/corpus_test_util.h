// What the tests of this room share: a folder of files, the sentence of a refusal, a vocabulary.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/corpus/conversations.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::corpus::test {

// A folder that is gone when the test ends.
class TemporaryFolder : public testing::Test {
 protected:
  TemporaryFolder()
      : folder_(std::filesystem::temp_directory_path() /
                ("tern-corpus-" + std::to_string(random_seed()))) {
    std::filesystem::create_directory(folder_);
  }
  ~TemporaryFolder() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, std::string_view text) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary).write(text.data(), std::ssize(text));
    return path;
  }

  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_),
                                                  std::filesystem::directory_iterator()));
  }

  std::filesystem::path folder_;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The sentence with which `act` refuses.
template <typename Act>
std::string refusal(Act&& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

inline testing::AssertionResult has(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not say '" << part << "'";
}

// 0 <unk>, 1 <s>, 2 </s>, 3-258 the bytes, 259 "a", 260 "b", 261 "ab"; unused ones up to `size`.
inline tokenizer::TokenizerData small_vocabulary(std::size_t size = 262) {
  using tokenizer::TokenType;
  tokenizer::TokenizerData data;
  data.kind = tokenizer::TokenizerKind::kSpmBpe;
  data.byte_fallback = true;
  const auto add = [&](std::string piece, TokenType type, float score) {
    data.pieces.push_back(std::move(piece));
    data.types.push_back(type);
    data.scores.push_back(score);
  };
  add("<unk>", TokenType::kUnknown, 0);
  add("<s>", TokenType::kControl, 0);
  add("</s>", TokenType::kControl, 0);
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (std::size_t byte = 0; byte < 256; ++byte) {
    add(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">", TokenType::kByte, 0);
  }
  add("a", TokenType::kNormal, -2);
  add("b", TokenType::kNormal, -3);
  add("ab", TokenType::kNormal, -1);
  while (data.pieces.size() < size) {
    add("<unused" + std::to_string(data.pieces.size()) + ">", TokenType::kUnused, 0);
  }
  data.unk = 0;
  data.bos = 1;
  data.eos = 2;
  return data;
}

// The same, and special tokens from id 262 on; the last of them and "</s>" end a text.
inline tokenizer::TokenizerData chat_vocabulary(const std::vector<std::string>& special) {
  tokenizer::TokenizerData data = small_vocabulary();
  const auto add = [&](std::uint32_t id, const std::string& content) {
    data.added.push_back({.id = id, .content = content, .special = true});
  };
  add(1, "<s>");
  add(2, "</s>");
  data.end_ids = {2};
  for (const std::string& content : special) {
    add(static_cast<std::uint32_t>(data.pieces.size()), content);
    data.pieces.push_back(content);
    data.types.push_back(tokenizer::TokenType::kControl);
    data.scores.push_back(0);
  }
  if (!special.empty()) data.end_ids.push_back(static_cast<std::uint32_t>(data.pieces.size() - 1));
  return data;
}

// An example as its pieces, with [[ ]] around what is to be predicted.
inline std::string shown(const tokenizer::Tokenizer& tokenizer, const Example& example) {
  std::string text;
  bool target = false;
  for (std::size_t i = 0; i < example.ids.size(); ++i) {
    if (example.targets[i] != target) text += target ? "]]" : "[[";
    target = example.targets[i];
    text += tokenizer.piece(example.ids[i], true);
  }
  constexpr std::string_view kBlank = "\xE2\x96\x81";  // As SentencePiece writes it.
  for (std::size_t at = 0; (at = text.find(kBlank, at)) != text.npos; ++at) {
    text.replace(at, kBlank.size(), " ");
  }
  return text + (target ? "]]" : "");
}

}  // namespace tern::corpus::test
