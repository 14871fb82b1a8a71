// Mapped files, checked when opened.
#include "tern/corpus/id_files.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <string>

#include "tern/base/error.h"

namespace tern::corpus {
namespace {

static_assert(std::endian::native == std::endian::little, "ids are stored little-endian");

template <typename Id>
std::uint64_t largest(std::span<const std::byte> bytes) noexcept {
  std::span<const Id> ids(reinterpret_cast<const Id*>(bytes.data()), bytes.size() / sizeof(Id));
  Id out = 0;
  for (const Id id : ids) out = std::max(out, id);
  return out;
}

template <typename Id>
void widen(const std::byte* from, std::span<std::int64_t> out) noexcept {
  const Id* ids = reinterpret_cast<const Id*>(from);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int64_t>(ids[i]);
}

}  // namespace

std::uint64_t mix_bytes(std::uint64_t hash, std::span<const std::byte> bytes) noexcept {
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min(sizeof word, bytes.size() - i));
    hash = std::rotl(hash ^ word, 29) * 0x9E3779B97F4A7C15u;
  }
  return hash;
}

IdFiles::IdFiles(const std::filesystem::path& folder, Split split, const ShardIndex& index)
    : tokens_(index.counts.tokens), wide_(index.id_bytes == 4) {
  std::uint64_t start = 0;
  for (std::size_t i = 0; i < index.counts.files.size(); ++i) {
    const std::filesystem::path path = folder / shard_name(split, i);
    const std::uint64_t ids = index.counts.files[i];
    MappedFile file(path);
    if (file.bytes().size() / index.id_bytes != ids || file.bytes().size() % index.id_bytes != 0) {
      throw Error(ErrorCode::kCorruptFile,
                  path.string() + ": " + std::to_string(file.bytes().size()) +
                      " bytes found, expected the " + std::to_string(ids) + " ids of " +
                      std::to_string(index.id_bytes) +
                      " bytes that index.json tells; remove the folder, and it is made again");
    }
    const std::uint64_t id =
        wide_ ? largest<std::uint32_t>(file.bytes()) : largest<std::uint16_t>(file.bytes());
    if (id >= index.vocabulary) {
      throw Error(ErrorCode::kCorruptFile,
                  path.string() + ": id " + std::to_string(id) + " found, expected ids below the " +
                      std::to_string(index.vocabulary) +
                      " of the vocabulary; remove the folder, and it is made again");
    }
    content_hash_ = mix_bytes(content_hash_, file.bytes());
    files_.push_back(std::move(file));
    starts_.push_back(start);
    start += ids;
  }
}

void IdFiles::read(std::uint64_t begin, std::span<std::int64_t> out) const {
  assert(begin <= tokens_ && out.size() <= tokens_ - begin);
  const std::size_t id_bytes = wide_ ? 4 : 2;
  while (!out.empty()) {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), begin);
    const auto file = static_cast<std::size_t>(after - starts_.begin()) - 1;
    const std::span<const std::byte> bytes = files_[file].bytes();
    const auto first = static_cast<std::size_t>(begin - starts_[file]);
    const std::size_t n = std::min(out.size(), bytes.size() / id_bytes - first);
    const std::byte* from = bytes.data() + first * id_bytes;
    wide_ ? widen<std::uint32_t>(from, out.first(n)) : widen<std::uint16_t>(from, out.first(n));
    out = out.subspan(n);
    begin += n;
  }
}

}  // namespace tern::corpus
