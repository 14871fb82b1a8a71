// tokenizer.json to TokenizerData: what tern knows is recognised, everything else refused by name.
#include "tern/checkpoint/tokenizer_json.h"

#include <algorithm>

#include "tern/base/error.h"

namespace tern::checkpoint {
namespace {

using tokenizer::AddedToken;
using tokenizer::PreTokenizer;
using tokenizer::TokenizerData;
using tokenizer::TokenizerKind;
using tokenizer::TokenType;

constexpr std::string_view kSpmBlank = "\xE2\x96\x81";  // U+2581

struct KnownPattern {
  std::string_view regex;
  PreTokenizer pre;
};

constexpr KnownPattern kPatterns[] = {
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     PreTokenizer::kLlama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     PreTokenizer::kQwen2},
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     PreTokenizer::kGpt2},
};

// Everything that is read from one file, with its name for messages.
class Reader {
 public:
  Reader(std::string_view name) : name_(name) {}

  TokenizerData read(const Json& json, const TokenizerSidecars& beside) {
    const Json& model = object(json, "model");
    read_model(model);
    read_normalizer(part(json, "normalizer"));
    read_pre_tokenizer(part(json, "pre_tokenizer"));
    if (data_.kind == TokenizerKind::kMergeSpm && !data_.byte_fallback && !data_.unk) {
      unsupported("model", "neither byte fallback nor unk_token");
    }
    read_added(part(json, "added_tokens"));
    read_post_processor(part(json, "post_processor"));
    apply_sidecars(data_, beside, name_);
    return std::move(data_);
  }

  TokenizerData read_pair(const Json& vocab, std::string_view merges,
                          const TokenizerSidecars& beside) {
    std::string cls = "GPT2Tokenizer";
    if (beside.tokenizer_config != nullptr) {
      cls = json_string(*beside.tokenizer_config, "tokenizer_class", name_).value_or(cls);
    }
    if (cls.starts_with("Qwen2Tokenizer")) {
      data_.pre = PreTokenizer::kQwen2;
      data_.nfc = true;
    } else if (cls.starts_with("GPT2Tokenizer")) {
      data_.pre = PreTokenizer::kGpt2;
    } else {
      unsupported("tokenizer_class", "'" + cls + "', expected GPT2Tokenizer or Qwen2Tokenizer");
    }
    read_vocab(vocab);
    read_merge_lines(merges);
    const auto end = std::find(data_.pieces.begin(), data_.pieces.end(), "<|endoftext|>");
    if (end != data_.pieces.end()) {
      AddedToken token;
      token.id = static_cast<std::uint32_t>(end - data_.pieces.begin());
      token.content = *end;
      token.special = true;
      data_.eos = token.id;
      if (data_.pre == PreTokenizer::kGpt2) data_.bos = token.id;
      add_token(data_, std::move(token), name_);
    }
    apply_sidecars(data_, beside, name_);
    return std::move(data_);
  }

 private:
  [[noreturn]] void corrupt(const std::string& what) const {
    throw Error(ErrorCode::kCorruptFile, name_ + ": " + what);
  }
  [[noreturn]] void unsupported(std::string_view part, const std::string& found) const {
    throw Error(ErrorCode::kUnsupported,
                name_ + ": " + std::string(part) + " is " + found + ", which tern does not know");
  }

  const Json& object(const Json& json, const char* key) const {
    if (!json.is_object()) corrupt("found no JSON object");
    const auto it = json.find(key);
    if (it == json.end() || !it->is_object()) corrupt(std::string("has no object '") + key + "'");
    return *it;
  }

  // A field that may be missing; null then.
  static const Json& part(const Json& json, const char* key) {
    static const Json null;
    const auto it = json.find(key);
    return it == json.end() ? null : *it;
  }

  // A description of an unknown part, cut short.
  static std::string shown(const Json& json) {
    std::string text = dump_json(json);
    if (text.size() > 200) text = text.substr(0, 197) + "...";
    return text;
  }

  std::string type_of(const Json& json) const {
    return json_string(json, "type", name_).value_or("");
  }

