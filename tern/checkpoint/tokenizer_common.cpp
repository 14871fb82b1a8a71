// Sidecars of a vocabulary, and the tokens that end a text.
#include "tern/checkpoint/tokenizer_common.h"

#include <algorithm>
#include <charconv>

#include "tern/base/error.h"
#include "tern/tokenizer/byte_alphabet.h"

namespace tern::checkpoint {
namespace {

using tokenizer::AddedToken;
using tokenizer::TokenizerData;
using tokenizer::TokenType;

// The end-of-text and end-of-turn tokens of the families that tern reads, by their spelling.
constexpr std::string_view kEnds[] = {
    "<|eot_id|>",    "<|eom_id|>",      "<|im_end|>",    "<|end|>",
    "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>",
};

constexpr std::size_t kMostNewIds = 4096;  // A gap larger than this is no added token.

[[noreturn]] void corrupt(std::string_view name, const std::string& what) {
  throw Error(ErrorCode::kCorruptFile, std::string(name) + ": " + what);
}

// "bos_token" is a string or an object with "content".
std::optional<std::string> token_text(const Json& json, const char* key, std::string_view name) {
  const auto it = json.find(key);
  if (it != json.end() && it->is_object()) return json_string(*it, "content", name);
  return json_string(json, key, name);
}

std::optional<std::uint32_t> id_of(const TokenizerData& data, std::string_view piece) {
  for (const AddedToken& token : data.added) {
    if (token.content == piece) return token.id;
  }
  const auto it = std::find(data.pieces.begin(), data.pieces.end(), piece);
  if (it == data.pieces.end()) return std::nullopt;
  return static_cast<std::uint32_t>(it - data.pieces.begin());
}

void read_roles(TokenizerData& data, const Json& json, std::string_view name) {
  const auto role = [&](const char* key, std::optional<std::uint32_t>& id) {
    const auto text = token_text(json, key, name);
    if (!text) return;
    if (const auto found = id_of(data, *text)) id = found;
  };
  role("bos_token", data.bos);
  role("eos_token", data.eos);
  role("unk_token", data.unk);
  role("pad_token", data.pad);
}

void read_added_decoder(TokenizerData& data, const Json& tokenizer_config, std::string_view name) {
  const auto it = tokenizer_config.find("added_tokens_decoder");
  if (it == tokenizer_config.end() || !it->is_object()) return;
  std::vector<AddedToken> tokens;
  for (const auto& [key, value] : it->items()) {
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (error != std::errc() || end != key.data() + key.size()) {
      corrupt(name, "added_tokens_decoder has the key '" + key + "', expected a token id");
    }
    token.content = json_string(value, "content", name).value_or("");
    token.special = json_bool(value, "special", name).value_or(false);
    token.lstrip = json_bool(value, "lstrip", name).value_or(false);
    token.rstrip = json_bool(value, "rstrip", name).value_or(false);
    token.normalized = json_bool(value, "normalized", name).value_or(false);
    tokens.push_back(std::move(token));
  }
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (AddedToken& token : tokens) add_token(data, std::move(token), name);
}

void read_added_map(TokenizerData& data, const Json& added, std::string_view name) {
  std::vector<AddedToken> tokens;
  for (const auto& [content, id] : added.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > UINT32_MAX) {
      corrupt(name, "added token '" + content + "' has no whole number as its id");
    }
    AddedToken token;
    token.id = id.get<std::uint32_t>();
    token.content = content;
    tokens.push_back(std::move(token));
  }
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (AddedToken& token : tokens) add_token(data, std::move(token), name);
}

// Whether an added token is a piece of a byte-level model, spelt in the printable alphabet: Falcon3
// adds "Ċ", the line feed, once more. It stays a piece: a text's own line feeds are encoded as it
// and it is decoded as one.
bool spells_bytes(const TokenizerData& data, const AddedToken& token) {
  if (data.kind != tokenizer::TokenizerKind::kByteBpe || token.special) return false;
  if (data.types[token.id] != TokenType::kNormal) return false;
  const auto bytes = tokenizer::from_printable(token.content);
  return bytes && *bytes != token.content;
}

}  // namespace

