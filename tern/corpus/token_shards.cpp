// Reading: ids and what the index says of them.
#include "tern/corpus/token_shards.h"

#include "tern/corpus/id_files.h"

namespace tern::corpus {

TokenShards::TokenShards(const std::filesystem::path& folder, Split split) {
  const ShardIndex index = read_index(folder, split, ShardKind::kText);
  documents_ = index.counts.documents;
  text_bytes_ = index.counts.text_bytes;
  ids_ = std::make_unique<const IdFiles>(folder, split, index);
}
TokenShards::~TokenShards() = default;
TokenShards::TokenShards(TokenShards&&) noexcept = default;
TokenShards& TokenShards::operator=(TokenShards&&) noexcept = default;

std::uint64_t TokenShards::tokens() const noexcept { return ids_->tokens(); }
std::uint64_t TokenShards::content_hash() const noexcept { return ids_->content_hash(); }

void TokenShards::read(std::uint64_t begin, std::span<std::int64_t> out) const {
  ids_->read(begin, out);
}

}  // namespace tern::corpus