  void read_model(const Json& model) {
    const std::string type = json_string(model, "type", name_).value_or("BPE");
    if (type != "BPE") unsupported("model type", "'" + type + "'");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const auto affix = json_string(model, key, name_);
      if (affix && !affix->empty()) unsupported(key, "'" + *affix + "'");
    }
    if (json_number(model, "dropout", name_).value_or(0) != 0) unsupported("dropout", "not 0");
    data_.byte_fallback = json_bool(model, "byte_fallback", name_).value_or(false);
    data_.ignore_merges = json_bool(model, "ignore_merges", name_).value_or(false);
    read_vocab(object(model, "vocab"));
    read_merges(part(model, "merges"));
    if (const auto unk = json_string(model, "unk_token", name_)) {
      const auto& vocab = object(model, "vocab");
      const auto it = vocab.find(*unk);
      if (it != vocab.end()) data_.unk = it->get<std::uint32_t>();
    }
  }

  void read_vocab(const Json& vocab) {
    if (!vocab.is_object() || vocab.empty()) corrupt("the vocabulary is no object with pieces");
    const std::uint64_t limit = vocab.size() * 4 + 4096;  // Holes are possible, but not many.
    std::uint64_t size = 0;
    for (const auto& [piece, id] : vocab.items()) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= limit) {
        corrupt("piece '" + piece + "' has id " + dump_json(id) + ", expected one below " +
                std::to_string(limit));
      }
      size = std::max(size, id.get<std::uint64_t>() + 1);
    }
    data_.pieces.resize(size);
    data_.types.assign(size, TokenType::kUnused);
    for (const auto& [piece, id] : vocab.items()) {
      const auto i = id.get<std::size_t>();
      if (data_.types[i] != TokenType::kUnused) {
        corrupt("id " + std::to_string(i) + " has two pieces, '" + data_.pieces[i] + "' and '" +
                piece + "'");
      }
      data_.pieces[i] = piece;
      data_.types[i] = TokenType::kNormal;
    }
  }

  void add_merge(std::string_view merge) {
    const std::size_t blank = merge.find(' ', 1);
    if (blank == merge.npos || blank + 1 == merge.size()) {
      corrupt("merge " + std::to_string(data_.merges.size()) + " is '" + std::string(merge) +
              "', expected two pieces");
    }
    data_.merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
  }

  void read_merges(const Json& merges) {
    if (!merges.is_array()) corrupt("model.merges is no array");
    data_.merges.reserve(merges.size());
    for (const Json& merge : merges) {
      if (merge.is_string()) {
        add_merge(merge.get_ref<const std::string&>());
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        data_.merges.emplace_back(merge[0].get_ref<const std::string&>(),
                                  merge[1].get_ref<const std::string&>());
      } else {
        corrupt("merge " + std::to_string(data_.merges.size()) + " is " + shown(merge) +
                ", expected two pieces");
      }
    }
  }

  void read_merge_lines(std::string_view text) {
    for (bool first = true; !text.empty(); first = false) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty() || (first && line.starts_with("#version"))) continue;
      add_merge(line);
    }
  }

  void read_normalizer(const Json& json) {
    if (json.is_null()) return;
    const std::string type = type_of(json);
    if (type == "NFC") {
      data_.nfc = true;
    } else if (type == "Prepend" && part(json, "prepend") == std::string(kSpmBlank)) {
      data_.add_space_prefix = true;
    } else if (type == "Replace" && part(part(json, "pattern"), "String") == " " &&
               part(json, "content") == std::string(kSpmBlank)) {
      data_.kind = TokenizerKind::kMergeSpm;
    } else if (type == "Sequence" && part(json, "normalizers").is_array()) {
      for (const Json& step : part(json, "normalizers")) read_normalizer(step);
    } else {
      unsupported("normalizer", shown(json));
    }
  }

  void read_pre_tokenizer(const Json& json) {
    if (json.is_null()) {
      // Without a pre-tokenizer and without bytes, pieces are SentencePiece's.
      if (data_.kind != TokenizerKind::kMergeSpm) unsupported("pre_tokenizer", "missing");
    } else if (type_of(json) == "Metaspace") {
      read_metaspace(json);
    } else {
      data_.pre = byte_level_pre(json);
    }
    if (data_.kind == TokenizerKind::kMergeSpm) {
      mark_spm_types();
      if (data_.pre != PreTokenizer::kNone || data_.nfc) unsupported("pre_tokenizer", shown(json));
    } else if (data_.add_space_prefix) {
      unsupported("normalizer", "Prepend before a byte-level model");
    }
  }

  void read_metaspace(const Json& json) {
    const std::string scheme = json_string(json, "prepend_scheme", name_).value_or("always");
    const bool split = json_bool(json, "split", name_).value_or(true);
    const bool prefix = json_bool(json, "add_prefix_space", name_).value_or(true);
    if (split || part(json, "replacement") != std::string(kSpmBlank) ||
        (scheme != "always" && scheme != "first" && scheme != "never")) {
      unsupported("pre_tokenizer", shown(json));
    }
    data_.kind = TokenizerKind::kMergeSpm;
    data_.add_space_prefix = prefix && scheme != "never";
    data_.prefix_after_added = scheme != "first";
  }

  // Pieces spelt as bytes, and the unknown token, of SentencePiece's form.
  void mark_spm_types() {
    for (std::size_t id = 0; id < data_.pieces.size(); ++id) {
      const std::string& piece = data_.pieces[id];
      const bool byte = piece.size() == 6 && piece.starts_with("<0x") && piece.back() == '>';
      if (byte && data_.byte_fallback) data_.types[id] = TokenType::kByte;
    }
    if (data_.unk) data_.types[*data_.unk] = TokenType::kUnknown;
  }

  // What a byte-level pre-tokenizer is called; refuses those that tern does not know.
  PreTokenizer byte_level_pre(const Json& json) {
    const Json steps =
        type_of(json) == "Sequence" ? part(json, "pretokenizers") : Json(Json::array({json}));
    std::vector<std::string> types;
    if (steps.is_array()) {
      for (const Json& step : steps) types.push_back(type_of(step));
    }
    const auto level = std::find(types.begin(), types.end(), "ByteLevel");
    if (level == types.end()) unsupported("pre_tokenizer", shown(json));
    const Json& byte_level = steps[static_cast<std::size_t>(level - types.begin())];
    if (json_bool(byte_level, "add_prefix_space", name_).value_or(true)) {
      unsupported("pre_tokenizer", "ByteLevel with add_prefix_space");
    }
    const bool own_pattern = json_bool(byte_level, "use_regex", name_).value_or(true);
    using Types = std::vector<std::string>;
    if (types == Types{"ByteLevel"} && own_pattern) return PreTokenizer::kGpt2;
    if (types == Types{"Split", "ByteLevel"} && !own_pattern && isolated(steps[0])) {
      const Json& regex = part(part(steps[0], "pattern"), "Regex");
      for (const KnownPattern& known : kPatterns) {
        if (regex == std::string(known.regex)) return known.pre;
      }
      unsupported("pre_tokenizer's pattern", shown(regex));
    }
    if (types == Types{"Punctuation", "ByteLevel", "Digits", "Split"} && own_pattern &&
        part(steps[0], "behavior") == "Contiguous" && isolated(steps[3]) &&
        !json_bool(steps[2], "individual_digits", name_).value_or(false) &&
        part(part(steps[3], "pattern"), "Regex") == "[0-9][0-9][0-9]") {
      return PreTokenizer::kFalcon;
    }
    unsupported("pre_tokenizer", shown(json));
  }

  bool isolated(const Json& split) const {
    return part(split, "behavior") == "Isolated" &&
           !json_bool(split, "invert", name_).value_or(false);
  }

  void read_added(const Json& added) {
    if (added.is_null()) return;
    if (!added.is_array()) corrupt("added_tokens is no array");
    for (const Json& entry : added) {
      const auto id = json_uint(entry, "id", name_);
      if (!id || *id > UINT32_MAX) corrupt("an added token has no id");
      AddedToken token;
      token.id = static_cast<std::uint32_t>(*id);
      token.content = json_string(entry, "content", name_).value_or("");
      token.special = json_bool(entry, "special", name_).value_or(false);
      token.lstrip = json_bool(entry, "lstrip", name_).value_or(false);
      token.rstrip = json_bool(entry, "rstrip", name_).value_or(false);
      token.normalized = json_bool(entry, "normalized", name_).value_or(!token.special);
      if (json_bool(entry, "single_word", name_).value_or(false)) {
        unsupported("added token '" + token.content + "'", "for single words only");
      }
      add_token(data_, std::move(token), name_);
    }
  }

  // A template says whether BOS and EOS stand around a text: its special tokens before and after
  // the sequence.
  void read_post_processor(const Json& json) {
    if (json.is_null()) return;
    const std::string type = type_of(json);
    if (type == "Sequence" && part(json, "processors").is_array()) {
      for (const Json& step : part(json, "processors")) read_post_processor(step);
    }
    if (type != "TemplateProcessing" || !part(json, "single").is_array()) return;
    bool before = true;
    for (const Json& item : part(json, "single")) {
      if (!item.is_object()) corrupt("post_processor's template is malformed");
      if (item.contains("Sequence")) before = false;
      const Json& special = part(item, "SpecialToken");
      if (!special.is_object()) continue;
      const std::string content = json_string(special, "id", name_).value_or("");
      const auto it = std::find(data_.pieces.begin(), data_.pieces.end(), content);
      if (it == data_.pieces.end()) {
        corrupt("post_processor's token '" + content + "' is not in the vocabulary");
      }
      const auto id = static_cast<std::uint32_t>(it - data_.pieces.begin());
      (before ? data_.bos : data_.eos) = id;
      (before ? data_.add_bos : data_.add_eos) = true;
    }
  }

  std::string name_;
  TokenizerData data_;
};

}  // namespace

TokenizerData read_tokenizer_json(const Json& tokenizer_json, const TokenizerSidecars& beside,
                                  std::string_view name, const Notice&) {
  return Reader(name).read(tokenizer_json, beside);
}

TokenizerData read_vocab_and_merges(const Json& vocab, std::string_view merges,
                                    const TokenizerSidecars& beside, std::string_view name,
                                    const Notice&) {
  return Reader(name).read_pair(vocab, merges, beside);
}

}  // namespace tern::checkpoint