void add_token(TokenizerData& data, AddedToken token, std::string_view name) {
  if (token.content.empty()) corrupt(name, "added token " + std::to_string(token.id) + " is empty");
  if (token.id >= data.pieces.size() + kMostNewIds) {
    corrupt(name, "added token '" + token.content + "' has id " + std::to_string(token.id) +
                      ", far outside the vocabulary of " + std::to_string(data.pieces.size()));
  }
  if (token.id >= data.pieces.size()) {
    data.pieces.resize(token.id + 1);
    data.types.resize(token.id + 1, TokenType::kUnused);
    if (!data.scores.empty()) data.scores.resize(token.id + 1);
  }
  const auto same = std::find_if(data.added.begin(), data.added.end(),
                                 [&](const AddedToken& t) { return t.id == token.id; });
  std::string& piece = data.pieces[token.id];
  if (piece.empty()) piece = token.content;
  // A user-defined SentencePiece piece is spelt with U+2581 for the blanks of its content.
  const bool known = same != data.added.end() && same->content == token.content;
  if (piece != token.content && !known) {
    corrupt(name, "added token '" + token.content + "' has id " + std::to_string(token.id) +
                      ", which is the piece '" + piece + "'");
  }
  TokenType& type = data.types[token.id];
  if (type != TokenType::kUnknown && type != TokenType::kByte && !spells_bytes(data, token)) {
    type = token.special ? TokenType::kControl : TokenType::kUserDefined;
  }
  if (same == data.added.end()) {
    data.added.push_back(std::move(token));
  } else {
    *same = std::move(token);
  }
}

void merge_config_ids(TokenizerData& data, const Json& config, std::string_view what) {
  const auto checked = [&](const char* key, const Json& id) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= data.pieces.size()) {
      corrupt(what, std::string("field '") + key + "' holds " + dump_json(id) +
                        ", expected a token id below the vocabulary size " +
                        std::to_string(data.pieces.size()));
    }
    return id.get<std::uint32_t>();
  };
  const auto ids = [&](const char* key) {
    std::vector<std::uint32_t> out;
    const auto it = config.find(key);
    if (it == config.end() || it->is_null()) return out;
    if (it->is_array()) {
      for (const Json& id : *it) out.push_back(checked(key, id));
    } else {
      out.push_back(checked(key, *it));
    }
    return out;
  };
  if (!config.is_object()) return;
  for (const std::uint32_t id : ids("eos_token_id")) {
    if (!data.eos) data.eos = id;
    if (std::find(data.end_ids.begin(), data.end_ids.end(), id) == data.end_ids.end()) {
      data.end_ids.push_back(id);
    }
  }
  const auto bos = ids("bos_token_id");
  if (!data.bos && !bos.empty()) data.bos = bos.front();
}

void add_known_ends(TokenizerData& data) {
  const auto add = [&](std::uint32_t id) {
    if (std::find(data.end_ids.begin(), data.end_ids.end(), id) == data.end_ids.end()) {
      data.end_ids.push_back(id);
    }
  };
  if (data.eos) add(*data.eos);
  for (std::uint32_t id = 0; id < data.pieces.size(); ++id) {
    if (data.types[id] != TokenType::kControl) continue;
    if (is_known_end(data.pieces[id])) add(id);
  }
}

bool is_known_end(std::string_view piece) {
  return std::find(std::begin(kEnds), std::end(kEnds), piece) != std::end(kEnds);
}

void add_spm_tokens(TokenizerData& data) {
  for (std::uint32_t id = 0; id < data.pieces.size(); ++id) {
    const TokenType type = data.types[id];
    const bool special = type == TokenType::kControl || type == TokenType::kUnknown;
    if (!special && type != TokenType::kUserDefined) continue;
    AddedToken token;
    token.id = id;
    token.content = data.pieces[id];
    token.special = special;
    // In a text, a user-defined piece's blanks are blanks.
    constexpr std::string_view kBlank = "\xE2\x96\x81";
    std::size_t at = 0;
    while (!special && (at = token.content.find(kBlank, at)) != std::string::npos) {
      token.content.replace(at, kBlank.size(), " ");
    }
    data.added.push_back(std::move(token));
  }
}

void apply_sidecars(TokenizerData& data, const TokenizerSidecars& beside, std::string_view name) {
  const auto object = [&](const Json* json, std::string_view file) {
    if (json != nullptr && !json->is_object()) {
      corrupt(name, std::string(file) + " is no JSON object");
    }
    return json != nullptr;
  };
  if (object(beside.added_tokens, "added_tokens.json")) {
    read_added_map(data, *beside.added_tokens, name);
  }
  const bool has_config = object(beside.tokenizer_config, "tokenizer_config.json");
  if (has_config) read_added_decoder(data, *beside.tokenizer_config, name);
  if (object(beside.special_tokens_map, "special_tokens_map.json")) {
    read_roles(data, *beside.special_tokens_map, name);
  }
  if (has_config) {
    const Json& config = *beside.tokenizer_config;
    read_roles(data, config, name);
    data.add_bos = json_bool(config, "add_bos_token", name).value_or(data.add_bos);
    data.add_eos = json_bool(config, "add_eos_token", name).value_or(data.add_eos);
  }
  if (beside.generation_config != nullptr) {
    merge_config_ids(data, *beside.generation_config,
                     std::string(name) + ": generation_config.json beside it");
  }
  if (beside.config != nullptr) {
    merge_config_ids(data, *beside.config, std::string(name) + ": config.json beside it");
  }
  add_known_ends(data);
}

}  // namespace tern::checkpoint
