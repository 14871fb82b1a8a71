// What identifies shards, and the counts that their files must agree with.
#include "tern/corpus/shard_index.h"

#include <fmt/core.h>

#include <chrono>
#include <numeric>
#include <string_view>
#include <system_error>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;
using tokenizer::TokenizerData;

constexpr const char* kTextFormat = "tern token shards";
constexpr const char* kConversationFormat = "tern conversation shards";
constexpr std::uint64_t kVersion = 1;

// FNV-1a, with lengths, so that no two lists of strings run together to the same bytes.
class Fingerprint {
 public:
  void add(std::uint64_t number) noexcept {
    for (int i = 0; i < 8; ++i) byte(static_cast<unsigned char>(number >> (8 * i)));
  }
  void add(std::string_view text) noexcept {
    add(text.size());
    for (const char c : text) byte(static_cast<unsigned char>(c));
  }
  void add(const std::optional<std::uint32_t>& id) noexcept {
    add(id ? std::uint64_t{*id} + 1 : std::uint64_t{0});
  }
  std::string text() const { return fmt::format("{:016x}", hash_); }

 private:
  void byte(unsigned char b) noexcept { hash_ = (hash_ ^ b) * 0x100000001B3; }
  std::uint64_t hash_ = 0xCBF29CE484222325;
};

// Of everything that changes the ids of a text.
std::string fingerprint(const TokenizerData& data) {
  Fingerprint hash;
  hash.add(static_cast<std::uint64_t>(data.kind));
  hash.add(static_cast<std::uint64_t>(data.pre));
  hash.add(data.pieces.size());
  for (const std::string& piece : data.pieces) hash.add(piece);
  for (const tokenizer::TokenType type : data.types) hash.add(static_cast<std::uint64_t>(type));
  // The order of the scores decides, and it is the order of these.
  for (const float score : data.scores) hash.add(fmt::format("{}", score));
  hash.add(data.merges.size());
  for (const auto& [left, right] : data.merges) {
    hash.add(left);
    hash.add(right);
  }
  for (const bool flag :
       {data.merges_from_ranks, data.ignore_merges, data.byte_fallback, data.nfc,
        data.add_space_prefix, data.prefix_after_added, data.remove_extra_whitespaces}) {
    hash.add(std::uint64_t{flag});
  }
  for (const tokenizer::AddedToken& token : data.added) {
    hash.add(std::uint64_t{token.id});
    hash.add(token.content);
    for (const bool flag : {token.special, token.lstrip, token.rstrip, token.normalized}) {
      hash.add(std::uint64_t{flag});
    }
  }
  for (const auto& id : {data.bos, data.eos, data.unk}) hash.add(id);
  return hash.text();
}

Json describe(const TextSources& sources, FileKinds kinds) {
  Json files = Json::array();
  for (const fs::path& path : text_files(sources, kinds)) {
    std::error_code error;
    const std::uint64_t bytes = fs::file_size(path, error);
    const auto time = error ? fs::file_time_type() : fs::last_write_time(path, error);
    if (error) throw Error(ErrorCode::kIo, path.string() + ": cannot stat: " + error.message());
    const auto nanoseconds = std::chrono::nanoseconds(time.time_since_epoch()).count();
    files.push_back(
        {{"path", path.generic_string()}, {"bytes", bytes}, {"time", std::int64_t{nanoseconds}}});
  }
  Json json = {{"field", sources.json_field}, {"files", files}};
  if (kinds == FileKinds::kText) json["separators"] = sources.separators;
  return json;
}

Json recipe_of(const ShardOptions& options, const tokenizer::Tokenizer& tokenizer,
               const char* format, FileKinds kinds) {
  const bool own_files = !options.held_out.paths.empty();
  return {{"format", format},
          {"vocabulary",
           {{"size", tokenizer.vocab_size()}, {"fingerprint", fingerprint(tokenizer.data())}}},
          {"sources",
           {{"train", describe(options.train, kinds)},
            {"held_out", own_files ? describe(options.held_out, kinds) : Json()}}},
          {"holdout", own_files ? 0.0 : options.holdout}};
}

Json to_json(const SplitCounts& counts, ShardKind kind) {
  Json json = {{"tokens", counts.tokens},
               {"documents", counts.documents},
               {"text_bytes", counts.text_bytes},
               {"files", counts.files}};
  if (kind == ShardKind::kConversations) {
    json["examples"] = counts.examples;
    json["targets"] = counts.targets;
  }
  return json;
}

std::uint64_t need_uint(const Json& json, const char* key, const std::string& what) {
  const auto value = json_uint(json, key, what);
  if (!value) corrupt_shards(what, fmt::format("field '{}' is missing", key));
  return *value;
}

const Json& need_object(const Json& json, const char* key, const std::string& what) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_object()) {
    corrupt_shards(what, fmt::format("field '{}' is no object", key));
  }
  return *found;
}

bool has_format(const Json& json, const char* format) {
  return json.is_object() && json.contains("format") && json["format"] == format;
}

