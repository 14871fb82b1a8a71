// Reading: ids, bits and beginnings that must agree with each other.
#include "tern/corpus/conversation_shards.h"

#include <fmt/core.h>

#include <bit>
#include <cassert>
#include <cstring>

#include "tern/base/error.h"
#include "tern/corpus/id_files.h"

namespace tern::corpus {

namespace fs = std::filesystem;

ConversationShards::ConversationShards(const fs::path& folder, Split split) {
  const ShardIndex index = read_index(folder, split, ShardKind::kConversations);
  conversations_ = index.counts.documents;
  examples_ = index.counts.examples;
  targets_ = index.counts.targets;
  target_bytes_ = index.counts.text_bytes;
  ids_ = std::make_unique<const IdFiles>(folder, split, index);
  content_hash_ = ids_->content_hash();
  const auto open = [&](const char* part, std::uint64_t bytes) {
    const fs::path path = folder / part_name(split, part);
    MappedFile file(path);
    if (file.bytes().size() != bytes) {
      corrupt_shards(path.string(),
                     fmt::format("{} bytes found, expected the {} that index.json tells of",
                                 file.bytes().size(), bytes));
    }
    content_hash_ = mix_bytes(content_hash_, file.bytes());
    return file;
  };
  if (tokens() == 0 && examples_ == 0 && targets_ == 0) return;
  if (examples_ > tokens() / 2) {
    corrupt_shards((folder / kIndexName).string(),
                   fmt::format("{} examples found in {} tokens, expected two tokens for each",
                               examples_, tokens()));
  }
  target_bits_ = open(kTargetsPart, (tokens() + 7) / 8);
  starts_ = open(kExamplesPart, examples_ * sizeof(std::uint64_t));
  check_examples(folder / part_name(split, kExamplesPart));
  check_targets(folder / part_name(split, kTargetsPart));
}
ConversationShards::~ConversationShards() = default;
ConversationShards::ConversationShards(ConversationShards&&) noexcept = default;
ConversationShards& ConversationShards::operator=(ConversationShards&&) noexcept = default;

void ConversationShards::check_examples(const fs::path& path) const {
  for (std::uint64_t i = 0; i < examples_; ++i) {
    const bool first = i > 0 || begin(0) == 0;
    if (first && begin(i) < tokens() && end(i) <= tokens() && begin(i) + 2 <= end(i)) continue;
    corrupt_shards(path.string(),
                   fmt::format("example {} found at ids {} to {}, expected one after the other and "
                               "all of the {} tokens",
                               i, begin(i), end(i), tokens()));
  }
}

void ConversationShards::check_targets(const fs::path& path) const {
  std::uint64_t set = 0;
  for (const std::byte byte : target_bits_->bytes()) {
    set += static_cast<std::uint64_t>(std::popcount(static_cast<unsigned char>(byte)));
  }
  if (set != targets_) {
    corrupt_shards(path.string(), fmt::format("{} targets found, expected {}", set, targets_));
  }
  for (std::uint64_t i = 0; i < examples_; ++i) {
    if (!is_target(begin(i)) && is_target(end(i) - 1)) continue;
    corrupt_shards(path.string(), fmt::format("example {} begins with a target or does not end "
                                              "with one, expected the contrary",
                                              i));
  }
}

std::uint64_t ConversationShards::tokens() const noexcept { return ids_->tokens(); }

std::uint64_t ConversationShards::begin(std::uint64_t example) const noexcept {
  assert(example <= examples_);
  if (example == examples_) return tokens();
  std::uint64_t at = 0;
  std::memcpy(&at, starts_->bytes().data() + example * sizeof at, sizeof at);
  return at;
}

void ConversationShards::read(std::uint64_t begin, std::span<std::int64_t> out) const {
  ids_->read(begin, out);
}

bool ConversationShards::is_target(std::uint64_t id) const noexcept {
  assert(id < tokens());
  return ((static_cast<unsigned>(target_bits_->bytes()[static_cast<std::size_t>(id / 8)]) >>
           (id % 8)) &
          1U) != 0;
}

}  // namespace tern::corpus
