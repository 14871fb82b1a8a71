// The parts of a tokenizer.json, by kind of tokenizer and by pre-tokenizer.
#include "tern/checkpoint/tokenizer_files.h"

#include <array>
#include <string>
#include <vector>

#include "tern/base/error.h"
#include "tern/checkpoint/merges.h"

namespace tern::checkpoint {
namespace {

using tokenizer::AddedToken;
using tokenizer::PreTokenizer;
using tokenizer::TokenizerData;
using tokenizer::TokenizerKind;
using tokenizer::TokenType;

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json split(const char* pattern) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", pattern}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json sequence(Json parts) { return {{"type", "Sequence"}, {"pretokenizers", std::move(parts)}}; }

Json pre_tokenizer(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::kLlama3:
    case PreTokenizer::kFalcon3:
      return sequence({split(kLlama3Pattern), byte_level(false)});
    case PreTokenizer::kQwen2:
      return sequence({split(kQwen2Pattern), byte_level(false)});
    case PreTokenizer::kGpt2:
      return byte_level(true);
    case PreTokenizer::kFalcon:
      return sequence({{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                       byte_level(true),
                       {{"type", "Digits"}, {"individual_digits", false}},
                       split("[0-9][0-9][0-9]")});
    case PreTokenizer::kDefault:
    case PreTokenizer::kNone:
      break;
  }
  throw Error(ErrorCode::kUnsupported,
              "the GGUF's pre-tokenizer 'default' has no counterpart in a tokenizer.json; give the "
              "one that the model was trained with (--pre)");
}

std::vector<AddedToken> added_tokens(const TokenizerData& data) {
  if (!data.added.empty()) return data.added;
  std::vector<AddedToken> added;
  for (std::uint32_t id = 0; id < data.types.size(); ++id) {
    const TokenType type = data.types[id];
    if (type == TokenType::kControl || type == TokenType::kUserDefined ||
        type == TokenType::kUnknown) {
      AddedToken token;
      token.id = id;
      token.content = data.pieces[id];
      token.special = type != TokenType::kUserDefined;
      added.push_back(token);
    }
  }
  return added;
}

// Without the padding to the embedding's rows.
std::size_t used_pieces(const TokenizerData& data) {
  std::size_t n = data.pieces.size();
  while (n > 0 && n <= data.types.size() && data.types[n - 1] == TokenType::kUnused &&
         data.pieces[n - 1] == "[PAD" + std::to_string(n - 1) + "]") {
    --n;
  }
  return n;
}

Json post_processor(const TokenizerData& data) {
  const bool bos = data.add_bos && data.bos;
  const bool eos = data.add_eos && data.eos;
  if (!bos && !eos) return nullptr;
  const auto special = [&](std::uint32_t id, int type) -> Json {
    return {{"SpecialToken", {{"id", data.pieces[id]}, {"type_id", type}}}};
  };
  Json single = Json::array(), pair = Json::array(), tokens = Json::object();
  for (const int type : {0, 1}) {
    if (bos) pair.push_back(special(*data.bos, type));
    pair.push_back({{"Sequence", {{"id", type == 0 ? "A" : "B"}, {"type_id", type}}}});
    if (eos) pair.push_back(special(*data.eos, type));
    if (type == 0) single = pair;
  }
  const auto describe = [&](std::uint32_t id) {
    tokens[data.pieces[id]] = {
        {"id", data.pieces[id]}, {"ids", {id}}, {"tokens", {data.pieces[id]}}};
  };
  if (bos) describe(*data.bos);
  if (eos) describe(*data.eos);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", tokens}};
}

void set_spm_parts(Json& json, const TokenizerData& data) {
  Json normalizers = Json::array();
  if (data.add_space_prefix) {
    normalizers.push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
  }
  normalizers.push_back(
      {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}});
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", normalizers}};
  json["pre_tokenizer"] = nullptr;
  Json decoders = {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (data.add_space_prefix) {
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  json["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
}

Json bpe_model(const TokenizerData& data) {
  const bool spm = data.kind != TokenizerKind::kByteBpe;
  Json vocab = Json::object();
  const std::size_t used = used_pieces(data);
  for (std::size_t id = 0; id < used; ++id) vocab[data.pieces[id]] = id;
  Json merges = Json::array();
  const auto add = [&](const Merges& list) {
    for (const auto& [left, right] : list) merges.push_back(left + " " + right);
  };
  if (data.kind == TokenizerKind::kSpmBpe) {
    add(merges_of_scores(data));
  } else if (data.merges_from_ranks) {
    add(merges_of_ranks(data));
  } else {
    add(data.merges);
  }
  Json unk = nullptr;
  if (data.unk) unk = data.pieces[*data.unk];
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unk},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", spm},
          {"byte_fallback", spm},
          {"ignore_merges", data.ignore_merges},
          {"vocab", vocab},
          {"merges", merges}};
}

}  // namespace

Json tokenizer_json(const TokenizerData& data) {
  Json added = Json::array();
  for (const AddedToken& token : added_tokens(data)) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  Json json = {{"version", "1.0"},        {"truncation", nullptr},
               {"padding", nullptr},      {"added_tokens", added},
               {"normalizer", nullptr},   {"post_processor", post_processor(data)},
               {"model", bpe_model(data)}};
  if (data.kind != TokenizerKind::kByteBpe) {
    set_spm_parts(json, data);
  } else {
    if (data.nfc) json["normalizer"] = {{"type", "NFC"}};
    json["pre_tokenizer"] = pre_tokenizer(data.pre);
    json["decoder"] = byte_level(true);
  }
  return json;
}

Json tokenizer_config_json(const TokenizerData& data, std::string_view chat_template,
                           std::size_t context) {
  Json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"clean_up_tokenization_spaces", false},
               {"model_max_length", context},
               {"add_bos_token", data.add_bos},
               {"add_eos_token", data.add_eos}};
  const auto set = [&](const char* key, const std::optional<std::uint32_t>& id) {
    if (id) json[key] = data.pieces[*id];
  };
  set("bos_token", data.bos);
  set("eos_token", data.eos);
  set("unk_token", data.unk);
  set("pad_token", data.pad);
  if (!chat_template.empty()) json["chat_template"] = std::string(chat_template);
  return json;
}

void copy_tokenizer_files(const std::filesystem::path& from, const std::filesystem::path& to) {
  constexpr std::array kFiles{"tokenizer.json",
                              "tokenizer.model",
                              "tokenizer_config.json",
                              "special_tokens_map.json",
                              "added_tokens.json",
                              "vocab.json",
                              "merges.txt",
                              "chat_template.jinja",
                              "chat_template.json",
                              "generation_config.json"};
  for (const char* name : kFiles) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(from / name, error)) continue;
    std::filesystem::copy_file(from / name, to / name, error);
    if (error) {
      throw Error(ErrorCode::kIo, (from / name).string() + ": cannot be copied to " + to.string() +
                                      ": " + error.message());
    }
  }
}

}  // namespace tern::checkpoint
