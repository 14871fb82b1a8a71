// The ids of one split in memory-mapped files. Internal to tern/corpus.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "tern/base/mapped_file.h"
#include "tern/corpus/shard_index.h"

namespace tern::corpus {

// A hash of bytes that goes on from `hash`. Not against an adversary: two texts that differ by
// accident have different sums.
std::uint64_t mix_bytes(std::uint64_t hash, std::span<const std::byte> bytes) noexcept;

// Const after opening, shared by threads.
class IdFiles {
 public:
  // Throws Error(kIo) where a file is missing, Error(kCorruptFile) where index and files disagree
  // or an id is outside the vocabulary.
  IdFiles(const std::filesystem::path& folder, Split split, const ShardIndex& index);

  std::uint64_t tokens() const noexcept { return tokens_; }
  std::uint64_t content_hash() const noexcept { return content_hash_; }
  // Copies ids [begin, begin + out.size()); requires that they exist.
  void read(std::uint64_t begin, std::span<std::int64_t> out) const;

 private:
  std::vector<MappedFile> files_;
  std::vector<std::uint64_t> starts_;  // First token of each file.
  std::uint64_t tokens_ = 0, content_hash_ = 0;
  bool wide_ = false;
};

}  // namespace tern::corpus