SplitCounts read_counts(const Json& json, const std::string& what, ShardKind kind) {
  SplitCounts counts;
  counts.tokens = need_uint(json, "tokens", what);
  counts.documents = need_uint(json, "documents", what);
  counts.text_bytes = need_uint(json, "text_bytes", what);
  if (kind == ShardKind::kConversations) {
    counts.examples = need_uint(json, "examples", what);
    counts.targets = need_uint(json, "targets", what);
  }
  const auto files = json.find("files");
  if (files == json.end() || !files->is_array()) corrupt_shards(what, "field 'files' is no list");
  std::uint64_t left = counts.tokens;
  for (const Json& ids : *files) {
    if (!ids.is_number_unsigned() || ids == 0u || ids.get<std::uint64_t>() > left) {
      corrupt_shards(
          what, fmt::format("field 'files' holds {}, expected numbers that sum to the {} tokens",
                            dump_json(ids), counts.tokens));
    }
    counts.files.push_back(ids.get<std::uint64_t>());
    left -= counts.files.back();
  }
  if (left != 0) {
    corrupt_shards(what, fmt::format("its files hold {} tokens, expected {}", counts.tokens - left,
                                     counts.tokens));
  }
  return counts;
}

}  // namespace

const char* split_name(Split split) noexcept {
  return split == Split::kTrain ? "train" : "held_out";
}

std::string shard_name(Split split, std::size_t number) {
  return fmt::format("{}-{:05}.bin", split_name(split), number);
}

std::string part_name(Split split, std::string_view part) {
  return fmt::format("{}-{}.bin", split_name(split), part);
}

[[noreturn]] void corrupt_shards(const std::string& what, const std::string& reason) {
  throw Error(ErrorCode::kCorruptFile,
              what + ": " + reason + "; remove the folder, and it is made again");
}

Json shard_recipe(const ShardOptions& options, const tokenizer::Tokenizer& tokenizer) {
  return recipe_of(options, tokenizer, kTextFormat, FileKinds::kText);
}

Json conversation_recipe(const ShardOptions& options, const tokenizer::Tokenizer& tokenizer,
                         std::string_view chat_template) {
  Json recipe = recipe_of(options, tokenizer, kConversationFormat, FileKinds::kJsonLines);
  Fingerprint hash;
  hash.add(chat_template);
  // Templates see them, and the last of them is learnt.
  hash.add(tokenizer.data().pad);
  for (const std::uint32_t id : tokenizer.data().end_ids) hash.add(std::uint64_t{id});
  recipe["template"] = hash.text();
  return recipe;
}

Json make_index(const Json& recipe, std::size_t id_bytes, const SplitCounts& train,
                const SplitCounts& held_out) {
  const ShardKind kind =
      has_format(recipe, kTextFormat) ? ShardKind::kText : ShardKind::kConversations;
  Json index = recipe;
  index["version"] = kVersion;
  index["id_bytes"] = id_bytes;
  index["splits"] = {{split_name(Split::kTrain), to_json(train, kind)},
                     {split_name(Split::kHeldOut), to_json(held_out, kind)}};
  return index;
}

bool is_made_by(const fs::path& folder, const Json& recipe) {
  std::error_code ignored;
  const fs::path path = folder / kIndexName;
  if (!fs::is_regular_file(path, ignored)) return false;
  const Json index = parse_json(read_text_file(path), path.string());
  if (!index.is_object() || index.value("version", Json()) != kVersion) return false;
  for (const auto& [key, value] : recipe.items()) {
    if (index.value(key, Json()) != value) return false;
  }
  return true;
}

bool is_shard_folder(const fs::path& folder) {
  std::error_code error;
  const fs::path path = folder / kIndexName;
  if (!fs::is_regular_file(path, error)) return false;
  const Json index = parse_json(read_text_file(path), path.string());
  if (!has_format(index, kTextFormat) && !has_format(index, kConversationFormat)) return false;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::end(it);
       it.increment(error)) {
    if (it->path() != path && it->path().extension() != ".bin") return false;
  }
  return !error;
}

ShardIndex read_index(const fs::path& folder, Split split, ShardKind kind) {
  const fs::path path = folder / kIndexName;
  const std::string what = path.string();
  const Json json = parse_json(read_text_file(path), what);
  const bool text = kind == ShardKind::kText;
  if (!has_format(json, text ? kTextFormat : kConversationFormat)) {
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("{}: this is no index of {} shards (its field 'format' should say so)",
                            what, text ? "token" : "conversation"));
  }
  if (const std::uint64_t version = need_uint(json, "version", what); version != kVersion) {
    corrupt_shards(what, fmt::format("format version {} found, expected {}", version, kVersion));
  }
  ShardIndex index;
  index.vocabulary = need_uint(need_object(json, "vocabulary", what), "size", what);
  const std::uint64_t id_bytes = need_uint(json, "id_bytes", what);
  const std::uint64_t expected = id_bytes_of(index.vocabulary);
  if (id_bytes != expected) {
    corrupt_shards(what, fmt::format("ids of {} bytes found, expected {} for a vocabulary of {}",
                                     id_bytes, expected, index.vocabulary));
  }
  index.id_bytes = static_cast<std::size_t>(id_bytes);
  const Json& counts = need_object(need_object(json, "splits", what), split_name(split), what);
  index.counts = read_counts(counts, what, kind);
  return index;
}

}  // namespace tern::corpus
