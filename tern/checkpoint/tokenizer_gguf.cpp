// tokenizer.ggml.* to TokenizerData.
#include "tern/checkpoint/tokenizer_gguf.h"

#include <array>

#include "tern/base/error.h"
#include "tern/checkpoint/tokenizer_common.h"

namespace tern::checkpoint {
namespace {

using tokenizer::AddedToken;
using tokenizer::PreTokenizer;
using tokenizer::TokenizerData;
using tokenizer::TokenizerKind;
using tokenizer::TokenType;

struct PreName {
  std::string_view name;
  PreTokenizer pre;
};

// The first name of each kind is the one that tern writes. Aliases: names that llama.cpp and the
// forks for ternary models give to the same pattern.
constexpr PreName kPreNames[] = {
    {"default", PreTokenizer::kDefault},   {"llama-bpe", PreTokenizer::kLlama3},
    {"llama3", PreTokenizer::kLlama3},     {"llama-v3", PreTokenizer::kLlama3},
    {"gpt-2", PreTokenizer::kGpt2},        {"phi-2", PreTokenizer::kGpt2},
    {"qwen2", PreTokenizer::kQwen2},       {"deepseek-r1-qwen", PreTokenizer::kQwen2},
    {"megrez", PreTokenizer::kQwen2},      {"falcon", PreTokenizer::kFalcon},
    {"falcon3", PreTokenizer::kFalcon3},   {"falcon_e", PreTokenizer::kFalcon3},
    {"falcon-h1", PreTokenizer::kFalcon3},
};

class Reader {
 public:
  Reader(const formats::GgufFile& file, const Notice& notice) : file_(file), notice_(notice) {}

  TokenizerData read(std::optional<PreTokenizer> forced) {
    const auto model = text("model");
    if (!model) missing("model");
    if (*model != "gpt2" && *model != "llama") {
      throw Error(ErrorCode::kUnsupported, file_.name() + ": tokenizer.ggml.model is '" +
                                               std::string(*model) +
                                               "', tern reads gpt2 and llama");
    }
    const bool spm = *model == "llama";
    data_.kind = spm ? TokenizerKind::kSpmBpe : TokenizerKind::kByteBpe;
    read_pieces();
    if (spm) {
      read_spm();
    } else {
      read_merges();
      read_pre(forced);
    }
    read_roles(spm);
    if (spm)
      add_spm_tokens(data_);
    else
      add_byte_level_tokens();
    add_known_ends(data_);
    return std::move(data_);
  }

 private:
  static std::string full(std::string_view key) { return "tokenizer.ggml." + std::string(key); }

  [[noreturn]] void missing(std::string_view key) const {
    throw Error(ErrorCode::kCorruptFile, file_.name() + ": key '" + full(key) + "' is missing");
  }
  [[noreturn]] void wrong(std::string_view key, std::string_view expected) const {
    throw Error(ErrorCode::kCorruptFile,
                file_.name() + ": key '" + full(key) + "' is no " + std::string(expected));
  }

  // A key's value through `as`, nullopt where the key is missing; another kind of value is refused.
  template <typename As>
  auto value(std::string_view key, As as, std::string_view expected) const
      -> decltype((std::declval<const formats::GgufValue&>().*as)()) {
    const formats::GgufValue* found = file_.find(full(key));
    if (found == nullptr) return std::nullopt;
    auto out = (found->*as)();
    if (!out) wrong(key, expected);
    return out;
  }
  std::optional<std::string_view> text(std::string_view key) const {
    return value(key, &formats::GgufValue::as_string, "string");
  }
  std::optional<bool> flag(std::string_view key) const {
    return value(key, &formats::GgufValue::as_bool, "boolean");
  }

  std::optional<std::uint32_t> id(std::string_view key) const {
    const formats::GgufValue* found = file_.find(full(key));
    if (found == nullptr) return std::nullopt;
    const auto number = found->as_uint();
    // Some writers put -1 for "none".
    if (!number && found->as_number() == -1.0) return std::nullopt;
    if (number == UINT32_MAX) return std::nullopt;
    if (!number) wrong(key, "token id");
    if (*number >= data_.pieces.size()) {
      throw Error(ErrorCode::kCorruptFile,
                  file_.name() + ": key '" + full(key) + "' is " + std::to_string(*number) +
                      ", outside the vocabulary of " + std::to_string(data_.pieces.size()));
    }
    return static_cast<std::uint32_t>(*number);
  }

  void check_count(std::string_view key, std::size_t found) const {
    if (found == data_.pieces.size()) return;
    throw Error(ErrorCode::kCorruptFile, file_.name() + ": key '" + full(key) + "' has " +
                                             std::to_string(found) + " entries for " +
                                             std::to_string(data_.pieces.size()) + " tokens");
  }

  void read_pieces() {
    const auto tokens = value("tokens", &formats::GgufValue::as_strings, "array of strings");
    if (!tokens) missing("tokens");
    data_.pieces.assign(tokens->begin(), tokens->end());
    const auto types = value("token_type", &formats::GgufValue::as_integers, "array of integers");
    data_.types.assign(data_.pieces.size(), TokenType::kNormal);
    if (!types) return;
    check_count("token_type", types->size());
    constexpr std::array kTypes{TokenType::kUnused,  TokenType::kNormal,      TokenType::kUnknown,
                                TokenType::kControl, TokenType::kUserDefined, TokenType::kUnused,
                                TokenType::kByte};
    for (std::size_t i = 0; i < types->size(); ++i) {
      const std::int64_t type = (*types)[i];
      if (type < 0 || type >= static_cast<std::int64_t>(kTypes.size())) {
        throw Error(ErrorCode::kCorruptFile, file_.name() + ": token " + std::to_string(i) +
                                                 " has type " + std::to_string(type) +
                                                 ", expected 0 to 6");
      }
      data_.types[i] = kTypes[static_cast<std::size_t>(type)];
    }
  }

