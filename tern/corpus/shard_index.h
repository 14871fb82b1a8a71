// index.json of a folder of token shards or conversation shards. Internal to tern/corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/json.h"
#include "tern/corpus/token_shards.h"

namespace tern::corpus {

inline constexpr const char* kIndexName = "index.json";

// The two formats that share this index: docs/formats/token_shards.md, conversation_shards.md.
enum class ShardKind { kText, kConversations };

// "train", "held_out": of the files and in the index.
const char* split_name(Split split) noexcept;
// "train-00003.bin".
std::string shard_name(Split split, std::size_t number);

// "train-targets.bin": a split's other files, of conversations.
inline constexpr const char* kTargetsPart = "targets";
inline constexpr const char* kExamplesPart = "examples";
std::string part_name(Split split, std::string_view part);

// 2 for a vocabulary of at most 65,536 ids, else 4.
constexpr std::size_t id_bytes_of(std::uint64_t vocabulary) noexcept {
  return vocabulary <= 65536 ? 2 : 4;
}

struct SplitCounts {
  std::uint64_t tokens = 0, documents = 0, text_bytes = 0;
  std::uint64_t examples = 0, targets = 0;  // Of conversations alone.
  std::vector<std::uint64_t> files;         // Ids in each.
};

// What the shards are made of: two equal ones make equal shards. An object with the fields
// "format", "vocabulary", "sources" and "holdout".
Json shard_recipe(const ShardOptions& options, const tokenizer::Tokenizer& tokenizer);
// The same of conversations, with "template": the fingerprint of the chat template's source.
Json conversation_recipe(const ShardOptions& options, const tokenizer::Tokenizer& tokenizer,
                         std::string_view chat_template);

// The index of shards made by `recipe`.
Json make_index(const Json& recipe, std::size_t id_bytes, const SplitCounts& train,
                const SplitCounts& held_out);

// True where `folder` holds shards made by `recipe`.
bool is_made_by(const std::filesystem::path& folder, const Json& recipe);
// True where `folder` holds nothing but an index.json of one of these formats, of any version, and
// .bin files: it may be deleted to make room for new ones.
bool is_shard_folder(const std::filesystem::path& folder);

struct ShardIndex {
  std::uint64_t vocabulary = 0;
  std::size_t id_bytes = 0;
  SplitCounts counts;  // Of one split.
};

// Throws Error(kCorruptFile) where fields are missing or contradict each other.
ShardIndex read_index(const std::filesystem::path& folder, Split split, ShardKind kind);

// What is wrong with shards, and what to do about it.
[[noreturn]] void corrupt_shards(const std::string& what, const std::string& reason);

}  // namespace tern::corpus