  void read_spm() {
    auto scores = value("scores", &formats::GgufValue::as_floats, "array of floats");
    if (!scores) missing("scores");
    check_count("scores", scores->size());
    data_.scores = std::move(*scores);
    data_.add_space_prefix = flag("add_space_prefix").value_or(true);
    data_.remove_extra_whitespaces = flag("remove_extra_whitespaces").value_or(false);
    data_.add_bos = true;
    for (const TokenType type : data_.types) {
      if (type == TokenType::kByte) data_.byte_fallback = true;
    }
  }

  void read_merges() {
    const auto merges = value("merges", &formats::GgufValue::as_strings, "array of strings");
    if (!merges) missing("merges");
    data_.merges.reserve(merges->size());
    for (const std::string_view merge : *merges) {
      const std::size_t blank = merge.find(' ', 1);
      if (blank == merge.npos || blank + 1 == merge.size()) {
        throw Error(ErrorCode::kCorruptFile, file_.name() + ": merge " +
                                                 std::to_string(data_.merges.size()) + " is '" +
                                                 std::string(merge) + "', expected two pieces");
      }
      data_.merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
    }
  }

  bool looks_like_llama3() const {
    return data_.pieces.size() > 128000 && data_.pieces[128000] == "<|begin_of_text|>";
  }

  void read_pre(std::optional<PreTokenizer> forced) {
    const auto name = text("pre");
    if (forced) {
      data_.pre = *forced;
    } else if (name) {
      const auto pre = pre_tokenizer_by_name(*name);
      if (!pre) {
        throw Error(ErrorCode::kUnsupported, file_.name() + ": tokenizer.ggml.pre is '" +
                                                 std::string(*name) + "', tern knows " +
                                                 pre_tokenizer_names() + "; --pre NAME forces one");
      }
      data_.pre = *pre;
    } else if (looks_like_llama3()) {
      data_.pre = PreTokenizer::kLlama3;
      notify(notice_, file_.name() +
                          ": no tokenizer.ggml.pre; the vocabulary is Llama 3's, so its "
                          "pattern is used (--pre default gives the other)");
    } else {
      data_.pre = PreTokenizer::kDefault;
      notify(notice_, file_.name() +
                          ": no tokenizer.ggml.pre; the default pattern is used "
                          "(--pre NAME gives another)");
    }
    // GGUF has no key for these two: they go with the pattern.
    const bool llama3 = data_.pre == PreTokenizer::kLlama3 || data_.pre == PreTokenizer::kFalcon3;
    data_.ignore_merges = llama3;
    data_.add_bos = llama3;
    data_.nfc = data_.pre == PreTokenizer::kQwen2;
  }

  void read_roles(bool spm) {
    data_.bos = id("bos_token_id");
    data_.eos = id("eos_token_id");
    data_.unk = id("unknown_token_id");
    data_.pad = id("padding_token_id");
    for (const std::string_view key : {"eot_token_id", "eom_token_id"}) {
      if (const auto end = id(key)) data_.end_ids.push_back(*end);
    }
    for (std::uint32_t i = 0; spm && i < data_.pieces.size(); ++i) {
      if (!data_.unk && data_.types[i] == TokenType::kUnknown) data_.unk = i;
    }
    data_.add_bos = flag("add_bos_token").value_or(data_.add_bos);
    data_.add_eos = flag("add_eos_token").value_or(false);
  }

  void add_byte_level_tokens() {
    for (std::uint32_t i = 0; i < data_.pieces.size(); ++i) {
      TokenType& type = data_.types[i];
      // Some writers left the type of end tokens normal; such a name is never a word.
      if (type == TokenType::kNormal && is_known_end(data_.pieces[i])) type = TokenType::kControl;
      const bool special = type == TokenType::kControl || type == TokenType::kUnknown;
      if (data_.pieces[i].empty() || (!special && type != TokenType::kUserDefined)) continue;
      AddedToken token;
      token.id = i;
      token.content = data_.pieces[i];
      token.special = special;
      data_.added.push_back(std::move(token));
    }
  }

  const formats::GgufFile& file_;
  const Notice& notice_;
  TokenizerData data_;
};

}  // namespace

TokenizerData read_tokenizer_gguf(const formats::GgufFile& file, std::optional<PreTokenizer> forced,
                                  const Notice& notice) {
  return Reader(file, notice).read(forced);
}

std::optional<PreTokenizer> pre_tokenizer_by_name(std::string_view name) {
  for (const PreName& known : kPreNames) {
    if (known.name == name) return known.pre;
  }
  return std::nullopt;
}

std::string pre_tokenizer_names() {
  std::string names;
  for (const PreName& known : kPreNames) {
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  }
  return names;
}

std::string_view gguf_name(PreTokenizer pre) {
  for (const PreName& known : kPreNames) {
    if (known.pre == pre) return known.name;
  }
  return "default";
}

}  // namespace tern::checkpoint
